package asset

import (
	"encoding/csv"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"

	"atalaya/collector/store"
)

// Import is a file and what to do with it.
type Import struct {
	Content   []byte
	File      string // its name, for the history
	Separator rune   // 0: found out
	// Key is the field by which rows find their assets: asset_tag, serial or name.
	Key string
	// Map names the fields of columns that are called otherwise; "-" leaves one out.
	Map map[string]string
	// Currency is that of amounts without one; empty: they are refused.
	Currency string
	// ClearEmpty takes away what is declared where a cell is empty; else it stays.
	ClearEmpty bool
	// DeleteMissing removes the assets that have the key, but no row in the file.
	DeleteMissing bool
	// SkipRefused applies the other rows when some are refused; else none is applied.
	SkipRefused bool
	Apply       bool
	By          string
}

// Plan is what an import does, or would do.
type Plan struct {
	Separator rune
	Columns   []string // the fields, in the order of the file; "" is left out
	Ignored   []string // titles of the columns that are left out
	Rows      []PlanRow
	Unchanged int
	Added     int
	Changed   int
	Removed   int
	Refused   int
	Applied   bool
	Linked    int // assets that found their hosts
}

// PlanRow is what becomes of a row; rows that change nothing are only counted.
type PlanRow struct {
	Line   int // in the file; 0: of an asset that the file lacks
	Action Kind
	Asset  ID // 0: refused before it was known
	Label  string
	Fields []FieldChange
	Reason string // why it is refused
}

// Refused is the action of a row that cannot be carried out.
const Refused Kind = "refused"

// errPreview rolls a preview back.
var errPreview = errors.New("only a preview")

// Import compares a file with the records and, where Apply is set, makes the records as
// the file says, in one transaction. Without Apply the same is done and rolled back, so
// that the preview is what will happen. A second import of a file changes nothing.
func (b *Book) Import(in Import) (Plan, error) {
	s, err := readSheet(in.Content, in.Separator)
	if err != nil {
		return Plan{}, err
	}
	var plan Plan
	err = b.write(in.By, func(p *pen) error {
		run := importer{pen: p, in: in, sheet: s, seen: map[ID]int{}, keys: map[string]int{}}
		if plan, err = run.run(); err != nil {
			return err
		}
		if !in.Apply || plan.Refused > 0 && !in.SkipRefused {
			return errPreview
		}
		return nil
	})
	if err != nil && !errors.Is(err, errPreview) {
		return Plan{}, err
	}
	plan.Applied = err == nil
	if !plan.Applied {
		return plan, nil
	}
	plan.Linked, err = b.linkRows(plan.Rows)
	return plan, err
}

func (b *Book) linkRows(rows []PlanRow) (int, error) {
	var ids []ID
	for _, row := range rows {
		if row.Action == Added || row.Action == Changed {
			ids = append(ids, row.Asset)
		}
	}
	if len(ids) == 0 {
		return 0, nil
	}
	return b.LinkAssets(ids...)
}

// importer is one run.
type importer struct {
	pen   *pen
	in    Import
	sheet *sheet
	cols  []Field
	key   int            // column of the key
	seen  map[ID]int     // asset -> line of its row
	keys  map[string]int // folded key -> line
	blind int            // line of a row whose key cannot be read; 0: none
	plan  Plan
}

