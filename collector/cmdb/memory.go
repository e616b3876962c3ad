package cmdb

import (
	"slices"
	"strings"

	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// memory is what the rows of one section of a host say and said, as far back as the
// log goes.
type memory map[item]*remembered

// remembered is an item with the rows that say now that it is there, by key.
type remembered struct {
	itemRecord
	rows map[string]support
}

// support is what one row says of an item: a relation, and since when.
type support struct {
	observation
	first facts.Time
}

// memory replays the history of a section of a host.
func (r *reader) memory(host identity.HostID, section facts.ID) (memory, error) {
	place := hostSection{host, section}
	if m, ok := r.memories[place]; ok {
		return m, nil
	}
	m, derive := memory{}, derivations[section]
	err := r.tx.HostHistory(host, section, func(c store.Change) error {
		if c.Kind > store.Removed {
			return nil
		}
		old, new, err := observations(derive, c)
		if err != nil {
			return err
		}
		kept, err := observe(derive, c, c.New)
		m.take(c, old, new, kept)
		return err
	})
	if r.memories == nil {
		r.memories = map[hostSection]memory{}
	}
	r.memories[place] = m
	return m, err
}

// hostSection names a section of a host.
type hostSection struct {
	host    identity.HostID
	section facts.ID
}

// take replays one change: what is said no more, what is said from now on, and all
// that is said.
func (m memory) take(c store.Change, old, new, all []observation) {
	at := facts.TimeOf(c.Received)
	for _, o := range old {
		if rec := m[o.item]; rec != nil {
			if delete(rec.rows, c.Key); len(rec.rows) == 0 {
				rec.Gone = at
			}
		}
	}
	for _, o := range all {
		rec := m[o.item]
		if rec == nil {
			rec = &remembered{itemRecord{First: at}, map[string]support{}}
			m[o.item] = rec
		}
		first := at
		if was, ok := rec.rows[c.Key]; ok && !says(new, o) {
			first = was.first
		}
		rec.rows[c.Key] = support{o, first}
		rec.Gone = 0
	}
}

// supports returns what rows say of an item, by key.
func (m memory) supports(it item) []support {
	rec := m[it]
	if rec == nil {
		return nil
	}
	keys := make([]string, 0, len(rec.rows))
	for k := range rec.rows {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	out := make([]support, len(keys))
	for i, k := range keys {
		out[i] = rec.rows[k]
	}
	return out
}

// items returns the items of a class by name.
func (m memory) items(class Class) []item {
	var out []item
	for it := range m {
		if it.class == class {
			out = append(out, it)
		}
	}
	slices.SortFunc(out, func(a, b item) int { return strings.Compare(a.name, b.name) })
	return out
}

// sections says from which facts the items of a class are derived.
var sections = map[Class]facts.ID{OperatingSystem: facts.OS, Software: facts.Packages, Service: facts.Services, NetworkAddress: facts.Addresses}

// maxFirst is up to how many hosts the relations of a shared item tell since when they
// are: the history of each host has to be read for it.
const maxFirst = 64

// installed returns what the rows of the fleet say of a piece of software.
func (r *reader) installed(it item) ([]support, error) {
	state := r.tx.Now()
	source, name, _ := strings.Cut(it.name, "/")
	type place struct {
		index uint32
		row   store.Item
	}
	var places []place
	err := state.ItemsNamed(facts.Packages, name, func(row store.Item) error {
		decoded, err := wire.DecodeRow(facts.Packages, row.Data)
		if err != nil || decoded.(*facts.PackageRow).Source != source {
			return err
		}
		hosts, err := state.HostsWith(row)
		for index := range hosts.All() {
			places = append(places, place{index, row})
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(places, func(a, b place) int { return int(a.index) - int(b.index) })
	var out []support
	for _, p := range places {
		id, _, err := r.tx.HostByIndex(p.index)
		if err != nil {
			return nil, err
		}
		if len(places) <= maxFirst {
			m, err := r.memory(id, facts.Packages)
			if err != nil {
				return nil, err
			}
			if rec := m[it]; rec != nil {
				out = append(out, rec.rows[p.row.Key])
			}
			continue
		}
		row, err := wire.DecodeRow(facts.Packages, p.row.Data)
		if err != nil {
			return nil, err
		}
		for _, o := range derivations[facts.Packages](id, row) {
			out = append(out, support{observation: o})
		}
	}
	return out, nil
}

// having returns the hosts that may have an item of a class and that name now or had
// it as far back as is known; false: any host may.
func (r *reader) having(class Class, name string) (hosts []identity.HostID, known bool, err error) {
	section := sections[class]
	if class != Service {
		return nil, false, nil
	}
	state, found := r.tx.Now(), store.HostSet{}
	items := 0
	err = state.ItemsNamed(section, name, func(it store.Item) error {
		items++
		with, err := state.HostsWith(it)
		found = found.Or(with)
		return err
	})
	if err != nil || items > 0 && found.Len() == 0 {
		return nil, false, err // it is gone: the log knows from where
	}
	for index := range found.All() {
		id, _, err := r.tx.HostByIndex(index)
		if err != nil {
			return nil, false, err
		}
		hosts = append(hosts, id)
	}
	return hosts, true, nil
}
