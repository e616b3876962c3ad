package asset

import (
	"slices"
	"strings"
)

// Lock keeps fields from edits and imports until they are unlocked. A field without a
// value can be locked too.
func (b *Book) Lock(ref string, fields []string, by, why string) (Asset, error) {
	return b.locks(ref, by, func(p *pen, r Record) (Change, error) {
		c := Change{Asset: r.ID, Kind: Locked, Note: why}
		for _, name := range fields {
			if _, err := p.fields.named(name); err != nil {
				return c, err
			}
			if lock, ok := r.Locks[name]; ok {
				return c, r.lockError(name, lock)
			}
			c.Fields = append(c.Fields, FieldChange{Field: name})
		}
		return c, nil
	})
}

// Unlock ends locks.
func (b *Book) Unlock(ref string, fields []string, by, why string) (Asset, error) {
	return b.locks(ref, by, func(_ *pen, r Record) (Change, error) {
		c := Change{Asset: r.ID, Kind: Unlocked, Note: why}
		for _, name := range fields {
			lock, ok := r.Locks[name]
			if !ok {
				return c, conflictf("%s of %s is not locked", name, r.Label())
			}
			c.Fields = append(c.Fields, FieldChange{Field: name, Lock: &lock})
		}
		return c, nil
	})
}

func (b *Book) locks(ref, by string, fn func(*pen, Record) (Change, error)) (a Asset, err error) {
	err = b.write(by, func(p *pen) error {
		r, err := find(p.tx, ref)
		if err != nil {
			return err
		}
		c, err := fn(p, r)
		if err == nil && len(c.Fields) == 0 {
			err = invalidf("name the fields, such as owner location")
		}
		slices.SortFunc(c.Fields, func(a, b FieldChange) int { return strings.Compare(a.Field, b.Field) })
		if n := len(c.Fields); err == nil && len(slices.CompactFunc(slices.Clone(c.Fields), func(a, b FieldChange) bool { return a.Field == b.Field })) < n {
			err = invalidf("a field is named twice")
		}
		if err != nil {
			return err
		}
		if c, err = p.write(c); err != nil {
			return err
		}
		r = r.clone()
		r.apply(c)
		a, err = describe(p.tx, r, true)
		return err
	})
	return a, err
}

// Remove takes a record away. Its history stays, and AS OF shows it as it was.
func (b *Book) Remove(ref, by, why string) (r Record, err error) {
	err = b.write(by, func(p *pen) error {
		if r, err = find(p.tx, ref); err != nil {
			return err
		}
		return p.remove(r, why)
	})
	return r, err
}

func (p *pen) remove(r Record, why string) error {
	for _, f := range p.fields {
		if lock, ok := r.Locks[f.Name]; ok {
			return r.lockError(f.Name, lock)
		}
	}
	c := Change{Asset: r.ID, Kind: Removed, Note: why}
	for name, v := range r.Values {
		c.Fields = append(c.Fields, FieldChange{Field: name, Old: v})
	}
	_, err := p.write(c)
	return err
}
