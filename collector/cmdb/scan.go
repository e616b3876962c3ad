package cmdb

import (
	"errors"
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
	stopped := false
	take := func(it item) error {
		err := fn(it)
		stopped = errors.Is(err, store.ErrStop)
		return err
	}
	for _, c := range classes {
		if class != 0 && c.class != class {
			continue
		}
		var err error
		if c.class == Host {
			err = r.tx.HostsFrom(identity.HostID{}, func(h store.Host) error { return take(item{class: Host, host: h.ID}) })
		} else {
			err = r.items(c.class, item{}, func(it item, _ itemRecord) error { return take(it) })
		}
		if err != nil || stopped {
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

// Edges calls fn for every relation that holds now, host by host, within the caller's
// transaction. store.ErrStop ends it.
func Edges(tx *store.Tx, fn func(Edge) error) error {
	return tx.Hosts(func(h store.Host) error {
		r := reader{tx: tx} // what it remembers of a host is of no use for the next
		for _, rel := range relations {
			m, err := r.memory(h.ID, sections[rel.From])
			if err != nil {
				return err
			}
			for _, it := range m.items(rel.From) {
				seen := map[item]bool{} // several rows may speak for one relation
				for _, s := range m.supports(it) {
					if s.relation != rel.ID || seen[s.target] {
						continue
					}
					seen[s.target] = true
					if err := fn(Edge{From: it.id(), To: s.target.id(), Relation: rel.Name, FirstSeen: s.first.Time()}); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
}
