package asset

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
	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// Asset is a record with the host that it is. A host of which nothing is declared is an
// asset whose record has no number.
type Asset struct {
	Record
	Host *HostOf
	// Observed is what the host itself says, by the field that declares the same; only of
	// a single asset. Differs names the fields in which both speak and disagree.
	Observed map[string]string
	Differs  []string
}

// HostOf is the host that an asset is.
type HostOf struct {
	ID      identity.HostID
	Name    string
	Removed bool
}

// find returns the asset that a person means: by number, tag, serial number, name or host.
func find(tx *store.Tx, ref string) (Record, error) {
	r, host, err := findOrHost(tx, ref)
	if err == nil && r.ID == 0 {
		err = fmt.Errorf("%w: nothing is declared of host %s: `atalaya asset set %s FIELD=VALUE` makes its record", ErrNotFound, host.Name, host.Name)
	}
	return r, err
}

// findOrHost is find that gives a host of which nothing is declared, with a record
// without a number.
func findOrHost(tx *store.Tx, ref string) (Record, store.Host, error) {
	if err := whole(tx); err != nil {
		return Record{}, store.Host{}, err
	}
	found := map[ID]Record{}
	take := func(ids ...ID) error {
		for _, id := range ids {
			r, ok, err := readRecord(tx, id)
			if err != nil {
				return err
			}
			if ok {
				found[id] = r
			}
		}
		return nil
	}
	if id, ok := ParseID(ref); ok {
		if err := take(id); err != nil {
			return Record{}, store.Host{}, err
		}
	}
	for _, kind := range []string{keyTag, keySerial, keyName, keyHost} {
		if len(found) > 0 { // a number is never ambiguous: it is what errors ask for
			break
		}
		ids, err := byKey(tx, kind, ref)
		if err != nil {
			return Record{}, store.Host{}, err
		}
		if err := take(ids...); err != nil {
			return Record{}, store.Host{}, err
		}
	}
	if len(found) == 0 {
		return findByHost(tx, ref)
	}
	if len(found) > 1 {
		return Record{}, store.Host{}, ambiguous(ref, found)
	}
	for _, r := range found {
		return r, store.Host{}, nil
	}
	return Record{}, store.Host{}, nil
}

func ambiguous(ref string, found map[ID]Record) error {
	var labels []string
	for _, r := range found {
		labels = append(labels, r.Label())
	}
	slices.Sort(labels)
	if n := len(labels); n > 5 {
		labels = append(labels[:5], fmt.Sprintf("and %d more", n-5))
	}
	return invalidf("%q is ambiguous, use a number: %s", ref, strings.Join(labels, ", "))
}

func findByHost(tx *store.Tx, ref string) (Record, store.Host, error) {
	h, err := inventory.FindHost(tx, ref)
	var more *inventory.AmbiguousError
	switch {
	case errors.Is(err, inventory.ErrNotFound):
		return Record{}, h, fmt.Errorf("%w: no asset or host %q", ErrNotFound, ref)
	case errors.As(err, &more):
		return Record{}, h, invalidf("%w", err)
	case err != nil:
		return Record{}, h, err
	}
	r, _, err := OfHost(tx, h.ID)
	return r, h, err
}

// describe joins a record with its host, whole also with what the host says itself.
func describe(tx *store.Tx, r Record, whole bool) (Asset, error) {
	a := Asset{Record: r.clone()}
	id, ok := r.Host()
	if !ok {
		return a, nil
	}
	h, known, err := tx.Host(id)
	if err != nil {
		return a, err
	}
	a.Host = &HostOf{ID: id, Name: h.Name, Removed: !known || !h.RemovedAt.IsZero()}
	if a.Host.Removed {
		return a, nil
	}
	set(a.Values, FieldTags, strings.Join(h.Tags, " "))
	if whole {
		a.Observed, err = observe(tx, h)
		a.compare()
	}
	return a, err
}

