package query

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"

	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// Every table of facts begins with these columns.
const (
	columnHostID = iota
	columnHost
	firstColumn
)

var hostColumns = []TableColumn{
	{Name: "host_id", Type: "TEXT", Doc: "number of the host", Key: true},
	{Name: "host", Type: "TEXT", Doc: "name of the host", Key: true},
}

// section is a section of facts as a table.
type section struct {
	facts.Section
	fields []field
	name   int    // column "name"; -1: none
	host   uint64 // columns that items lack, as bits
}

// field is a column of the section's rows.
type field struct {
	index    int
	optional bool // zero is "not known"
}

func sectionTable(s facts.Section) Table {
	sec := section{Section: s, name: -1}
	columns := slices.Clone(hostColumns)
	lacking := store.HostColumns(s.ID)
	row := reflect.TypeOf(s.New()).Elem()
	for i := range row.NumField() {
		name, options, _ := strings.Cut(row.Field(i).Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		if name == "name" && store.Shared(s.ID) {
			sec.name = len(columns)
		}
		if slices.Contains(lacking, name) {
			sec.host |= 1 << min(len(columns), 63)
		}
		if name == "host" || name == "host_id" {
			name = "row_" + name // the first columns have these names
		}
		columns = append(columns, TableColumn{Name: name, Type: sqlType(row.Field(i).Type), Doc: columnDoc(s.Name, name), Key: sec.name == len(columns)})
		optional := strings.Contains(options, "omitempty") && row.Field(i).Type.Kind() != reflect.Bool
		sec.fields = append(sec.fields, field{i, optional})
	}
	return Table{Name: s.Name, Doc: s.Doc, Columns: columns, Past: true, Personal: s.Personal, Scan: sec.scan}
}

// sqlType is the type of a column whose Go type is t.
func sqlType(t reflect.Type) string {
	if t == reflect.TypeFor[facts.Time]() {
		return "TEXT"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return sqlType(t.Elem())
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "INTEGER"
	case reflect.Float32, reflect.Float64:
		return "REAL"
	}
	return "TEXT"
}

// values writes a row behind the columns of its host.
func (s *section) values(row facts.Row, into []any) {
	v := reflect.ValueOf(row).Elem()
	for i, f := range s.fields {
		into[firstColumn+i] = sqlValue(v.Field(f.index), f.optional)
	}
}

func sqlValue(v reflect.Value, optional bool) any {
	if optional && v.IsZero() {
		return nil
	}
	if t, ok := v.Interface().(facts.Time); ok {
		return Time(t.Time())
	}
	switch {
	case v.Kind() == reflect.Pointer:
		return sqlValue(v.Elem(), false)
	case v.Kind() == reflect.Bool:
		return v.Bool()
	case v.CanInt():
		return v.Int()
	case v.CanUint():
		return int64(v.Uint())
	case v.CanFloat():
		return v.Float()
	case v.Kind() == reflect.String:
		return v.String()
	}
	b, err := json.Marshal(v.Interface()) // lists; for json_each()
	if err != nil {
		return nil
	}
	return string(b)
}

// scan chooses the way to the rows: those of one host, those of one name, the items of
// the section with their hosts, or host by host.
func (s *section) scan(q Scan) iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		w := &walk{section: s, query: q, row: make([]any, firstColumn+len(s.fields)), yield: yield}
		err := w.run()
		if err != nil && !errors.Is(err, store.ErrStop) {
			yield(nil, fmt.Errorf("table %s: %w", s.Name, err))
		}
	}
}

// walk is one scan of a section.
type walk struct {
	section *section
	query   Scan
	state   *store.State
	row     []any
	yield   func([]any, error) bool
	stopped bool // the query has enough
}

func (w *walk) run() error {
	var err error
	if w.state, err = w.query.session.state(w.query.AsOf); err != nil {
		return err
	}
	name, named := "", false
	if w.section.name >= 0 {
		name, named = w.query.Filter[w.section.name]
	}
	indexes, only, err := w.query.hosts()
	if err != nil {
		return err
	}
	w.query.session.reads(w.section.ID, w.query.AsOf, indexes, only)
	switch {
	case named:
		return w.named(name, indexes, only)
	case only:
		for _, index := range indexes {
			if err := w.host(index); err != nil {
				return err
			}
		}
		return nil
	case store.Shared(w.section.ID) && w.query.wants&w.section.host == 0:
		return w.state.Items(w.section.ID, "", func(it store.Item) error {
			k, err := w.known(it)
			if err != nil {
				return err
			}
			return w.item(&k, nil, false)
		})
	}
	return w.state.Hosts(func(h store.Host) error { return w.host(h.Index) })
}

