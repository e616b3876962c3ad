package collector

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"atalaya/collector/asset"
	"atalaya/collector/query"
	"atalaya/shared/identity"
)

// assetColumns are the columns of the table assets that are fields of the same name.
var assetColumns = []string{
	"name", "kind", "status", "asset_tag", "serial", "manufacturer", "model", "owner", "department", "cost_centre", "location",
	"supplier", "order_number", "purchased", "warranty_end", "end_of_life", "notes",
}

func assetsTable() query.Table {
	t := query.Table{
		Name: "assets", Doc: "what is declared of things that are owned, with an agent or without", Rows: 10_000, Past: true, Personal: true,
		Columns: []query.TableColumn{{Name: "asset", Type: "TEXT", Doc: "number"}, {Name: "host_id", Type: "TEXT", Doc: "host that it is", Key: true}, {Name: "host", Type: "TEXT"}},
	}
	const host = 1
	for _, name := range assetColumns {
		t.Columns = append(t.Columns, query.TableColumn{Name: name, Type: "TEXT"})
	}
	t.Columns = append(t.Columns,
		query.TableColumn{Name: "price", Type: "TEXT", Doc: "exact decimal"}, query.TableColumn{Name: "currency", Type: "TEXT"},
		query.TableColumn{Name: "tags", Type: "TEXT", Doc: "JSON list"}, query.TableColumn{Name: "custom", Type: "TEXT", Doc: "custom fields, JSON object"},
		query.TableColumn{Name: "locked", Type: "TEXT", Doc: "fields that are locked, JSON list"},
		query.TableColumn{Name: "added_at", Type: "TEXT"}, query.TableColumn{Name: "changed_at", Type: "TEXT"}, query.TableColumn{Name: "changed_by", Type: "TEXT"})
	t.One = func(s query.Scan) (row []any, known bool, err error) {
		text, only := s.Filter[host]
		if !only || !s.AsOf.IsZero() {
			return nil, false, nil
		}
		id, err := identity.ParseHostID(text)
		if err != nil {
			return nil, true, nil // no host has such a number
		}
		r, ok, err := asset.OfHost(s.Tx(), id)
		if err != nil || !ok {
			return nil, true, err
		}
		row = make([]any, len(t.Columns))
		return row, true, fillAsset(&s, row, r)
	}
	t.Scan = query.Rows(len(t.Columns), func(s query.Scan, row []any, yield func() error) error {
		give := func(r asset.Record) error {
			if err := fillAsset(&s, row, r); err != nil {
				return err
			}
			return yield()
		}
		text, only := s.Filter[host]
		if !only {
			return asset.AsOf(s.Tx(), s.AsOf, give)
		}
		id, err := identity.ParseHostID(text)
		if err != nil {
			return nil // no host has such a number
		}
		was, err := assetsThen(&s) // of the past all are undone together
		for _, r := range was[id] {
			if err == nil {
				err = give(r)
			}
		}
		return err
	})
	return t
}

// assetsOf names what a query keeps of the assets at a moment.
type assetsOf struct{ at time.Time }

// assetsThen are the assets of hosts at the moment of a scan.
func assetsThen(s *query.Scan) (map[identity.HostID][]asset.Record, error) {
	return query.Once(s, assetsOf{s.AsOf}, func() (map[identity.HostID][]asset.Record, error) {
		was := map[identity.HostID][]asset.Record{}
		return was, asset.AsOf(s.Tx(), s.AsOf, func(r asset.Record) error {
			if id, ok := r.Host(); ok {
				was[id] = append(was[id], r)
			}
			return nil
		})
	})
}

