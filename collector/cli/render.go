package cli

import (
	"encoding/csv"
	"io"
	"strings"

	"atalaya/collector/api/v1"
)

// tone is the colour of a cell that carries a judgement.
type tone string

const (
	plain tone = ""
	good  tone = "32" // green
	warn  tone = "33" // yellow
	bad   tone = "31" // red
	faint tone = "2"
)

// column is a column of a table.
type column struct {
	title string // in tables
	name  string // in CSV, stable
	right bool
	// exact columns stand in CSV only, for programs.
	exact bool
}

// cell is a value for people and for programs.
type cell struct {
	text  string // in tables
	value string // in CSV: exact, without units
	tone  tone
	// number says that value is ours and can be no formula.
	number bool
}

// table is a list of things.
type table struct {
	columns []column
	rows    [][]cell
}

func (t *table) add(cells ...cell) { t.rows = append(t.rows, cells) }

// gap stands between columns.
const gap = "  "

// minColumn is the least width to which a column is cut on a narrow terminal.
const minColumn = 6

// write renders the table with aligned columns; on a terminal of some width it cuts
// the widest columns until lines fit.
func (t *table) write(w io.Writer, terminalWidth int, colour bool) error {
	shown := t.shown()
	widths := make([]int, len(shown))
	texts := make([][]string, len(t.rows))
	for i, col := range shown {
		widths[i] = width(t.columns[col].title)
	}
	for r, row := range t.rows {
		texts[r] = make([]string, len(shown))
		for i, col := range shown {
			texts[r][i] = clean(row[col].text)
			widths[i] = max(widths[i], width(texts[r][i]))
		}
	}
	if terminalWidth > 0 {
		fit(widths, terminalWidth-len(gap)*(len(widths)-1))
	}
	var b strings.Builder
	titles := make([]string, len(shown))
	for i, col := range shown {
		titles[i] = t.columns[col].title
	}
	t.line(&b, shown, widths, titles, nil)
	for r, row := range t.rows {
		var cells []cell
		if colour {
			cells = row
		}
		t.line(&b, shown, widths, texts[r], cells)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// shown are the columns of the table form.
func (t *table) shown() []int {
	var out []int
	for i, c := range t.columns {
		if !c.exact {
			out = append(out, i)
		}
	}
	return out
}

// line appends one line; with cells it is coloured.
func (t *table) line(b *strings.Builder, shown, widths []int, texts []string, cells []cell) {
	var line strings.Builder
	for i, col := range shown {
		if i > 0 {
			line.WriteString(gap)
		}
		text := truncate(texts[i], widths[i])
		pad := strings.Repeat(" ", max(0, widths[i]-width(text)))
		if cells != nil && cells[col].tone != plain {
			text = "\x1b[" + string(cells[col].tone) + "m" + text + "\x1b[0m"
		}
		if t.columns[col].right {
			line.WriteString(pad + text)
		} else {
			line.WriteString(text + pad)
		}
	}
	b.WriteString(strings.TrimRight(line.String(), " "))
	b.WriteByte('\n')
}

// fit cuts the widest of the widths until their sum is at most total, or all are
// as small as columns may get. The first names what a line is about: as far as it fits in
// half of the total it is cut last.
func fit(widths []int, total int) {
	sum := 0
	for i := range widths {
		widths[i] = min(widths[i], max(total, minColumn))
		sum += widths[i]
	}
	for _, first := range []int{max(total/2, minColumn), minColumn} {
		for sum > total {
			widest := -1
			for i, w := range widths {
				if (w > first || i > 0 && w > minColumn) && (widest < 0 || w > widths[widest]) {
					widest = i
				}
			}
			if widest < 0 {
				break
			}
			widths[widest]--
			sum--
		}
	}
}

// writeCSV renders the table for spreadsheets and programs.
func (t *table) writeCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	record := make([]string, len(t.columns))
	for i, c := range t.columns {
		record[i] = spreadsheetSafe(c.name)
	}
	if err := out.Write(record); err != nil {
		return err
	}
	for _, row := range t.rows {
		for i, c := range row {
			record[i] = c.value
			if !c.number {
				record[i] = spreadsheetSafe(c.value)
			}
		}
		if err := out.Write(record); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// pairs are the properties of one thing, a line each.
type pairs struct {
	names []string
	cells []cell
}

func (p *pairs) add(name string, c cell) {
	if c.text == "" {
		return
	}
	p.names, p.cells = append(p.names, name), append(p.cells, c)
}

// table gives the pairs as rows of name and value.
func (p *pairs) table() table {
	t := table{columns: []column{{name: "property"}, {name: "value"}}}
	for i, name := range p.names {
		t.add(text(name), p.cells[i])
	}
	return t
}

func (p *pairs) write(w io.Writer, terminalWidth int, colour bool) error {
	label := 0
	for _, name := range p.names {
		label = max(label, width(clean(name)))
	}
	var b strings.Builder
	for i, name := range p.names {
		name, value := clean(name), clean(p.cells[i].text)
		if terminalWidth > 0 {
			value = truncate(value, max(minColumn, terminalWidth-label-len(gap)))
		}
		if tone := p.cells[i].tone; colour && tone != plain {
			value = "\x1b[" + string(tone) + "m" + value + "\x1b[0m"
		}
		b.WriteString(name + strings.Repeat(" ", label-width(name)) + gap + value + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// view is an answer in the form for people: properties, then lists under headings.
type view struct {
	pairs  *pairs
	blocks []block
}

type block struct {
	heading string
	table   table
	none    string // in place of an empty list
}

// main is what CSV holds: one table, the first list or else the properties.
func (v *view) main() table {
	if len(v.blocks) > 0 {
		return v.blocks[0].table
	}
	return v.pairs.table()
}

// show writes an answer in the format that was asked for: doc is the API's document.
func (c *client) show(doc any, people func() view) error {
	switch c.output {
	case formatJSON:
		b, err := v1.Encode(doc, "  ")
		if err != nil {
			return err
		}
		_, err = c.env.Stdout.Write(b)
		return err
	case formatCSV:
		v := people()
		t := v.main()
		return t.writeCSV(c.env.Stdout)
	}
	v := people()
	return c.showView(&v)
}

// answer is show for an answer that may have failed.
func (c *client) answer(err error, doc any, people func() view) error {
	if err != nil {
		return err
	}
	return c.show(doc, people)
}

func (c *client) showView(v *view) error {
	if v.pairs != nil {
		if err := v.pairs.write(c.env.Stdout, c.env.Width, c.env.Colour); err != nil {
			return err
		}
	}
	for i, b := range v.blocks {
		if err := c.showBlock(b, i > 0 || v.pairs != nil); err != nil {
			return err
		}
	}
	return nil
}

func (c *client) showBlock(b block, follows bool) error {
	if len(b.table.rows) == 0 {
		if b.none == "" {
			return nil
		}
		_, err := io.WriteString(c.env.Stderr, b.none+"\n")
		return err
	}
	head := ""
	if follows {
		head = "\n"
	}
	if b.heading != "" {
		head += clean(b.heading) + "\n"
	}
	if _, err := io.WriteString(c.env.Stdout, head); err != nil {
		return err
	}
	return b.table.write(c.env.Stdout, c.env.Width, c.env.Colour)
}

// list is a view of one table.
func list(t table, none string) view { return view{blocks: []block{{table: t, none: none}}} }
