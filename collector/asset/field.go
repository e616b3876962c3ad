package asset

import (
	"encoding/json"
	"slices"
	"strings"

	"atalaya/collector/store"
)

// Type says which values a field takes and how they are written.
type Type string

// The types. The first five are those of custom fields.
const (
	Text   Type = "text"   // one line
	Number Type = "number" // exact decimal
	Date   Type = "date"   // 2026-03-14
	Choice Type = "choice" // one of a list
	Bool   Type = "bool"   // true or false

	Long   Type = "long"   // text of several lines
	Money  Type = "money"  // exact decimal and currency: 1234.50 EUR
	Status Type = "status" // of the life cycle
	Host   Type = "host"   // number of a host
	Tags   Type = "tags"   // tags with blanks between, sorted
)

// The names of fields that mean something to the program.
const (
	FieldName   = "name"
	FieldStatus = "status"
	FieldTag    = "asset_tag"
	FieldSerial = "serial"
	FieldHost   = "host"
	FieldTags   = "tags"
)

// Field is a property that assets may have.
type Field struct {
	Name    string   `json:"name"`
	Type    Type     `json:"type"`
	Doc     string   `json:"doc,omitempty"`
	Choices []string `json:"choices,omitempty"`
	Custom  bool     `json:"custom,omitempty"`

	aliases []string // other names that columns of files have
}

var builtin = []Field{
	{Name: FieldName, Type: Text, Doc: "what people call it; a host's name links it to the host", aliases: []string{"asset_name", "item_name", "hostname"}},
	{Name: "kind", Type: Text, Doc: "server, laptop, monitor, printer, ...", aliases: []string{"category", "type"}},
	{Name: FieldStatus, Type: Status, Doc: "state in the life cycle", Choices: statuses()},
	{Name: FieldTag, Type: Text, Doc: "number on its label; no two assets have the same", aliases: []string{"tag", "inventory_number"}},
	{Name: FieldSerial, Type: Text, Doc: "serial number of the maker", aliases: []string{"serial_number", "serial_no"}},
	{Name: "manufacturer", Type: Text, aliases: []string{"vendor", "make"}},
	{Name: "model", Type: Text, aliases: []string{"product"}},
	{Name: FieldHost, Type: Host, Doc: "host that it is: name or number", aliases: []string{"host_id"}},
	{Name: "owner", Type: Text, Doc: "who answers for it", aliases: []string{"assigned_to", "checked_out_to"}},
	{Name: "department", Type: Text},
	{Name: "cost_centre", Type: Text, aliases: []string{"cost_center"}},
	{Name: "location", Type: Text, aliases: []string{"site"}},
	{Name: "supplier", Type: Text},
	{Name: "order_number", Type: Text, aliases: []string{"order", "order_no"}},
	{Name: "purchased", Type: Date, Doc: "day of the purchase", aliases: []string{"purchase_date"}},
	{Name: "price", Type: Money, Doc: "with its currency: 1234.50 EUR", aliases: []string{"purchase_price", "purchase_cost", "cost"}},
	{Name: "warranty_end", Type: Date, Doc: "last day of the warranty", aliases: []string{"warranty", "warranty_expires"}},
	{Name: "end_of_life", Type: Date, Doc: "day on which it is to be replaced", aliases: []string{"eol", "eol_date"}},
	{Name: FieldTags, Type: Tags, Doc: "tags; those of its host, if it has one"},
	{Name: "notes", Type: Long, aliases: []string{"note", "comment", "comments"}},
}

// maxCustom bounds the custom fields: each is a column of imports and exports.
const maxCustom = 100

// catalogue is the fields that there are: the built-in ones, then custom ones by name.
type catalogue []Field

func readFields(tx *store.Tx) (catalogue, error) {
	out := slices.Clone(catalogue(builtin))
	err := tx.Table(tableFields).Scan(nil, func(k, v []byte) error {
		f := Field{}
		if err := json.Unmarshal(v, &f); err != nil {
			return &store.CorruptError{Table: tableFields, Key: slices.Clone(k), Detail: err.Error()}
		}
		f.Custom = true
		out = append(out, f)
		return nil
	})
	return out, err
}