// fillAsset writes a record, of what takes long to write only the columns that are wanted.
func fillAsset(s *query.Scan, row []any, r asset.Record) error {
	const host = 2
	price := 3 + len(assetColumns)
	tags := strings.Fields(r.Values[asset.FieldTags])
	row[0], row[1], row[2] = r.ID.String(), nil, nil
	if id, ok := r.Host(); ok {
		row[1] = id.String()
		if s.Wants(host) || s.Wants(price+2) {
			h, _, err := s.Tx().Host(id)
			if err != nil {
				return err
			}
			row[host] = known(h.Name)
			if s.AsOf.IsZero() && h.RemovedAt.IsZero() {
				tags = h.Tags
			}
		}
	}
	for i, name := range assetColumns {
		row[3+i] = known(r.Values[name])
	}
	var types map[string]asset.Type
	if s.Wants(price + 3) {
		var err error
		if types, err = typesOf(s); err != nil {
			return err
		}
	}
	amount, currency := asset.Amount(r.Values["price"])
	row[price], row[price+1] = known(amount), known(currency)
	for n, list := range []func() any{
		func() any { return append([]string{}, tags...) },
		func() any { return custom(r, types) },
		func() any { return append([]string{}, slices.Sorted(maps.Keys(r.Locks))...) },
	} {
		if !s.Wants(price + 2 + n) {
			continue
		}
		b, err := json.Marshal(list())
		if err != nil {
			return err
		}
		row[price+2+n] = string(b)
	}
	copy(row[price+5:], []any{query.Time(r.AddedAt.Time()), query.Time(r.ChangedAt.Time()), r.ChangedBy})
	return nil
}

// known is a value that is not known when it is empty.
func known(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// customTypes names what a query keeps of the types of custom fields.
type customTypes struct{}

// typesOf are the types of the fields there are now.
func typesOf(s *query.Scan) (map[string]asset.Type, error) {
	return query.Once(s, customTypes{}, func() (map[string]asset.Type, error) {
		fields, err := asset.Fields(s.Tx())
		types := make(map[string]asset.Type, len(fields))
		for _, f := range fields {
			types[f.Name] = f.Type
		}
		return types, err
	})
}

// custom are the values of custom fields: numbers and truths as JSON has them, so that
// json_extract() compares them as such.
func custom(r asset.Record, types map[string]asset.Type) map[string]any {
	out := map[string]any{}
	for name, v := range r.Values {
		switch {
		case name == "price" || name == asset.FieldTags || name == asset.FieldHost || slices.Contains(assetColumns, name):
		case types[name] == asset.Number && json.Valid([]byte(v)):
			out[name] = json.Number(v)
		case types[name] == asset.Bool:
			out[name] = v == "true"
		default:
			out[name] = v
		}
	}
	return out
}

func assetHistoryTable() query.Table {
	return query.Table{
		Name: "asset_history", Doc: "changes of asset records, a row for each field", Rows: 100_000, Personal: true,
		Columns: []query.TableColumn{
			{Name: "seq", Type: "INTEGER", Doc: "number of the change"}, {Name: "asset", Type: "TEXT"}, {Name: "at", Type: "TEXT"},
			{Name: "changed_by", Type: "TEXT"}, {Name: "kind", Type: "TEXT", Doc: "added, changed, removed, locked, unlocked; defined, forgotten: of a custom field"},
			{Name: "field", Type: "TEXT"}, {Name: "old", Type: "TEXT"}, {Name: "new", Type: "TEXT"}, {Name: "note", Type: "TEXT", Doc: "reason, or the file of an import"},
		},
		Scan: query.Rows(9, func(s query.Scan, row []any, yield func() error) error {
			return asset.EachChange(s.Tx(), 0, func(c asset.Change) error {
				id := any(nil)
				if c.Asset != 0 {
					id = c.Asset.String()
				}
				for _, fc := range c.Fields {
					copy(row, []any{int64(c.Seq), id, query.Time(c.At.Time()), c.By, string(c.Kind), fc.Field, known(fc.Old), known(fc.New), known(c.Note)})
					if err := yield(); err != nil {
						return err
					}
				}
				return nil
			})
		}),
	}
}

func assetFieldsTable() query.Table {
	return query.Table{
		Name: "asset_fields", Doc: "fields that asset records have", Rows: 30,
		Columns: []query.TableColumn{
			{Name: "field", Type: "TEXT"}, {Name: "type", Type: "TEXT"}, {Name: "choices", Type: "TEXT", Doc: "JSON list"}, {Name: "custom", Type: "INTEGER"}, {Name: "doc", Type: "TEXT"},
		},
		Scan: query.Rows(5, func(s query.Scan, row []any, yield func() error) error {
			fields, err := asset.Fields(s.Tx())
			if err != nil {
				return err
			}
			for _, f := range fields {
				choices, err := json.Marshal(append([]string{}, f.Choices...))
				if err != nil {
					return err
				}
				copy(row, []any{f.Name, string(f.Type), string(choices), f.Custom, known(f.Doc)})
				if err := yield(); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}
