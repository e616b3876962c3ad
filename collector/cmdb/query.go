package cmdb

import (
	"cmp"
	"errors"
	"fmt"
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
			out.Name, out.Present, out.FirstSeen, out.LastSeen = h.Name, h.RemovedAt.IsZero(), h.KnownFrom, h.LastSeen
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
	out.named()
	return err
}

// named gives an item of one host, whose id may tell no name, one for people.
func (it *Item) named() {
	if it.Class == OperatingSystem {
		it.Name = it.Attributes["name"]
	}
	if it.Name == "" {
		it.Name = it.Host.Name
	}
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