func (r *importer) run() (Plan, error) {
	if !slices.Contains([]string{FieldTag, FieldSerial, FieldName}, r.in.Key) {
		return r.plan, invalidf("key %q: want asset_tag, serial or name", r.in.Key)
	}
	if c := r.in.Currency; c != "" && !regexp.MustCompile(`^[A-Za-z]{3}$`).MatchString(c) {
		return r.plan, invalidf("currency %q: want three letters, such as EUR", c)
	}
	var err error
	if r.cols, r.plan.Ignored, err = r.pen.fields.columns(r.sheet.header, r.in.Map); err != nil {
		return r.plan, err
	}
	r.key = slices.IndexFunc(r.cols, func(f Field) bool { return f.Name == r.in.Key })
	if r.key < 0 {
		return r.plan, invalidf("no column is %s, by which rows find their assets: name another with --key asset_tag, serial or name, or name the column with --map 'COLUMN=%s'", r.in.Key, r.in.Key)
	}
	r.plan.Separator = r.sheet.separator
	for _, f := range r.cols {
		r.plan.Columns = append(r.plan.Columns, f.Name)
	}
	if slices.Contains(r.plan.Columns, FieldHost) {
		if err := r.pen.knowHosts(); err != nil {
			return r.plan, err
		}
	}
	for _, row := range r.sheet.rows {
		done, err := r.row(row)
		if err != nil {
			if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrConflict) {
				return r.plan, err
			}
			done.Action, done.Fields, done.Reason = Refused, nil, reason(err)
		}
		done.Line = row.line
		r.note(done)
	}
	if r.in.DeleteMissing {
		err = r.deleteMissing()
	}
	return r.plan, err
}

// reason is an error without the words for its kind.
func reason(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(strings.TrimPrefix(line, ErrInvalid.Error()+": "), ErrConflict.Error()+": ")
	}
	return strings.Join(lines, "; ")
}

func (r *importer) note(row PlanRow) {
	switch row.Action {
	case "":
		r.plan.Unchanged++
		return
	case Added:
		r.plan.Added++
	case Changed:
		r.plan.Changed++
	case Removed:
		r.plan.Removed++
	case Refused:
		r.plan.Refused++
	}
	r.plan.Rows = append(r.plan.Rows, row)
}

func (r *importer) row(row sheetRow) (out PlanRow, err error) {
	if len(row.cells) > len(r.cols) {
		r.blind = row.line
		return out, invalidf("the row has %d cells, the header %d: quote cells that hold the separator", len(row.cells), len(r.cols))
	}
	if err := isText(row.cells); err != nil {
		r.blind = row.line
		return out, err
	}
	key := ""
	if r.key < len(row.cells) {
		if key, err = r.cols[r.key].canonical(disarm(strings.TrimSpace(row.cells[r.key]))); err != nil && strings.TrimSpace(row.cells[r.key]) != "" {
			return out, err
		}
	}
	if key == "" {
		return r.numbered(row)
	}
	out.Label = key
	if line, twice := r.keys[foldKey(key)]; twice {
		return out, invalidf("%s %q stands in line %d already", r.in.Key, short(key), line)
	}
	r.keys[foldKey(key)] = row.line
	ids, err := byKey(r.pen.tx, map[string]string{FieldTag: keyTag, FieldSerial: keySerial, FieldName: keyName}[r.in.Key], key)
	if err != nil {
		return out, err
	}
	if len(ids) > 1 {
		return out, invalidf("%s %q: %d assets have it, %s and %s among them: import by another key", r.in.Key, short(key), len(ids), ids[0], ids[1])
	}
	e := r.edit(row)
	if len(ids) == 0 {
		return r.add(row, e, out)
	}
	record, _, err := readRecord(r.pen.tx, ids[0])
	if err != nil {
		return out, err
	}
	return r.change(record, row, e)
}

// add makes a new asset, with the locks that an export tells of.
func (r *importer) add(row sheetRow, e Edit, out PlanRow) (PlanRow, error) {
	locks, err := r.locks(row)
	if err != nil {
		return out, err
	}
	record, changes, err := r.pen.add(e)
	if err != nil {
		return out, err
	}
	out.Action, out.Asset, out.Fields = Added, record.ID, changes
	r.seen[record.ID] = row.line
	if len(locks) > 0 {
		_, err = r.pen.write(Change{Asset: record.ID, Kind: Locked, Note: e.Why, Fields: locks})
	}
	return out, err
}

// locks are the fields that a row says are locked.
func (r *importer) locks(row sheetRow) (out []FieldChange, err error) {
	column := slices.IndexFunc(r.sheet.header, func(title string) bool { return strings.TrimSpace(title) == ColumnLocked })
	if column < 0 || column >= len(row.cells) || r.cols[column].Name != "" || r.in.Map[ColumnLocked] != "" {
		return nil, nil
	}
	names := strings.Fields(row.cells[column])
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if _, err := r.pen.fields.named(name); err != nil {
			return nil, err
		}
		out = append(out, FieldChange{Field: name})
	}
	return out, nil
}