// observe reads what a host says of itself that people declare too.
func observe(tx *store.Tx, h store.Host) (map[string]string, error) {
	out := map[string]string{}
	put := func(field, value string) {
		if value = strings.TrimSpace(value); value != "" && out[field] == "" {
			out[field] = value
		}
	}
	put(FieldName, h.Name)
	for _, section := range []facts.ID{facts.System, facts.Chassis, facts.Board} {
		err := tx.Rows(h.ID, section, func(_ string, data []byte) error {
			row, err := wire.DecodeRow(section, data)
			if err != nil {
				return err
			}
			switch r := row.(type) {
			case *facts.SystemRow:
				put(FieldSerial, genuine(r.Serial))
				put("manufacturer", genuine(r.Manufacturer))
				put("model", genuine(r.Product))
			case *facts.ChassisRow:
				put(FieldSerial, genuine(r.Serial))
				put(FieldTag, genuine(r.AssetTag))
			case *facts.BoardRow:
				put(FieldTag, genuine(r.AssetTag))
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// compare notes where what is declared and what is observed disagree.
func (a *Asset) compare() {
	for _, f := range builtin {
		declared, observed := a.Values[f.Name], a.Observed[f.Name]
		if declared != "" && observed != "" && foldKey(declared) != foldKey(observed) {
			a.Differs = append(a.Differs, f.Name)
		}
	}
}

// Asset returns one asset by number, tag, serial number, name or host.
func (b *Book) Asset(ref string) (a Asset, err error) {
	err = b.view(func(tx *store.Tx) error {
		r, host, err := findOrHost(tx, ref)
		if err != nil {
			return err
		}
		if r.ID == 0 {
			a, err = undeclared(tx, host, true)
			return err
		}
		a, err = describe(tx, r, true)
		return err
	})
	return a, err
}

func undeclared(tx *store.Tx, h store.Host, whole bool) (a Asset, err error) {
	a.Values, a.Locks = map[string]string{}, map[string]Lock{}
	a.Host = &HostOf{ID: h.ID, Name: h.Name}
	set(a.Values, FieldTags, strings.Join(h.Tags, " "))
	if whole {
		a.Observed, err = observe(tx, h)
	}
	return a, err
}

// Query selects assets.
type Query struct {
	Where map[string]string // by field: the value in any case; a pattern where it holds * or ?; empty: not declared
	// Before selects by dates: the field has one that is before the day.
	Before     map[string]string
	Tag        string
	Undeclared bool // only hosts of which nothing is declared
	After      string
	Limit      int // 0: all
}

// Assets returns assets by number, then hosts of which nothing is declared by theirs;
// next is where the next page begins, empty at the end.
func (b *Book) Assets(q Query) (out []Asset, next string, err error) {
	from, host := ID(0), identity.HostID{}
	if id, ok := ParseID(q.After); ok {
		from = id
	} else if q.After != "" {
		if host, err = identity.ParseHostID(q.After); err != nil {
			return nil, "", invalidf("the cursor is not one that this list gave")
		}
	}
	err = b.view(func(tx *store.Tx) error {
		if err := q.check(tx); err != nil {
			return err
		}
		if q.After == "" || from != 0 {
			if out, next, err = q.records(tx, from); err != nil || next != "" {
				return err
			}
		}
		return q.hosts(tx, host, &out, &next)
	})
	return out, next, err
}

func (q Query) check(tx *store.Tx) error {
	fields, err := readFields(tx)
	if err != nil {
		return err
	}
	for name, pattern := range q.Where {
		if _, err := fields.named(name); err != nil {
			return err
		}
		if _, err := path.Match(pattern, ""); err != nil {
			return invalidf("%s: pattern %q: %w", name, pattern, err)
		}
	}
	for name, day := range q.Before {
		f, err := fields.named(name)
		if err != nil {
			return err
		}
		if f.Type != Date {
			return invalidf("%s is no date", name)
		}
		if _, err := time.Parse(time.DateOnly, day); err != nil {
			return invalidf("%s: %q: want a day such as 2026-03-14", name, day)
		}
	}
	return nil
}

func (q Query) records(tx *store.Tx, from ID) (out []Asset, next string, err error) {
	if q.Undeclared {
		return nil, "", nil
	}
	err = Each(tx, from, func(r Record) error {
		a, err := describe(tx, r, false)
		if err != nil || !q.fits(a) {
			return err
		}
		if q.Limit > 0 && len(out) == q.Limit {
			next = r.ID.String()
			return store.ErrStop
		}
		out = append(out, a)
		return nil
	})
	return out, next, err
}

func (q Query) hosts(tx *store.Tx, from identity.HostID, out *[]Asset, next *string) error {
	return tx.HostsFrom(from, func(h store.Host) error {
		if ids, err := byKey(tx, keyHost, h.ID.String()); err != nil || len(ids) > 0 {
			return err
		}
		a, err := undeclared(tx, h, false)
		if err != nil || !q.fits(a) {
			return err
		}
		if q.Limit > 0 && len(*out) == q.Limit {
			*next = h.ID.String()
			return store.ErrStop
		}
		*out = append(*out, a)
		return nil
	})
}

func (q Query) fits(a Asset) bool {
	for name, pattern := range q.Where {
		value := a.Values[name]
		if name == FieldHost && a.Host != nil {
			value = cmp.Or(a.Host.Name, value)
		}
		if !matches(foldKey(pattern), foldKey(value)) {
			return false
		}
	}
	for name, day := range q.Before {
		if value := a.Values[name]; value == "" || value >= day {
			return false
		}
	}
	return q.Tag == "" || slices.Contains(strings.Fields(a.Values[FieldTags]), q.Tag)
}

// matches is path.Match that lets * stand for slashes too.
func matches(pattern, value string) bool {
	flat := func(s string) string { return strings.ReplaceAll(s, "/", "\x00") }
	ok, err := path.Match(flat(pattern), flat(value))
	return ok && err == nil || pattern == value
}
