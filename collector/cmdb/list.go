package cmdb

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"atalaya/collector/store"
	"atalaya/shared/identity"
)

// ListQuery selects items; empty fields select all.
type ListQuery struct {
	Class Class
	Name  string // part of the name, any case, or with * and ? as in path.Match
	Host  string // items that belong to the host, see inventory.FindHost
	Gone  bool   // also items that are no longer there
	After string // id of the last item of the page before
	Limit int    // 0: all
}

// Count returns how many items the CMDB holds: those that are there, and of those that
// the fleet shares also what is remembered.
func (v *View) Count() (n int, err error) {
	err = v.store.View(func(tx *store.Tx) error {
		items, err := tx.Table(tableShared).Count()
		n = int(items)
		for _, c := range classes {
			rows, err2 := readCount(tx, c.class)
			n += int(rows)
			err = errors.Join(err, err2)
		}
		if err != nil {
			return err
		}
		hosts, err := tx.CountHosts() // they live in the store itself
		n += hosts
		return err
	})
	return n, err
}

// List returns items by class and, within it, in a fixed order; more tells that there
// are others behind.
func (v *View) List(q ListQuery) (items []Item, more bool, err error) {
	if _, err := path.Match(q.Name, ""); err != nil {
		return nil, false, fmt.Errorf("name %q: %w", q.Name, err)
	}
	items = []Item{}
	err = v.store.View(func(tx *store.Tx) error {
		l := lister{reader: reader{tx: tx}, query: q}
		if err := l.prepare(); err != nil {
			return err
		}
		for _, c := range classes {
			if l.more || c.class < l.after.class || q.Class != 0 && c.class != q.Class {
				continue
			}
			if err := l.class(c.class); err != nil {
				return err
			}
		}
		items, more = append(items, l.out...), l.more
		return nil
	})
	return items, more, err
}

// lister is one run of List.
type lister struct {
	reader
	query ListQuery
	host  identity.HostID // of query.Host
	after item            // of query.After
	out   []Item
	more  bool
}

func (l *lister) prepare() error {
	if l.query.Host != "" {
		h, err := l.findHost(l.query.Host)
		if err != nil {
			return err
		}
		l.host = h.ID
	}
	if l.query.After == "" {
		return nil
	}
	it, err := parseID(l.query.After)
	if err != nil {
		return err
	}
	if !it.class.shared() {
		if _, err := l.reader.host(it.host); err != nil {
			return err
		}
	}
	l.after = it
	return nil
}

// parseID is the inverse of item.id.
func parseID(id string) (item, error) {
	name, rest, _ := strings.Cut(id, "/")
	class, ok := ClassByName(name)
	if !ok {
		return item{}, fmt.Errorf("id %q: %w", id, ErrNotFound)
	}
	if class.shared() {
		return item{class: class, name: rest}, nil
	}
	host, rest, _ := strings.Cut(rest, "/")
	h, err := identity.ParseHostID(host)
	if err != nil {
		return item{}, fmt.Errorf("id %q: %w", id, ErrNotFound)
	}
	return item{class, h, rest}, nil
}

// class adds the items of one class.
func (l *lister) class(class Class) error {
	if class == Host {
		return l.tx.HostsFrom(l.after.host, func(h store.Host) error {
			if h.ID == l.after.host && l.after.class == Host {
				return nil
			}
			return l.add(item{class: Host, host: h.ID}, true)
		})
	}
	add := func(it item, rec itemRecord) error { return l.add(it, rec.Gone == 0) }
	if l.query.Host == "" || class.shared() {
		return l.items(class, l.after, add)
	}
	err := l.itemsOf(l.host, class, l.after, add)
	if errors.Is(err, store.ErrStop) {
		return nil
	}
	return err
}

func (l *lister) add(it item, present bool) error {
	if !present && !l.query.Gone || l.query.Host != "" && it.host != l.host {
		return nil
	}
	d, err := l.describe(it)
	if err != nil {
		return err
	}
	if !fitsName(d.Name, l.query.Name) {
		return nil
	}
	if l.query.Limit > 0 && len(l.out) == l.query.Limit {
		l.more = true
		return store.ErrStop
	}
	l.out = append(l.out, d)
	return nil
}

func fitsName(name, pattern string) bool {
	if strings.ContainsAny(pattern, `*?[\`) {
		ok, _ := path.Match(pattern, name) // checked before
		return ok
	}
	return strings.Contains(strings.ToLower(name), strings.ToLower(pattern))
}