func (r *importer) change(record Record, row sheetRow, e Edit) (out PlanRow, err error) {
	out.Asset, out.Label = record.ID, record.Label()
	r.seen[record.ID] = row.line
	_, out.Fields, err = r.pen.change(record, e)
	if len(out.Fields) > 0 {
		out.Action = Changed
	}
	return out, err
}

// numbered takes a row without a key that an export of this book gave a number, of an
// asset that has no key either.
func (r *importer) numbered(row sheetRow) (PlanRow, error) {
	column := slices.IndexFunc(r.sheet.header, func(title string) bool { return strings.TrimSpace(title) == ColumnID })
	if column >= 0 && column < len(row.cells) {
		id, ok := ParseID(strings.TrimSpace(row.cells[column]))
		record, known, err := readRecord(r.pen.tx, id)
		if err != nil {
			return PlanRow{}, err
		}
		if _, twice := r.seen[id]; ok && known && !twice && record.Values[r.in.Key] == "" {
			return r.change(record, row, r.edit(row))
		}
	}
	return PlanRow{}, invalidf("%s is empty: it is what the row finds its asset by", r.in.Key)
}

func (r *importer) edit(row sheetRow) Edit {
	e := Edit{By: r.in.By, Why: "import of " + r.in.File, Set: map[string]string{}}
	for i, f := range r.cols {
		if f.Name == "" {
			continue
		}
		cell := ""
		if i < len(row.cells) {
			cell = disarm(strings.TrimSpace(row.cells[i]))
		}
		switch {
		case cell != "":
			if f.Type == Money && r.in.Currency != "" && strings.Trim(cell, "0123456789.,") == "" {
				cell += " " + r.in.Currency
			}
			e.Set[f.Name] = cell
		case r.in.ClearEmpty:
			e.Unset = append(e.Unset, f.Name)
		}
	}
	return e
}

// deleteMissing removes the assets that have the key and no row.
func (r *importer) deleteMissing() error {
	if r.blind > 0 {
		return invalidf("line %d cannot be read: mend it first, to know which assets are missing", r.blind)
	}
	var gone []Record
	err := Each(r.pen.tx, 0, func(rec Record) error {
		if _, ok := r.seen[rec.ID]; !ok && rec.Values[r.in.Key] != "" {
			gone = append(gone, rec)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, rec := range gone {
		row := PlanRow{Action: Removed, Asset: rec.ID, Label: rec.Label()}
		if _, refused := r.keys[foldKey(rec.Values[r.in.Key])]; refused {
			continue // its row is refused: it is not missing
		}
		if err := r.pen.remove(rec, "missing in "+r.in.File); errors.Is(err, ErrConflict) {
			row.Action, row.Reason = Refused, reason(err)
		} else if err != nil {
			return err
		}
		r.note(row)
	}
	return nil
}

// Export writes all assets as a file that Import takes back: by asset_tag where all have
// one. Texts that a spreadsheet would run as formulas have an apostrophe before them,
// which Import takes away.
func (b *Book) Export(w io.Writer) error {
	return b.view(func(tx *store.Tx) error {
		fields, err := readFields(tx)
		if err != nil {
			return err
		}
		out := csv.NewWriter(w)
		if err := out.Write(append(append([]string{ColumnID}, fields.names()...), ColumnLocked)); err != nil {
			return err
		}
		err = Each(tx, 0, func(r Record) error {
			a, err := describe(tx, r, false)
			if err != nil {
				return err
			}
			cells := []string{r.ID.String()}
			var locked []string
			for _, f := range fields {
				value := a.Values[f.Name]
				if f.Type != Number {
					value = armour(value)
				}
				cells = append(cells, value)
				if _, ok := r.Locks[f.Name]; ok {
					locked = append(locked, f.Name)
				}
			}
			return out.Write(append(cells, strings.Join(locked, " ")))
		})
		if err != nil {
			return err
		}
		out.Flush()
		return out.Error()
	})
}
