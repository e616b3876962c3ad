package asset

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Limits of a file that is imported.
const (
	MaxFile    = 16 << 20 // bytes
	maxRows    = 100_000
	maxColumns = 200
)

// sheet is a file of rows, the first of which names the columns.
type sheet struct {
	separator rune
	header    []string
	rows      []sheetRow
}

type sheetRow struct {
	line  int // in the file, from 1
	cells []string
}

// readSheet reads a file as spreadsheets write them: UTF-8 with or without a mark at its
// beginning; commas, semicolons or tabs between cells; lines that end with LF or CR LF;
// quotes around cells that hold any of these. separator 0 finds out which.
func readSheet(content []byte, separator rune) (*sheet, error) {
	if len(content) > MaxFile {
		return nil, invalidf("the file has %d bytes, %d at most: cut it in two", len(content), MaxFile)
	}
	if bytes.HasPrefix(content, []byte{0xff, 0xfe}) || bytes.HasPrefix(content, []byte{0xfe, 0xff}) {
		return nil, invalidf("the file is UTF-16: save it as \"CSV UTF-8\"")
	}
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	skipped := 0
	if first, rest, ok := bytes.Cut(content, []byte("\n")); ok && len(bytes.TrimRight(first, "\r")) == 5 && bytes.HasPrefix(first, []byte("sep=")) {
		separator, content, skipped = rune(first[4]), rest, 1 // as Excel writes it
	}
	if separator == 0 {
		separator = guessSeparator(content)
	}
	if separator != ',' && separator != ';' && separator != '\t' {
		return nil, invalidf("separator %q: want a comma, a semicolon or a tab", separator)
	}
	return parseSheet(content, separator, skipped)
}

// isText says what is wrong with cells that are no text.
func isText(cells []string) error {
	for _, cell := range cells {
		if !utf8.ValidString(cell) {
			return invalidf("not UTF-8 in %q: save the file as \"CSV UTF-8\", or convert it: iconv -f WINDOWS-1252 -t UTF-8", short(strings.ToValidUTF8(cell, "?")))
		}
	}
	return nil
}

// guessSeparator is what the first line holds most of outside of quotes.
func guessSeparator(content []byte) rune {
	counts := map[byte]int{}
	quoted := false
	for _, c := range content {
		if c == '"' {
			quoted = !quoted
		}
		if c == '\n' && !quoted {
			break
		}
		if !quoted {
			counts[c]++
		}
	}
	best := ','
	for _, c := range ";\t" {
		if counts[byte(c)] > counts[byte(best)] {
			best = c
		}
	}
	return best
}

func parseSheet(content []byte, separator rune, skipped int) (*sheet, error) {
	in := csv.NewReader(bytes.NewReader(content))
	in.Comma, in.FieldsPerRecord = separator, -1
	s := &sheet{separator: separator}
	for {
		cells, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		var wrong *csv.ParseError
		if errors.As(err, &wrong) {
			return nil, invalidf("line %d: %w: the rest of the file cannot be read", wrong.Line+skipped, wrong.Err)
		}
		if err != nil {
			return nil, err
		}
		if len(cells) > maxColumns {
			return nil, invalidf("the file has more than %d columns", maxColumns)
		}
		line, _ := in.FieldPos(0)
		switch {
		case s.header == nil:
			if err := isText(cells); err != nil {
				return nil, fmt.Errorf("line %d: %w", line+skipped, err)
			}
			s.header = cells
		case len(s.rows) == maxRows:
			return nil, invalidf("the file has more than %d rows: cut it in two", maxRows)
		case strings.Join(cells, "") != "":
			s.rows = append(s.rows, sheetRow{line + skipped, cells})
		}
	}
	if s.header == nil {
		return nil, invalidf("the file is empty: its first line names the columns, such as asset_tag,name,status")
	}
	return s, nil
}

// columns says which field each column of a sheet is; a name that is empty is left out.
func (c catalogue) columns(header []string, mapped map[string]string) ([]Field, []string, error) {
	out, ignored := make([]Field, len(header)), []string{}
	used := map[string]string{}
	met := map[string]bool{}
	var unknown []string
	for i, title := range header {
		title = strings.TrimSpace(title)
		name, ok := mapped[title]
		met[title] = true
		var f Field
		switch {
		case ok && name == "-" || !ok && title == "":
			if title != "" {
				ignored = append(ignored, title)
			}
			continue
		case ok:
			var err error
			if f, err = c.named(name); err != nil {
				return nil, nil, err
			}
		default:
			if f, ok = c.column(title); !ok && title == ColumnLocked { // of an export, see importer.locks
				continue
			}
			if !ok && title == ColumnID {
				ignored = append(ignored, title)
				continue
			}
			if !ok {
				unknown = append(unknown, c.hint(title))
				continue
			}
		}
		if other, twice := used[f.Name]; twice {
			return nil, nil, invalidf("the columns %q and %q are both the field %s: leave one out with --map '%s=-'", other, short(title), f.Name, short(title))
		}
		used[f.Name], out[i] = title, f
	}
	for title := range mapped {
		if !met[title] {
			return nil, nil, invalidf("--map: the file has no column %q, but %s", title, quoted(header))
		}
	}
	if len(unknown) > 0 {
		return nil, nil, invalidf("columns that are no field: %s. Fields: %s. Name the field with --map 'COLUMN=FIELD', or leave a column out with --map 'COLUMN=-'",
			strings.Join(unknown, ", "), strings.Join(c.names(), ", "))
	}
	return out, ignored, nil
}

// The columns of an export that are no fields: the number of the asset, which a new one does not
// take, and the fields that are locked, which new assets take.
const (
	ColumnID     = "asset"
	ColumnLocked = "locked"
)

func (c catalogue) hint(title string) string {
	if near := c.nearest(strings.ReplaceAll(title, " ", "_")); near != "" {
		return fmt.Sprintf("%q (did you mean %s?)", short(title), near)
	}
	return fmt.Sprintf("%q", short(title))
}

func (c catalogue) names() []string {
	var out []string
	for _, f := range c {
		out = append(out, f.Name)
	}
	return out
}

func quoted(list []string) string {
	var out []string
	for _, s := range list[:min(len(list), 20)] {
		out = append(out, fmt.Sprintf("%q", short(s)))
	}
	return strings.Join(out, ", ")
}

// armour puts an apostrophe before a text that a spreadsheet would take for a formula,
// and before one that has such an apostrophe already, so that disarm gives it back.
func armour(text string) string {
	if text != "" && strings.ContainsRune("=+-@'", rune(text[0])) {
		return "'" + text
	}
	return text
}

func disarm(text string) string {
	if len(text) > 1 && text[0] == '\'' && strings.ContainsRune("=+-@'", rune(text[1])) {
		return text[1:]
	}
	return text
}
