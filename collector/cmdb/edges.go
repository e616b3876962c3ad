package cmdb

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
)

// Edge is one relation between two items, by their ids.
type Edge struct {
	Host      store.Host // that says it
	From, To  string
	Relation  string    // from source to target
	FirstSeen time.Time // zero unless it was asked for
}

// EdgeQuery selects relations; the zero value selects all.
type EdgeQuery struct {
	From, To  string         // ids of the items
	Relation  string         // its name
	Hosts     *store.HostSet // that say it; nil: all
	FirstSeen bool           // wanted; the log has to be read for it
}

// Edges calls fn for the relations that hold in a state and that q selects, within the
// caller's transaction. They are read from the facts as they are stored. store.ErrStop
// ends it.
func Edges(tx *store.Tx, state *store.State, q EdgeQuery, fn func(Edge) error) error {
	e := edges{tx: tx, state: state, query: q, ids: map[uint32]string{}}
	e.fn = func(edge Edge) error {
		err := fn(edge)
		e.stopped = errors.Is(err, store.ErrStop)
		return err
	}
	var ok bool
	if e.from, ok = selected(q.From); !ok {
		return nil
	}
	if e.to, ok = selected(q.To); !ok {
		return nil
	}
	for _, rel := range relations {
		if q.Relation != "" && q.Relation != rel.Name || e.from.class != 0 && e.from.class != rel.From || e.to.class != 0 && e.to.class != rel.To {
			continue
		}
		hosts, err := e.hosts(rel)
		if err != nil {
			return err
		}
		e.few = len(hosts) <= fewHosts
		size := len(hosts)
		if q.FirstSeen {
			size = maxSince
		}
		for len(hosts) > 0 {
			n := min(size, len(hosts))
			if err := e.some(rel, hosts[:n]); err != nil || e.stopped {
				return err
			}
			hosts = hosts[n:]
		}
	}
	return nil
}

// selected reads the id of an item; the zero item for no id, false for one of none.
func selected(id string) (item, bool) {
	if id == "" {
		return item{}, true
	}
	it, err := parseID(id)
	return it, err == nil
}

// edges is one run of Edges.
type edges struct {
	tx       *store.Tx
	state    *store.State
	query    EdgeQuery
	from, to item
	fn       func(Edge) error
	few      bool                // hosts there are, the same for every relation
	stopped  bool                // by fn
	ids      map[uint32]string   // of the operating systems of hosts
	told     map[facts.ID]*since // of few hosts, by section
}

// hosts are those that may say a relation, in the order in which they came: the log has
// those near each other that did.
func (e *edges) hosts(rel Relation) ([]store.Host, error) {
	var only []identity.HostID
	for _, it := range []item{e.from, e.to} {
		if it.class != 0 && !it.class.shared() {
			only = append(only, it.host)
		}
	}
	return hostsOf(e.tx, e.state, e.query.Hosts, only)
}

// some gives the relations of some hosts.
func (e *edges) some(rel Relation, hosts []store.Host) error {
	first, err := e.since(sections[rel.From], hosts)
	if err != nil {
		return err
	}
	if rel.From.shared() && (e.from.class != 0 || !e.few) {
		return e.software(rel, hosts, first)
	}
	for _, h := range hosts {
		seen := map[item]bool{} // several rows may speak for one item
		derive := derivations[sections[rel.From]]
		err := eachRow(e.state, h.Index, sections[rel.From], func(key string, row facts.Row) error {
			for _, o := range derive(h.ID, row) {
				if o.relation != rel.ID || seen[o.item] || e.from.class != 0 && o.item != e.from || e.to.class != 0 && o.target != e.to {
					continue
				}
				seen[o.item] = true
				if err := e.fn(Edge{Host: h, From: o.item.id(), To: o.target.id(), Relation: rel.Name, FirstSeen: first.of(h.Index, key)}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || e.stopped {
			return err
		}
	}
	return nil
}

// since returns since when the rows of a section of some hosts say what they say, nil where
// nobody asks. The logs of few hosts are read once for all sections: each host's lies
// scattered over that of the fleet.
func (e *edges) since(section facts.ID, hosts []store.Host) (*since, error) {
	if !e.query.FirstSeen {
		return nil, nil
	}
	if e.few && e.told != nil {
		return e.told[section], nil
	}
	wanted := []facts.ID{section}
	if e.few {
		wanted = slices.Collect(maps.Keys(derivations))
	}
	var err error
	e.told, err = readSince(e.tx, wanted, hosts, e.state.At())
	return e.told[section], err
}

// software gives the relations of software of some hosts, from the dictionary: items of
// one name follow each other, and a host says it once.
func (e *edges) software(rel Relation, hosts []store.Host, first *since) error {
	among, byIndex := store.HostSet{}, make(map[uint32]store.Host, len(hosts))
	indexes := make([]uint32, len(hosts))
	for i, h := range hosts {
		indexes[i], byIndex[h.Index] = h.Index, h
	}
	among = store.HostSetOf(indexes...)
	last, said := "", store.HostSet{}
	give := func(it store.Item) error {
		source, rest, _ := strings.Cut(it.Key, "\x00")
		name, _, _ := strings.Cut(rest, "\x00")
		from := item{class: Software, name: source + "/" + name}
		if e.from.class != 0 && from != e.from {
			return nil
		}
		with, err := e.state.HostsWith(it)
		if err != nil {
			return err
		}
		if with = with.And(among); from.name == last {
			with, said = with.AndNot(said), with.Or(said)
		} else {
			last, said = from.name, with
		}
		id := from.id()
		for index := range with.All() {
			if err := e.fn(Edge{Host: byIndex[index], From: id, To: e.system(byIndex[index]), Relation: rel.Name, FirstSeen: first.of(index, it.Key)}); err != nil {
				return err
			}
		}
		return nil
	}
	if e.from.class == 0 {
		return e.state.Items(facts.Packages, "", give)
	}
	_, name, _ := strings.Cut(e.from.name, "/")
	return e.state.ItemsNamed(facts.Packages, name, give)
}

// system is the id of a host's operating system, which most relations name.
func (e *edges) system(h store.Host) string {
	id, ok := e.ids[h.Index]
	if !ok {
		id = item{class: OperatingSystem, host: h.ID}.id()
		e.ids[h.Index] = id
	}
	return id
}
