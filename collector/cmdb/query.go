package cmdb

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"atalaya/collector/inventory"
	"atalaya/collector/store"
	"atalaya/shared/identity"
)

// ErrNotFound: no item of that id.
var ErrNotFound = errors.New("no such configuration item")

// Item is a configuration item.
type Item struct {
	ID         string             `json:"id"`
	Class      Class              `json:"class"`
	Name       string             `json:"name"`
	Host       *inventory.HostRef `json:"host,omitempty"` // the host it belongs to, where the class has one
	FirstSeen  time.Time          `json:"first_seen,omitzero"`
	LastSeen   time.Time          `json:"last_seen,omitzero"` // for what is gone: since when
	Present    bool               `json:"present"`
	Attributes map[string]string  `json:"attributes,omitempty"` // of items that belong to a host
}

// Related is an item at the other end of a relation.
type Related struct {
	Relation   string            `json:"relation"` // read from the item that was asked for: "runs_on", or "runs" from the other end
	Item       Item              `json:"item"`
	FirstSeen  time.Time         `json:"first_seen,omitzero"`
	Attributes map[string]string `json:"attributes,omitempty"` // of the relation: the version of a package there
	source     bool              // the item that was asked for is the relation's source
	relation   Relation
}

// Detail is an item with its relations.
type Detail struct {
	Item
	Relations []Related `json:"relations"` // by relation and id
}

// Show returns an item with its relations; see Find for what ref may be.
func (v *View) Show(ref string) (d Detail, err error) {
	err = v.store.View(func(tx *store.Tx) error {
		r := reader{tx: tx}
		it, err := r.find(ref)
		if err != nil {
			return err
		}
		if d.Item, err = r.describe(it); err != nil {
			return err
		}
		d.Relations, err = r.related(it)
		return err
	})
	return d, err
}

// reader resolves items within one transaction and remembers hosts.
type reader struct {
	tx       *store.Tx
	hosts    map[identity.HostID]store.Host
	memories map[hostSection]memory
}

func (r *reader) host(id identity.HostID) (store.Host, error) {
	if h, ok := r.hosts[id]; ok {
		return h, nil
	}
	h, ok, err := r.tx.Host(id)
	if err != nil {
		return h, err
	}
	if !ok {
		return h, fmt.Errorf("host %s: %w", id, ErrNotFound)
	}
	if r.hosts == nil {
		r.hosts = map[identity.HostID]store.Host{}
	}
	r.hosts[id] = h
	return h, nil
}

// id is the stable text of an item.
func (it item) id() string {
	parts := []string{it.class.String()}
	if !it.class.shared() {
		parts = append(parts, it.host.String())
	}
	if it.name != "" {
		parts = append(parts, it.name)
	}
	return strings.Join(parts, "/")
}

// find resolves what a person writes: an id, or CLASS:NAME with the names of things:
// "host:web1", "operating_system:web1", "service:web1/nginx", "software:openssl",
// "software:dpkg/openssl", "network_address:10.0.0.1", or a host alone: "web1".
func (r *reader) find(ref string) (item, error) {
	i := strings.IndexAny(ref, ":/")
	if i < 0 {
		h, err := r.findHost(ref)
		return item{class: Host, host: h.ID}, err
	}
	class, ok := ClassByName(ref[:i])
	if !ok {
		return item{}, fmt.Errorf("%q: %w: no class is called %q", ref, ErrNotFound, ref[:i])
	}
	rest := ref[i+1:]
	switch class {
	case Host, OperatingSystem:
		h, err := r.findHost(rest)
		it := item{class: class, host: h.ID}
		if err != nil || class == Host {
			return it, err
		}
		return r.known(it, ref)
	case Software:
		return r.findByName(ref, class, "", func(it item) bool {
			_, name, _ := strings.Cut(it.name, "/")
			return it.name == rest || name == rest
		})
	}
	if host, name, ok := strings.Cut(rest, "/"); ok {
		if h, err := r.findHost(host); err == nil {
			return r.known(item{class, h.ID, name}, ref)
		}
	}
	return r.findByName(ref, class, rest, func(it item) bool { return it.name == rest })
}

func (r *reader) findHost(ref string) (store.Host, error) {
	h, err := inventory.FindHost(r.tx, ref)
	if errors.Is(err, inventory.ErrNotFound) {
		return h, fmt.Errorf("host %q: %w", ref, ErrNotFound)
	}
	return h, err
}

