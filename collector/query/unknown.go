package query

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"atalaya/collector/store"
	"atalaya/shared/facts"
)

// Unknown says of a section that a query has read on how many hosts it is not completely
// known: what they did not tell counts as absent.
type Unknown struct {
	Section string
	AsOf    time.Time // the moment, where it is not that of the query
	Hosts   int       // on which it is not known
	Of      int       // hosts that the query asked about
	ByState []StateCount
}

// StateCount is how many hosts have a status in common; the status is that of the last
// reading, "not reported" where there was none.
type StateCount struct {
	Status string
	Hosts  int
}

// reading is a section at a moment, zero for now.
type reading struct {
	section facts.ID
	at      time.Time
}

// hostsRead are the hosts whose rows a query asked for.
type hostsRead struct {
	all  bool
	some map[uint32]bool
}

// reads notes that a table is read for all hosts, or for those alone.
func (s *session) reads(section facts.ID, at time.Time, indexes []uint32, only bool) {
	r := reading{section, at}
	h := s.read[r]
	if h == nil {
		h = &hostsRead{some: map[uint32]bool{}}
		s.read[r] = h
	}
	if !only {
		h.all = true
	}
	if h.all {
		return
	}
	for _, index := range indexes {
		h.some[index] = true
	}
}

// unknown counts, for the tables of facts that the query has read, the hosts whose last
// reading was not complete. A section that a host does not have is known.
func (s *session) unknown() ([]Unknown, error) {
	var out []Unknown
	for r, hosts := range s.read {
		st, err := s.state(r.at)
		if err != nil {
			return nil, err
		}
		var only *store.HostSet
		if !hosts.all {
			set := store.HostSetOf(slices.Collect(maps.Keys(hosts.some))...)
			only = &set
		}
		told, err := st.Telling(r.section, only)
		if err != nil {
			return nil, err
		}
		u := Unknown{Section: r.section.String(), Of: told.Hosts}
		if !r.at.Equal(s.asOf) {
			u.AsOf = r.at
		}
		for status, n := range told.ByStatus {
			switch {
			case status == facts.StatusUnknown:
				u.add("not reported", n)
			case !status.Complete() && status != facts.StatusUnsupported:
				u.add(status.String(), n)
			}
		}
		if u.Hosts > 0 {
			out = append(out, u)
		}
	}
	slices.SortFunc(out, func(a, b Unknown) int {
		return cmp.Or(cmp.Compare(a.Section, b.Section), a.AsOf.Compare(b.AsOf))
	})
	return out, s.ctx.Err()
}

// add counts hosts; most come first.
func (u *Unknown) add(status string, hosts int) {
	u.Hosts += hosts
	u.ByState = append(u.ByState, StateCount{status, hosts})
	slices.SortFunc(u.ByState, func(a, b StateCount) int {
		return cmp.Or(cmp.Compare(b.Hosts, a.Hosts), cmp.Compare(a.Status, b.Status))
	})
}
