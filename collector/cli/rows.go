package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"atalaya/collector/api/v1"
)

// fields decodes a row of facts, numbers kept as they are written.
func fields(row json.RawMessage) map[string]any {
	dec := json.NewDecoder(bytes.NewReader(row))
	dec.UseNumber()
	var out map[string]any
	if dec.Decode(&out) != nil {
		return nil // no object: an empty row is shown
	}
	return out
}

// fieldCell shows one value of a row by the conventions of column names.
func fieldCell(name string, value any) cell {
	switch v := value.(type) {
	case nil:
		return cell{}
	case string:
		if at, err := time.Parse(time.RFC3339Nano, v); err == nil && strings.HasSuffix(name, "_at") {
			return moment(at)
		}
		if name == "state" || name == "verdict" {
			return word(v)
		}
		return text(v)
	case bool:
		return yesNo(&v)
	case json.Number:
		if n, err := v.Int64(); err == nil && strings.HasSuffix(name, "_bytes") {
			return size(n)
		}
		return cell{text: v.String(), value: v.String(), number: true}
	case []any:
		var parts []string
		for _, part := range v {
			parts = append(parts, fmt.Sprint(part))
		}
		return text(strings.Join(parts, ", "))
	}
	return text(fmt.Sprint(value))
}

// rowTable shows the rows of a section. People see the columns that hold something.
func rowTable(columns []string, rows []json.RawMessage) table {
	used := map[string]bool{}
	decoded := make([]map[string]any, len(rows))
	for i, row := range rows {
		decoded[i] = fields(row)
		for name := range decoded[i] {
			used[name] = true
		}
	}
	var t table
	for _, name := range columns {
		number := strings.HasSuffix(name, "_bytes")
		t.columns = append(t.columns, column{title: strings.ToUpper(name), name: name, right: number, exact: !used[name]})
	}
	for _, row := range decoded {
		cells := make([]cell, len(columns))
		for i, name := range columns {
			cells[i] = fieldCell(name, row[name])
		}
		t.rows = append(t.rows, cells)
	}
	return t
}

// late is how long after it came about a change is received before a table says so.
const late = time.Hour

// changeTable shows entries of the change log, or of a difference.
func changeTable(changes []v1.Change) table {
	t := table{columns: []column{
		{title: "TIME (UTC)", name: "time"}, {title: "SECTION", name: "section"}, {title: "CHANGE", name: "change"},
		{title: "ITEM", name: "item"}, {title: "DETAIL", name: "detail"}, {name: "seq", exact: true},
	}}
	for _, ch := range changes {
		at, detail := cmp.Or(ch.At, ch.ReceivedAt, ch.ObservedAt), ch.Text
		if !ch.At.IsZero() && ch.ReceivedAt.Sub(ch.At) > late {
			detail += fmt.Sprintf(" (received %s)", moment(ch.ReceivedAt).text)
		}
		t.add(moment(at), text(ch.Section), word(ch.Kind), text(ch.Item), text(detail), number(ch.Seq))
	}
	return t
}
