package store

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	"atalaya/shared/facts"
	"atalaya/shared/wire"
)

// layout says how the rows of a section are stored, from the tags of its columns:
// `store:"host"` keeps a column apart from the item, because it differs from host to
// host; `store:"own"` keeps the rows of the section whole with their host, because
// they hardly repeat. Neither changes what is stored, only what it costs; a column
// with "host" must not be part of the key.
type layout struct {
	own   bool
	host  map[uint64]bool // numbers of the columns
	names []string        // of the same columns in JSON
	name  int             // which part of the key is the column "name", from 0, or noName
}

// noName: the column "name" is no part of the key by which rows could be found.
const noName = -1

var layouts = readLayouts()

func readLayouts() map[facts.ID]layout {
	out := map[facts.ID]layout{}
	for _, s := range facts.Sections() {
		l := layout{host: map[uint64]bool{}, name: namePlace(s)}
		t := reflect.TypeOf(s.New()).Elem()
		for i := range t.NumField() {
			tag := t.Field(i).Tag
			number, _, _ := strings.Cut(tag.Get("cbor"), ",")
			name, _, _ := strings.Cut(tag.Get("json"), ",")
			column, err := strconv.ParseUint(number, 10, 64)
			switch {
			case tag.Get("store") == "own":
				l.own = true
			case tag.Get("store") == "host" && err == nil:
				l.host[column] = true
				l.names = append(l.names, name)
			}
		}
		out[s.ID] = l
	}
	return out
}

// namePlace asks rows of a section for their keys, an empty one and one that is full,
// which part of them is the column "name". Where they do not agree, it is none.
func namePlace(s facts.Section) int {
	place := func(fill string) int {
		row := s.New()
		v := reflect.ValueOf(row).Elem()
		for i := range v.NumField() {
			switch f := v.Field(i); {
			case v.Type().Field(i).Name == "Name" && f.Kind() == reflect.String:
				f.SetString("\x02name")
			case fill == "":
			case f.Kind() == reflect.String:
				f.SetString(fill)
			case f.CanInt():
				f.SetInt(7)
			case f.Kind() == reflect.Bool:
				f.SetBool(true)
			case f.Type() == reflect.TypeFor[[]string]():
				f.Set(reflect.ValueOf([]string{fill}))
			}
		}
		return slices.Index(facts.KeyParts(row.Key()), "\x02name")
	}
	if empty := place(""); empty == place("full") {
		return empty
	}
	return noName
}

// Shared reports whether the rows of a section are items, which many hosts may have.
// The rows of other sections are read by host only.
func Shared(section facts.ID) bool { return !layouts[section].own }

// HostColumns returns the JSON names of the columns that the items of a section lack,
// because each host has its own value.
func HostColumns(section facts.ID) []string { return layouts[section].names }

// split cuts a row into what an item holds and what the host holds; false: the row
// is kept whole with the host.
func (l layout) split(row []byte) (common, pairs []byte, ok bool) {
	if l.own {
		return nil, nil, false
	}
	if len(l.host) == 0 {
		return row, nil, true
	}
	common, pairs, err := wire.SplitRow(row, func(column uint64) bool { return l.host[column] })
	if err != nil {
		return row, nil, true
	}
	if again, err := wire.JoinRow(common, pairs); err != nil || string(again) != string(row) {
		return row, nil, true // not canonical: an item of its own
	}
	return common, pairs, true
}
