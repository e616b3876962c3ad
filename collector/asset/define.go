package asset

import (
	"encoding/json"
	"strings"

	"atalaya/collector/store"
)

// Fields returns the fields that there are.
func (b *Book) Fields() (out []Field, err error) {
	err = b.store.View(func(tx *store.Tx) (err error) {
		out, err = Fields(tx)
		return err
	})
	return out, err
}

// Fields returns the fields that there are, the built-in ones first.
func Fields(tx *store.Tx) ([]Field, error) {
	if err := whole(tx); err != nil {
		return nil, err
	}
	return readFields(tx)
}

// Define makes a custom field.
func (b *Book) Define(f Field, by string) error {
	return b.write(by, func(p *pen) error {
		if len(p.fields) >= len(builtin)+maxCustom {
			return conflictf("there are %d custom fields already, as many as there may be", maxCustom)
		}
		if err := p.fields.checkCustom(f); err != nil {
			return err
		}
		v, err := json.Marshal(f)
		if err != nil {
			return err
		}
		_, err = p.write(Change{Kind: Defined, Fields: []FieldChange{{Field: f.Name, New: string(v)}}})
		return err
	})
}

// Forget takes a custom field away. While assets have values in it, it refuses.
func (b *Book) Forget(name, by string) error {
	return b.write(by, func(p *pen) error {
		f, err := p.fields.named(name)
		if err != nil {
			return err
		}
		if !f.Custom {
			return conflictf("%s is a built-in field", name)
		}
		var having []string
		err = Each(p.tx, 0, func(r Record) error {
			_, locked := r.Locks[name]
			if r.Values[name] != "" || locked {
				having = append(having, r.ID.String())
			}
			return nil
		})
		if err != nil {
			return err
		}
		if len(having) > 0 {
			return conflictf("%d assets have a value or a lock in %s, such as %s: unset it there first", len(having), name, strings.Join(having[:min(3, len(having))], ", "))
		}
		v, err := json.Marshal(f)
		if err != nil {
			return err
		}
		_, err = p.write(Change{Kind: Forgot, Fields: []FieldChange{{Field: name, Old: string(v)}}})
		return err
	})
}
