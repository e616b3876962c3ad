package query

import (
	"cmp"
	"maps"
	"slices"

	"atalaya/collector/store"
	"atalaya/shared/facts"
)

// Unknown says of a section that a query asked for on how many hosts it is not known
// whether it has rows: an answer without rows does not mean that there are none.
type Unknown struct {
	Section string
	Hosts   int // on which it is not known
	Of      int // all hosts
	ByState []StateCount
}

// StateCount is how many hosts have a status in common; the status is that of the last
// reading, "not reported" where there was none.
type StateCount struct {
	Status string
	Hosts  int
}

// unknown counts, for the tables that a query without rows has read, the hosts whose last
// reading was not complete. It takes one look at the states of each host, and only when
// the answer is empty.
func (s *session) unknown() ([]Unknown, error) {
	if len(s.read) == 0 {
		return nil, nil
	}
	st, err := s.state(s.asOf)
	if err != nil {
		return nil, err
	}
	hosts := 0
	counts := make(map[facts.ID]map[string]int)
	for id := range s.read {
		counts[id] = make(map[string]int)
	}
	scan := Scan{session: s, AsOf: s.asOf}
	err = scan.eachHost(func(_ *store.State, h store.Host) error {
		hosts++
		states, err := st.Sections(h.Index)
		if err != nil {
			return err
		}
		for id := range s.read {
			i := slices.IndexFunc(states, func(sec store.SectionState) bool { return sec.Section == id })
			switch {
			case i < 0:
				counts[id]["not reported"]++
			case !states[i].Status.Complete():
				counts[id][states[i].Status.String()]++
			}
		}
		return s.ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	var out []Unknown
	for _, id := range slices.Sorted(maps.Keys(counts)) {
		u := Unknown{Section: id.String(), Of: hosts}
		for _, status := range slices.Sorted(maps.Keys(counts[id])) {
			u.ByState = append(u.ByState, StateCount{status, counts[id][status]})
			u.Hosts += counts[id][status]
		}
		slices.SortStableFunc(u.ByState, func(a, b StateCount) int { return cmp.Compare(b.Hosts, a.Hosts) })
		if u.Hosts > 0 {
			out = append(out, u)
		}
	}
	return out, nil
}

// found is how many rows an answer has; a count of none is none.
func found(rows [][]any) int {
	if len(rows) == 1 && len(rows[0]) == 1 && rows[0][0] == int64(0) {
		return 0
	}
	return len(rows)
}
