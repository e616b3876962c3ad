package cmdb

import (
	"time"

	"atalaya/collector/store"
	"atalaya/shared/identity"
)

// Items calls fn for the items of a class, of all classes when it is 0, those that are
// gone too, within the caller's transaction. store.ErrStop ends it.
func Items(tx *store.Tx, class Class, fn func(Item) error) error {
	r := reader{tx: tx}
	return r.eachItem(class, func(it item) error {
		d, err := r.describe(it)
		if err != nil {
			return err
		}
		return fn(d)
	})
}

// eachItem calls fn for the items of a class, of all when it is 0.
func (r *reader) eachItem(class Class, fn func(item) error) error {
	for _, c := range classes {
		if class != 0 && c.class != class {
			continue
		}
		var err error
		if c.class == Host {
			err = r.tx.HostsFrom(identity.HostID{}, func(h store.Host) error { return fn(item{class: Host, host: h.ID}) })
		} else {
			err = r.items(c.class, "", func(it item, _ itemRecord) error { return fn(it) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Edge is one relation between two items, by their ids.
type Edge struct {
	From, To  string
	Relation  string // from source to target
	FirstSeen time.Time
}

// Edges calls fn for every relation that holds now, within the caller's transaction.
// store.ErrStop ends it.
func Edges(tx *store.Tx, fn func(Edge) error) error {
	r := reader{tx: tx}
	return r.eachItem(0, func(it item) error {
		index := uint32(0)
		if !it.class.shared() {
			h, err := r.host(it.host)
			if err != nil {
				return err
			}
			index = h.Index
		}
		seen := map[string]bool{} // several rows may speak for one relation
		return eachSupport(tx, itemKey(it, index), nil, func(_ uint32, s support) error {
			rel, ok := relationByID(s.relation)
			id := rel.Name + "\x00" + string(s.target)
			if !ok || seen[id] {
				return nil
			}
			seen[id] = true
			to, err := splitKey(tx, s.target)
			if err != nil {
				return err
			}
			return fn(Edge{From: it.id(), To: to.id(), Relation: rel.Name, FirstSeen: s.first.Time()})
		})
	})
}
