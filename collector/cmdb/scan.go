package cmdb

import (
	"errors"
	"slices"
	"strings"

	"atalaya/collector/inventory"
	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
)

// ItemQuery selects items; the zero value selects all.
type ItemQuery struct {
	Class Class
	ID    string
	Hosts *store.HostSet // that they belong to; nil: all, and those that the fleet shares
}

// Items calls fn for the items that q selects, those that are gone too, within the
// caller's transaction. store.ErrStop ends it.
func Items(tx *store.Tx, q ItemQuery, fn func(Item) error) error {
	one, ok := selected(q.ID)
	if !ok {
		return nil
	}
	stopped := false
	take := func(it Item) error {
		if q.ID != "" && it.ID != q.ID {
			return nil
		}
		err := fn(it)
		stopped = errors.Is(err, store.ErrStop)
		return err
	}
	var only []identity.HostID
	if one.class != 0 && !one.class.shared() {
		only = append(only, one.host)
	}
	for _, c := range classes {
		if q.Class != 0 && c.class != q.Class || one.class != 0 && c.class != one.class || c.shared && q.Hosts != nil {
			continue
		}
		r := reader{tx: tx}
		var err error
		if c.shared {
			err = r.sharedItems(one, take)
		} else {
			err = r.localItems(c.class, q.Hosts, only, take)
		}
		if err != nil && !errors.Is(err, store.ErrStop) || stopped {
			return ignoreStop(err)
		}
	}
	return nil
}

func ignoreStop(err error) error {
	if errors.Is(err, store.ErrStop) {
		return nil
	}
	return err
}

// sharedItems gives the items of a class that the fleet shares, or one of them.
func (r *reader) sharedItems(one item, fn func(Item) error) error {
	if one.class != 0 {
		_, known, err := r.record(one)
		if err != nil || !known {
			return err
		}
		d, err := r.describe(one)
		if err != nil {
			return err
		}
		return fn(d)
	}
	return r.items(Software, item{}, func(it item, _ itemRecord) error {
		d, err := r.describe(it)
		if err != nil {
			return err
		}
		return fn(d)
	})
}

// localItems gives the items of a class that belong to hosts. Of many hosts the log is
// read once, of few that of each.
func (r *reader) localItems(class Class, set *store.HostSet, only []identity.HostID, fn func(Item) error) error {
	hosts, err := hostsOf(r.tx, r.tx.Now(), set, only)
	if err != nil {
		return err
	}
	for len(hosts) > 0 {
		n := min(maxSince, len(hosts))
		if err := r.itemsOfHosts(class, hosts[:n], fn); err != nil {
			return err
		}
		hosts = hosts[n:]
	}
	return nil
}

func (r *reader) itemsOfHosts(class Class, hosts []store.Host, fn func(Item) error) error {
	var traces map[identity.HostID]*trace
	if len(hosts) > fewHosts && class != Host {
		var err error
		if traces, err = readTraces(r.tx, class, hosts); err != nil {
			return err
		}
	}
	for _, h := range hosts {
		r.hosts, r.memories = map[identity.HostID]store.Host{h.ID: h}, nil // of no use for the next
		var err error
		switch t := traces[h.ID]; {
		case class == Host:
			d := Item{}
			if d, err = r.describe(item{class: Host, host: h.ID}); err == nil {
				err = fn(d)
			}
		case t != nil && !t.cleared:
			err = t.each(class, h, fn)
		default:
			err = r.itemsOf(h.ID, class, item{}, func(it item, _ itemRecord) error {
				d, err := r.describe(it)
				if err != nil {
					return err
				}
				return fn(d)
			})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// trace is what the rows of a section of a host said, followed back through the log.
type trace struct {
	live  map[string][]observation // what rows say at the moment that was reached, by key
	items map[item]*traced
	// cleared: the section went away whole at some time, which is followed from the beginning (see memory).
	cleared bool
}

// traced is an item that was found on the way back.
type traced struct {
	itemRecord
	attributes map[string]string // of the first row that says it now
}

// readTraces follows a section of hosts back from the present.
func readTraces(tx *store.Tx, class Class, hosts []store.Host) (map[identity.HostID]*trace, error) {
	section := sections[class]
	state, traces := tx.Now(), map[identity.HostID]*trace{}
	for _, h := range hosts {
		t := &trace{live: map[string][]observation{}, items: map[item]*traced{}}
		traces[h.ID] = t
		err := eachRow(state, h.Index, section, func(key string, row facts.Row) error {
			said := derivations[section](h.ID, row)
			if len(said) > 0 {
				t.live[key] = said
			}
			for _, o := range said {
				if t.items[o.item] == nil {
					t.items[o.item] = &traced{attributes: o.attributes}
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	err := eachChange(tx, hosts, store.ChangeQuery{Section: section, NewestFirst: true}, func(c store.Change) error { return traces[c.Host].undo(c) })
	if err != nil {
		return nil, err
	}
	history, err := tx.HistoryFrom()
	for _, t := range traces {
		t.first(facts.TimeOf(history)) // what was there where the log begins
	}
	return traces, err
}

// undo goes back over one change.
func (t *trace) undo(c store.Change) error {
	at := facts.TimeOf(c.Received)
	switch c.Kind {
	case store.Baseline:
		t.first(at)
		clear(t.live)
		return nil
	case store.Cleared:
		t.cleared = t.cleared || c.Rows > 0
		return nil
	case store.StatusChanged:
		return nil
	}
	derive := derivations[c.Section]
	gone, come, err := observations(derive, c)
	if err != nil {
		return err
	}
	before, err := observe(derive, c, c.Old)
	if err != nil {
		return err
	}
	for _, o := range gone {
		if t.items[o.item] == nil {
			t.items[o.item] = &traced{itemRecord: itemRecord{Gone: at}}
		}
	}
	for _, o := range come {
		if it := t.items[o.item]; it != nil {
			it.First = at
		}
	}
	if delete(t.live, c.Key); len(before) > 0 {
		t.live[c.Key] = before
	}
	return nil
}

// first says that what is live now was there from a moment on.
func (t *trace) first(at facts.Time) {
	for _, said := range t.live {
		for _, o := range said {
			if it := t.items[o.item]; it != nil {
				it.First = at
			}
		}
	}
}

// each gives the items of a class by name, as reader.describe does.
func (t *trace) each(class Class, h store.Host, fn func(Item) error) error {
	var list []Item
	for it, is := range t.items {
		if it.class != class {
			continue
		}
		out := Item{ID: it.id(), Class: class, Name: it.name, FirstSeen: is.First.Time(), LastSeen: is.Gone.Time(), Present: is.Gone == 0,
			Host: &inventory.HostRef{ID: h.ID, Name: h.Name}, Attributes: is.attributes}
		if out.Present {
			out.LastSeen = h.LastSeen
		}
		out.named()
		list = append(list, out)
	}
	slices.SortFunc(list, func(a, b Item) int { return strings.Compare(a.ID, b.ID) })
	for _, it := range list {
		if err := fn(it); err != nil {
			return err
		}
	}
	return nil
}
