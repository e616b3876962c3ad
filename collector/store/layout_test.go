package store

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"atalaya/shared/facts"
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