func (r *reader) known(it item, ref string) (item, error) {
	_, known, err := r.record(it)
	if err == nil && !known {
		err = fmt.Errorf("%q: %w", ref, ErrNotFound)
	}
	return it, err
}

// record returns what is remembered of an item; false: nothing.
func (r *reader) record(it item) (itemRecord, bool, error) {
	if it.class.shared() {
		rec, err := readShared(r.tx, sharedKey(it))
		return rec.itemRecord, rec.First != 0, err
	}
	m, err := r.memory(it.host, sections[it.class])
	if rec := m[it]; rec != nil {
		return rec.itemRecord, true, err
	}
	return itemRecord{}, false, err
}

// AmbiguousError is a name that several items answer to.
type AmbiguousError struct {
	Ref string
	IDs []string // the first ones
}

// Error implements error.
func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("%q is ambiguous, use an id: %s", e.Ref, strings.Join(e.IDs, " "))
}

// maxMatches is how many items an ambiguous name lists.
const maxMatches = 10

// findByName finds the one item of a class that fits; one that is present wins over
// those that are gone. name, where it is given, is the name of all that fit.
func (r *reader) findByName(ref string, class Class, name string, fits func(item) bool) (item, error) {
	var present, gone []item
	take := func(it item, rec itemRecord) error {
		switch {
		case !fits(it):
		case rec.Gone == 0:
			present = append(present, it)
		default:
			gone = append(gone, it)
		}
		return nil
	}
	hosts, known, err := r.having(class, name)
	switch {
	case err != nil:
	case known:
		for _, id := range hosts[:min(len(hosts), maxMatches+1)] {
			it := item{class, id, name}
			rec, has, err := r.record(it)
			if err != nil {
				return item{}, err
			}
			if !has {
				continue
			}
			if err := take(it, rec); err != nil {
				return item{}, err
			}
		}
	default:
		err = r.items(class, item{}, take)
	}
	if len(present) == 0 {
		present = gone
	}
	switch {
	case err != nil:
		return item{}, err
	case len(present) == 0:
		return item{}, fmt.Errorf("%q: %w", ref, ErrNotFound)
	case len(present) == 1:
		return present[0], nil
	}
	e := &AmbiguousError{Ref: ref}
	for _, it := range present[:min(len(present), maxMatches)] {
		e.IDs = append(e.IDs, it.id())
	}
	return item{}, e
}

// items calls fn for the items of a class in a fixed order, behind the item after:
// those of hosts by the number of the host, then by name.
func (r *reader) items(class Class, after item, fn func(item, itemRecord) error) error {
	if class.shared() {
		from := []byte(nil)
		if after.class == class {
			from = sharedKey(after)
		}
		return r.tx.Table(tableShared).ScanFrom([]byte{byte(class)}, from, func(k, v []byte) error {
			if string(k) == string(from) {
				return nil
			}
			rec, err := decodeShared(k, v)
			if err != nil {
				return err
			}
			return fn(item{class: class, name: string(k[1:])}, rec.itemRecord)
		})
	}
	var hosts []store.Host
	err := r.tx.Hosts(func(h store.Host) error {
		hosts = append(hosts, h)
		return nil
	})
	slices.SortFunc(hosts, func(a, b store.Host) int { return cmp.Compare(a.Index, b.Index) })
	begin := uint32(0)
	if err == nil && after.class == class {
		h, err := r.host(after.host)
		if err != nil {
			return err
		}
		begin = h.Index
	}
	for i := 0; i < len(hosts) && err == nil; i++ {
		if hosts[i].Index < begin {
			continue
		}
		if err = r.itemsOf(hosts[i].ID, class, after, fn); errors.Is(err, store.ErrStop) {
			return nil
		}
	}
	return err
}

func (r *reader) itemsOf(host identity.HostID, class Class, after item, fn func(item, itemRecord) error) error {
	m, err := r.memory(host, sections[class])
	if err != nil {
		return err
	}
	for _, it := range m.items(class) {
		if after.class == class && after.host == host && it.name <= after.name {
			continue
		}
		if err := fn(it, m[it].itemRecord); err != nil {
			return err
		}
	}
	return nil
}

