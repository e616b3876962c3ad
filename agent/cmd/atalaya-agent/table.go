package main

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"
	"unicode"

	"atalaya/agent"
	"atalaya/shared/facts"
)

// writeTables prints the sections as tables. In a summary, long sections are cut.
func writeTables(w io.Writer, doc agent.Document, now time.Time, summary bool) error {
	tw := newAligned(w)
	first := true
	for _, s := range facts.Sections() {
		sec, ok := doc.Sections[s.Name]
		if !ok {
			continue
		}
		if !first {
			fmt.Fprintln(tw)
		}
		first = false
		writeHeading(tw, s, sec, now)
		limit := len(sec.Rows)
		if summary {
			limit = min(limit, summaryRows)
		}
		writeRows(tw, s, sec.Rows[:limit])
		if left := len(sec.Rows) - limit; left > 0 {
			fmt.Fprintf(tw, "  ... %d more: --section %s\n", left, s.Name)
		}
	}
	return tw.Flush()
}

// summaryRows is how many rows of a section stand in an inventory of everything.
const summaryRows = 8

func writeHeading(w io.Writer, s facts.Section, sec agent.DocumentSection, now time.Time) {
	fmt.Fprintf(w, "%s: %s, %s", s.Name, s.Doc, sec.Status)
	fmt.Fprintf(w, ", %s", count(len(sec.Rows), "row", "rows"))
	if sec.Reason != "" {
		fmt.Fprintf(w, " (%s)", plain(sec.Reason))
	}
	if v := sec.PatchVerdict; v != nil {
		fmt.Fprintf(w, "; verdict %s", v.Verdict)
		if v.VerdictReason != "" && v.VerdictReason != sec.Reason {
			fmt.Fprintf(w, " (%s)", plain(v.VerdictReason))
		}
		if v.IndexTime != 0 {
			fmt.Fprintf(w, ", index %s", age(now.Sub(v.IndexTime.Time())))
		}
	}
	fmt.Fprintln(w)
}

// writeRows prints the columns that any row fills.
func writeRows(w io.Writer, s facts.Section, rows []facts.Row) {
	var used []int
	names := s.Columns()
	for c := range names {
		for _, r := range rows {
			if !reflect.ValueOf(r).Elem().Field(c).IsZero() {
				used = append(used, c)
				break
			}
		}
	}
	if len(used) == 0 {
		return
	}
	line := make([]string, len(used))
	for i, c := range used {
		line[i] = strings.ToUpper(names[c])
	}
	fmt.Fprintln(w, "  "+strings.Join(line, "\t"))
	for _, r := range rows {
		row := reflect.ValueOf(r).Elem()
		for i, c := range used {
			line[i] = ""
			if v := row.Field(c); !v.IsZero() || !strings.Contains(row.Type().Field(c).Tag.Get("json"), ",omitempty") {
				line[i] = cell(names[c], v) // a zero that may be left out is not known
			}
		}
		fmt.Fprintln(w, "  "+strings.Join(line, "\t"))
	}
}

// maxCell is the widest a cell of a table gets, in columns of the terminal.
const maxCell = 48

// cell formats a column's value for people: sizes with units, lists with commas.
func cell(name string, v reflect.Value) string {
	var s string
	switch x := v.Interface().(type) {
	case []string:
		s = strings.Join(x, ",")
	case facts.Time:
		if x != 0 {
			s = x.Time().Format("2006-01-02 15:04Z")
		}
	case *bool:
		if x != nil {
			s = fmt.Sprint(*x)
		}
	case int64:
		if s = fmt.Sprint(x); strings.HasSuffix(name, "_bytes") {
			s = size(x)
		}
	case string:
		s = x
	default:
		b, err := json.Marshal(x)
		if err != nil {
			return err.Error()
		}
		s = string(b)
	}
	return cut(plain(s), maxCell)
}

// plain makes a value from the machine harmless for a terminal: control characters,
// escapes and text direction marks become a question mark.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s)
}

// size formats bytes with a binary unit.
func size(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f := float64(n)
	units := "KMGTPE"
	i := -1
	for f >= 1024 && i+1 < len(units) {
		f /= 1024
		i++
	}
	return fmt.Sprintf("%.1f %ciB", f, units[i])
}

// age formats a duration as people say it: "3 min ago".
func age(d time.Duration) string {
	if d < 0 {
		return "in the future"
	}
	return span(d) + " ago"
}
