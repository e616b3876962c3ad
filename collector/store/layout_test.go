package store

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"atalaya/shared/facts"
	"atalaya/shared/wire"
)

func TestColumnsOfTheHostAreNotInTheKey(t *testing.T) {
	for _, s := range facts.Sections() {
		typ := reflect.TypeOf(s.New()).Elem()
		for i := range typ.NumField() {
			f := typ.Field(i)
			switch tag := f.Tag.Get("store"); tag {
			case "", "own":
				continue
			case "host":
			default:
				t.Errorf("%s.%s: unknown tag store:%q", typ, f.Name, tag)
			}
			a, b := s.New(), s.New()
			v := reflect.ValueOf(b).Elem().Field(i)
			switch v.Kind() {
			case reflect.String:
				v.SetString("x")
			case reflect.Int, reflect.Int64:
				v.SetInt(7)
			case reflect.Bool:
				v.SetBool(true)
			}
			if a.Key() != b.Key() {
				t.Errorf("%s.%s is kept with the host, but is part of the key", typ, f.Name)
			}
		}
	}
}

func TestItemsAreFoundByNameAndPrefix(t *testing.T) {
	s := open(t)
	h := [8]byte{1}
	addHost(t, s, h)
	var pk []facts.Item
	for _, n := range []string{"openssl", "openssh", "open"} {
		pk = append(pk, item(t, facts.Packages, n, 1))
	}
	slices.SortFunc(pk, func(a, b facts.Item) int { return strings.Compare(a.Key, b.Key) })
	apply(t, s, Delivery{h, batch(1, update(facts.Packages, nil, pk), update(facts.Users, nil, []facts.Item{user(t, "ann", 1), user(t, "anna", 1)})), t0})
	f := func(section facts.ID, name, prefix string, named, begin int) {
		t.Helper()
		n, p := 0, 0
		err := s.View(func(tx *Tx) error {
			if err := tx.Now().ItemsNamed(section, name, func(Item) error { n++; return nil }); err != nil {
				return err
			}
			return tx.Now().Items(section, prefix, func(Item) error { p++; return nil })
		})
		if err != nil || n != named || p != begin {
			t.Errorf("%s %q: %d by name, %d by prefix, %v; want %d, %d", section, name, n, p, err, named, begin)
		}
	}
	f(facts.Packages, "openssl", "dpkg\x00open", 1, 3)
	f(facts.Packages, "open", "dpkg\x00open\x00", 1, 1)
	f(facts.Packages, "ope", "rpm", 0, 0)
	f(facts.Users, "ann", "ann", 1, 2)
	f(facts.Users, "", "", 0, 2)
}

// TestItemsAreFoundByNameInEverySection: wherever the name stands in the key, if at all,
// and whatever the parts beside it hold.
func TestItemsAreFoundByNameInEverySection(t *testing.T) {
	s := open(t)
	h := [8]byte{1}
	addHost(t, s, h)
	texts := []string{"ssh", "ssh-agent", "s", "", "\x01ssh", "ssh\x00d", "s\x00\x01sh", "dpkg"}
	var places []int
	for seq, sec := range facts.Sections() {
		var rows []facts.Row
		for n := range 64 {
			row := sec.New()
			v := reflect.ValueOf(row).Elem()
			for i := range v.NumField() {
				if v.Field(i).Kind() == reflect.String {
					v.Field(i).SetString(texts[(n>>(i%3)+i*n/8)%len(texts)])
				}
			}
			rows = append(rows, row)
		}
		items, err := wire.Items(facts.Sort(rows))
		if err != nil {
			t.Fatal(err)
		}
		apply(t, s, Delivery{h, batch(uint64(seq+1), update(sec.ID, nil, items)), t0})
		places = append(places, layouts[sec.ID].name)
		err = s.View(func(tx *Tx) error {
			for _, name := range texts {
				named, all := 0, 0
				err := tx.Now().ItemsNamed(sec.ID, name, func(Item) error { named++; return nil })
				if err != nil {
					return err
				}
				err = tx.Now().Items(sec.ID, "", func(it Item) error {
					row, err := wire.DecodeRow(sec.ID, it.Data)
					if err == nil && hasName(row, name) {
						all++
					}
					return err
				})
				if err != nil || named != all {
					t.Errorf("%s %q: %d by name, %d have it, %v", sec.Name, name, named, all, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []int{noName, 0, 1, 2} {
		if !slices.Contains(places, want) {
			t.Errorf("no section has its name at %d", want)
		}
	}
}