// describe gathers what is known of an item itself.
func (r *reader) describe(it item) (Item, error) {
	out := Item{ID: it.id(), Class: it.class, Name: it.name}
	if !it.class.shared() {
		h, err := r.host(it.host)
		if err != nil {
			return out, err
		}
		out.Host = &inventory.HostRef{ID: h.ID, Name: h.Name}
		if it.class == Host {
			out.Name, out.Present, out.FirstSeen, out.LastSeen = h.Name, h.RemovedAt.IsZero(), h.EnrolledAt, h.LastSeen
			return out, nil
		}
	}
	rec, known, err := r.record(it)
	if err != nil {
		return out, err
	}
	out.FirstSeen, out.LastSeen, out.Present = rec.First.Time(), rec.Gone.Time(), known && rec.Gone == 0
	if !it.class.shared() {
		if err := r.describeLocal(&out, it); err != nil {
			return out, err
		}
	}
	if _, name, ok := strings.Cut(out.Name, "/"); ok && it.class == Software {
		out.Name = name
	}
	return out, nil
}

// describeLocal adds what only an item of one host has: attributes, and the host's
// last sign of life as its own.
func (r *reader) describeLocal(out *Item, it item) error {
	if out.Present {
		out.LastSeen = r.hosts[out.Host.ID].LastSeen
	}
	m, err := r.memory(it.host, sections[it.class])
	for _, s := range m.supports(it) {
		out.Attributes = s.attributes
		break
	}
	if out.Class == OperatingSystem {
		out.Name = out.Attributes["name"]
	}
	if out.Name == "" {
		out.Name = out.Host.Name
	}
	return err
}

// related returns what an item is related to: as source from what rows say of it, as
// target from what rows of its host say.
func (r *reader) related(it item) ([]Related, error) {
	out := []Related{}
	seen := map[string]bool{}
	supports, err := r.supports(it)
	if err != nil {
		return nil, err
	}
	for _, s := range supports {
		rel, err := r.relate(s, s.target, true)
		if err != nil {
			return nil, err
		}
		if id := fmt.Sprint(s.relation, rel.Item.ID, rel.Attributes); !seen[id] {
			seen[id] = true
			out = append(out, rel)
		}
	}
	incoming, err := r.incoming(it)
	if err != nil {
		return nil, err
	}
	for _, s := range incoming {
		rel, err := r.relate(s, s.item, false)
		if err != nil {
			return nil, err
		}
		out = append(out, rel)
	}
	slices.SortStableFunc(out, func(a, b Related) int {
		if c := strings.Compare(a.Relation, b.Relation); c != 0 {
			return c
		}
		return strings.Compare(a.Item.ID, b.Item.ID)
	})
	return out, nil
}

// supports returns what rows say of an item.
func (r *reader) supports(it item) ([]support, error) {
	switch {
	case it.class == Host:
		return nil, nil
	case it.class.shared():
		return r.installed(it)
	}
	m, err := r.memory(it.host, sections[it.class])
	return m.supports(it), err
}

// incoming returns what rows say of others that stand in a relation to an item. Both
// ends of a relation belong to the host of the row, or one is shared and is its source.
func (r *reader) incoming(it item) ([]support, error) {
	var out []support
	for _, rel := range relations {
		if rel.To != it.class {
			continue
		}
		m, err := r.memory(it.host, sections[rel.From])
		if err != nil {
			return nil, err
		}
		for _, source := range m.items(rel.From) {
			for _, s := range m.supports(source) {
				if s.relation == rel.ID && s.target == it {
					out = append(out, s)
				}
			}
		}
	}
	return out, nil
}

func (r *reader) relate(s support, other item, source bool) (Related, error) {
	rel, ok := relationByID(s.relation)
	if !ok {
		return Related{}, fmt.Errorf("relation %d: %w", s.relation, store.ErrCorrupt)
	}
	out := Related{Relation: rel.Name, FirstSeen: s.first.Time(), source: source, relation: rel}
	if !source {
		out.Relation = rel.Inverse
	}
	if rel.From.shared() {
		out.Attributes = s.attributes
	}
	var err error
	out.Item, err = r.describe(other)
	return out, err
}

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
		return tx.Hosts(func(store.Host) error { n++; return nil }) // hosts live in the store itself
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