// hosts returns the hosts that the query names, if it names some.
func (q *Scan) hosts() (indexes []uint32, only bool, err error) { return q.Hosts(columnHostID) }

// Hosts returns the numbers of the hosts that the query names in the key column of their
// ids or in the next one, of their names; false: it names none.
func (q *Scan) Hosts(column int) (indexes []uint32, only bool, err error) {
	if text, ok := q.Filter[column]; ok {
		id, err := identity.ParseHostID(text)
		if err != nil {
			return nil, true, nil // no host has such a number
		}
		index, err := q.session.index(id)
		if err != nil || index == 0 {
			return nil, true, err
		}
		return []uint32{index}, true, nil
	}
	text, ok := q.Filter[column+1]
	if !ok {
		return nil, false, nil
	}
	indexes, err = q.session.named(text)
	return indexes, true, err
}

// host gives the section's rows of one host; store.ErrStop when the query has enough, which
// State.Rows keeps to itself.
func (w *walk) host(index uint32) error {
	if err := w.name(index); err != nil {
		return err
	}
	err := w.state.Rows(index, w.section.ID, func(_ string, data []byte) error { return w.give(data) })
	if err == nil && w.stopped {
		return store.ErrStop
	}
	return err
}

// knownItem is an item with what a query asks of it again and again.
type knownItem struct {
	store.Item
	values []any          // of its columns, those of the host absent
	hosts  *store.HostSet // nil until they are asked for
}

// itemsOf names the items of one name in one state, as the session keeps them.
type itemsOf struct {
	state   *store.State
	section facts.ID
	name    string
}

// maxKnown bounds the items that a session keeps: joins ask for the same names for
// each host.
const maxKnown = 50_000

// named gives the rows of one name.
func (w *walk) named(name string, indexes []uint32, only bool) error {
	session, key := w.query.session, itemsOf{w.state, w.section.ID, name}
	list, ok := session.items[key]
	if !ok {
		err := w.state.ItemsNamed(w.section.ID, name, func(it store.Item) error {
			k, err := w.known(it)
			list = append(list, k)
			return err
		})
		if err != nil {
			return err
		}
		if session.kept += 1 + len(list); session.kept <= maxKnown {
			session.items[key] = list
		}
	}
	for i := range list {
		if err := w.item(&list[i], indexes, only); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) known(it store.Item) (k knownItem, err error) {
	k.Item = it
	row, err := wire.DecodeRow(w.section.ID, it.Data)
	if err != nil {
		return k, err
	}
	k.values = make([]any, firstColumn+len(w.section.fields))
	w.section.values(row, k.values)
	return k, nil
}

// item gives the rows of the hosts that have an item, of all or of those named. Where the
// item itself does not fit, its hosts are not looked at.
func (w *walk) item(k *knownItem, indexes []uint32, only bool) error {
	if !w.query.fits(k.values, w.section.host|1<<columnHostID|1<<columnHost) {
		return w.query.session.count()
	}
	if k.hosts == nil {
		hosts, err := w.state.HostsWith(k.Item)
		if err != nil {
			return err
		}
		k.hosts = &hosts
	}
	if !only {
		for index := range k.hosts.All() {
			if err := w.ofHost(k, index); err != nil {
				return err
			}
		}
		return nil
	}
	for _, index := range indexes {
		if k.hosts.Contains(index) {
			if err := w.ofHost(k, index); err != nil {
				return err
			}
		}
	}
	return nil
}

// ofHost gives an item as the row of one host.
func (w *walk) ofHost(k *knownItem, index uint32) error {
	if err := w.name(index); err != nil {
		return err
	}
	if w.query.wants&w.section.host != 0 {
		data, err := w.state.HostRow(index, k.Item)
		if err != nil {
			return err
		}
		return w.give(data)
	}
	copy(w.row[firstColumn:], k.values[firstColumn:])
	return w.hand()
}

// hand hands the row on.
func (w *walk) hand() error {
	if !w.yield(w.row, nil) {
		w.stopped = true
		return store.ErrStop
	}
	return nil
}

// name writes the columns of the host, where they are wanted.
func (w *walk) name(index uint32) error {
	if !w.query.Wants(columnHostID) && !w.query.Wants(columnHost) {
		return nil
	}
	h, err := w.query.session.host(index)
	if err != nil {
		return err
	}
	w.row[columnHostID], w.row[columnHost] = h.id, h.name
	return nil
}

// give decodes a row behind the columns of its host and hands it on.
func (w *walk) give(data []byte) error {
	row, err := wire.DecodeRow(w.section.ID, data)
	if err != nil {
		return err
	}
	w.section.values(row, w.row)
	return w.hand()
}
