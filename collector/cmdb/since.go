package cmdb

import (
	"cmp"
	"slices"
	"time"

	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

const (
	// maxSince is of how many hosts at once the log is read, which bounds memory.
	maxSince = 512
	// fewHosts is up to how many hosts each host's own log is read.
	fewHosts = 8
)

// hostsOf returns the hosts of a state that are in the set, where there is one, and among
// only, where that names some, in the order in which they came.
func hostsOf(tx *store.Tx, state *store.State, set *store.HostSet, only []identity.HostID) (hosts []store.Host, err error) {
	take := func(h store.Host) error {
		if (set == nil || set.Contains(h.Index)) && !slices.ContainsFunc(only, func(id identity.HostID) bool { return id != h.ID }) {
			hosts = append(hosts, h)
		}
		return nil
	}
	switch {
	case len(only) > 0:
		set, err = setOf(tx, only[0], set)
		fallthrough
	case set != nil:
		for index := range set.All() {
			h, there, err2 := state.Host(index)
			if err = err2; err == nil && there {
				err = take(h)
			}
			if err != nil {
				break
			}
		}
	default:
		err = state.Hosts(take)
	}
	slices.SortFunc(hosts, func(a, b store.Host) int { return cmp.Compare(a.Index, b.Index) })
	return hosts, err
}

// setOf is the set of one host, where it is in the other set.
func setOf(tx *store.Tx, id identity.HostID, in *store.HostSet) (*store.HostSet, error) {
	h, known, err := tx.Host(id)
	one := store.HostSet{}
	if known && (in == nil || in.Contains(h.Index)) {
		one = store.HostSetOf(h.Index)
	}
	return &one, err
}

// eachRow calls fn for the rows of a section of a host.
func eachRow(state *store.State, index uint32, section facts.ID, fn func(key string, row facts.Row) error) error {
	return state.Rows(index, section, func(key string, data []byte) error {
		row, err := wire.DecodeRow(section, data)
		if err != nil {
			return err
		}
		return fn(key, row)
	})
}

// eachChange calls fn for the changes of a section of some hosts.
func eachChange(tx *store.Tx, hosts []store.Host, q store.ChangeQuery, fn func(store.Change) error) error {
	if len(hosts) > fewHosts {
		indexes := make([]uint32, len(hosts))
		for i, h := range hosts {
			indexes[i] = h.Index
		}
		set := store.HostSetOf(indexes...)
		return tx.ChangesBetween(store.FleetQuery{ChangeQuery: q, Hosts: &set}, fn)
	}
	for _, h := range hosts {
		if err := tx.HostChanges(h.ID, q, fn); err != nil {
			return err
		}
	}
	return nil
}

// since says since when rows say what they say.
type since struct {
	begin facts.Time // where the log begins
	hosts map[uint32]*hostSince
}

// hostSince is that of one host: since its first reading, but for what came later.
type hostSince struct {
	base facts.Time // 0: since the log begins
	keys map[string]facts.Time
}

// of returns since when a row of a host says what it says; zero when that was not asked for.
func (s *since) of(index uint32, key string) time.Time {
	if s == nil {
		return time.Time{}
	}
	h := s.hosts[index]
	if at, ok := h.keys[key]; ok {
		return at.Time()
	}
	return cmp.Or(h.base, s.begin).Time()
}

// readSince reads the log of some sections of some hosts once, up to a moment where there
// is one.
func readSince(tx *store.Tx, wanted []facts.ID, hosts []store.Host, until time.Time) (map[facts.ID]*since, error) {
	history, err := tx.HistoryFrom()
	if err != nil {
		return nil, err
	}
	bySection, byHost := map[facts.ID]*since{}, map[hostSection]*hostSince{}
	for _, section := range wanted {
		s := &since{facts.TimeOf(history), map[uint32]*hostSince{}}
		bySection[section] = s
		for _, h := range hosts {
			of := &hostSince{keys: map[string]facts.Time{}}
			s.hosts[h.Index], byHost[hostSection{h.ID, section}] = of, of
		}
	}
	q := store.ChangeQuery{CameTo: until}
	if len(wanted) == 1 {
		q.Section = wanted[0]
	}
	return bySection, eachChange(tx, hosts, q, func(c store.Change) error {
		if of := byHost[hostSection{c.Host, c.Section}]; of != nil {
			return of.take(c)
		}
		return nil
	})
}

// take takes a change in; they come oldest first.
func (h *hostSince) take(c store.Change) error {
	at := facts.TimeOf(c.Received)
	switch c.Kind {
	case store.Added:
		h.keys[c.Key] = at
	case store.Removed:
		delete(h.keys, c.Key)
	case store.Baseline, store.Cleared:
		h.base = at
		clear(h.keys)
	case store.Changed:
		if c.Section == facts.Packages { // the key says it all
			return nil
		}
		_, new, err := observations(derivations[c.Section], c)
		if err != nil {
			return err
		}
		if len(new) > 0 {
			h.keys[c.Key] = at
		}
	}
	return nil
}