func (c catalogue) find(name string) (Field, bool) {
	i := slices.IndexFunc(c, func(f Field) bool { return f.Name == name })
	if i < 0 {
		return Field{}, false
	}
	return c[i], true
}

// named is find for a name that a person gave; the error names the nearest.
func (c catalogue) named(name string) (Field, error) {
	if f, ok := c.find(name); ok {
		return f, nil
	}
	if near := c.nearest(name); near != "" {
		return Field{}, invalidf("no field is called %q: did you mean %s? (`atalaya asset fields` lists them)", name, near)
	}
	return Field{}, invalidf("no field is called %q (`atalaya asset fields` lists them, `atalaya asset fields add` makes one)", name)
}

// column finds the field for a column of a file, by its name or an alias.
func (c catalogue) column(title string) (Field, bool) {
	name := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" -./", r) {
			return '_'
		}
		return r
	}, strings.ToLower(strings.TrimSpace(title)))
	if f, ok := c.find(name); ok { // one may end in _
		return f, true
	}
	name = strings.Trim(name, "_")
	if f, ok := c.find(name); ok {
		return f, true
	}
	i := slices.IndexFunc(c, func(f Field) bool { return slices.Contains(f.aliases, name) })
	if i < 0 {
		return Field{}, false
	}
	return c[i], true
}

// order sorts changes of fields as the catalogue lists them.
func (c catalogue) order(changes []FieldChange) {
	place := func(fc FieldChange) int {
		return slices.IndexFunc(c, func(f Field) bool { return f.Name == fc.Field })
	}
	slices.SortFunc(changes, func(a, b FieldChange) int { return place(a) - place(b) })
}

// nearest is the field whose name is most like a mistyped one, "" when none is near.
func (c catalogue) nearest(name string) string {
	name = strings.ToLower(name)
	best, least := "", max(1, len(name)/3)+1
	for _, f := range c {
		for _, known := range append([]string{f.Name}, f.aliases...) {
			if d := distance(name, known); d < least {
				best, least = f.Name, d
			}
		}
	}
	return best
}

// distance is how many letters must be changed, added or left out to make b of a. Names
// that are too long to be one count as far away.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := corner
			if a[i] != b[j] {
				change++
			}
			corner = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// checkCustom says what is wrong with the definition of a custom field.
func (c catalogue) checkCustom(f Field) error {
	if !fieldName(f.Name) {
		return invalidf("field name %q: it begins with a small letter, holds small letters, digits and _, and has at most 40", f.Name)
	}
	if old, ok := c.column(f.Name); ok {
		return conflictf("%q is the field %s already", f.Name, old.Name)
	}
	switch f.Type {
	case Text, Number, Date, Bool:
		if len(f.Choices) > 0 {
			return invalidf("field %s: only a field of type choice has choices", f.Name)
		}
	case Choice:
		if len(f.Choices) < 2 || len(f.Choices) > 100 {
			return invalidf("field %s: a choice needs 2 to 100 values: --choice A --choice B", f.Name)
		}
	default:
		return invalidf("field %s: type %q: want text, number, date, choice or bool", f.Name, f.Type)
	}
	seen := map[string]bool{}
	for _, choice := range f.Choices {
		canonical, err := Field{Name: f.Name, Type: Text}.canonical(choice)
		if err != nil || canonical != choice || seen[foldKey(choice)] {
			return invalidf("field %s: choice %q is empty, twice in the list or not one line of text", f.Name, choice)
		}
		seen[foldKey(choice)] = true
	}
	if _, err := (Field{Name: "doc", Type: Text}).canonical(f.Doc); err != nil && f.Doc != "" {
		return err
	}
	return nil
}

func fieldName(name string) bool {
	if name == "" || len(name) > 40 || name[0] < 'a' || name[0] > 'z' {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' })
}
