package store

import (
	"bytes"
	"testing"

	"atalaya/shared/facts"
	"atalaya/shared/wire"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// compareBare holds the changes without the hosts' own columns equal to the whole ones.
func compareBare(t *testing.T, r *rapid.T, s *Store) {
	t.Helper()
	without := func(section facts.ID, item uint32, row []byte) []byte {
		if item == 0 || row == nil {
			return row
		}
		common, _, err := wire.SplitRow(row, func(column uint64) bool { return layouts[section].host[column] })
		if err != nil {
			r.Fatal(err)
		}
		return common
	}
	read := func(tx *Tx, q ChangeQuery) (list []Change, err error) {
		err = tx.ChangesBetween(FleetQuery{ChangeQuery: q}, func(c Change) error {
			c.Old, c.New = bytes.Clone(c.Old), bytes.Clone(c.New)
			list = append(list, c)
			return nil
		})
		return list, err
	}
	err := s.View(func(tx *Tx) error {
		for _, newestFirst := range []bool{false, true} {
			whole, err := read(tx, ChangeQuery{NewestFirst: newestFirst})
			if err != nil {
				return err
			}
			for i := range whole {
				c := &whole[i]
				c.Old, c.New = without(c.Section, c.OldItem, c.Old), without(c.Section, c.NewItem, c.New)
			}
			bare, err := read(tx, ChangeQuery{NewestFirst: newestFirst, Bare: true})
			if d := cmp.Diff(whole, bare); err != nil || d != "" {
				r.Fatalf("%v; changes (-whole +bare):\n%s", err, d)
			}
		}
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
}
