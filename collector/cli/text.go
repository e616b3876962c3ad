package cli

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"atalaya/collector/api/v1"
)

// maxMarks is how many combining marks may follow one another: no script needs
// more, and hundreds of them paint over other lines.
const maxMarks = 4

// clean makes a text of a host harmless on a terminal: one line of valid UTF-8, in
// which control and invisible characters are shown as escapes.
func clean(s string) string {
	if isPlain(s) {
		return s
	}
	var b strings.Builder
	marks := 0
	for _, r := range s { // invalid bytes become U+FFFD
		if unicode.In(r, unicode.Mn, unicode.Me) {
			marks++
		} else {
			marks = 0
		}
		switch {
		case marks > maxMarks:
		case r == '\n':
			b.WriteString(`\n`)
		case v1.Unsafe(r) && r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case v1.Unsafe(r) && r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		case v1.Unsafe(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// oneLine makes the text of an error, of cobra's with its suggestions, one harmless line.
func oneLine(s string) string {
	text, near, ok := strings.Cut(s, "\n\nDid you mean this?\n")
	if ok {
		text += ": did you mean " + strings.Join(strings.Fields(near), ", ") + "?"
	}
	var pieces []string
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		if line = strings.TrimSpace(line); line != "" {
			pieces = append(pieces, line)
		}
	}
	return clean(strings.Join(pieces, "; "))
}

// spreadsheetSafe keeps a spreadsheet from taking a text for a formula
// (https://owasp.org/www-community/attacks/CSV_Injection).
func spreadsheetSafe(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + clean(s)
	}
	return clean(s)
}

// width is the number of terminal columns that a clean text takes.
func width(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

func runeWidth(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case unicode.Is(wide, r):
		return 2
	}
	return 1
}

// wide are the ranges of characters that terminals show in two columns: East Asian
// Width W and F (Unicode UAX 11), joined where nothing else is assigned between.
var wide = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x1100, Hi: 0x115f, Stride: 1}, {Lo: 0x231a, Hi: 0x231b, Stride: 1}, {Lo: 0x23e9, Hi: 0x23ec, Stride: 1},
		{Lo: 0x2614, Hi: 0x2615, Stride: 1}, {Lo: 0x26a1, Hi: 0x26a1, Stride: 1}, {Lo: 0x2705, Hi: 0x2705, Stride: 1},
		{Lo: 0x274c, Hi: 0x274c, Stride: 1}, {Lo: 0x2e80, Hi: 0x303e, Stride: 1}, {Lo: 0x3041, Hi: 0xa4cf, Stride: 1},
		{Lo: 0xa960, Hi: 0xa97c, Stride: 1}, {Lo: 0xac00, Hi: 0xd7a3, Stride: 1}, {Lo: 0xf900, Hi: 0xfaff, Stride: 1},
		{Lo: 0xfe30, Hi: 0xfe6f, Stride: 1}, {Lo: 0xff01, Hi: 0xff60, Stride: 1}, {Lo: 0xffe0, Hi: 0xffe6, Stride: 1},
	},
	R32: []unicode.Range32{
		{Lo: 0x16fe0, Hi: 0x18aff, Stride: 1}, {Lo: 0x1b000, Hi: 0x1b2fb, Stride: 1}, {Lo: 0x1f300, Hi: 0x1f64f, Stride: 1},
		{Lo: 0x1f680, Hi: 0x1f6ff, Stride: 1}, {Lo: 0x1f7e0, Hi: 0x1f7eb, Stride: 1}, {Lo: 0x1f900, Hi: 0x1f9ff, Stride: 1},
		{Lo: 0x1fa70, Hi: 0x1faff, Stride: 1}, {Lo: 0x20000, Hi: 0x3fffd, Stride: 1},
	},
}

// truncate cuts a clean text to at most columns, its end marked.
func truncate(s string, columns int) string {
	if len(s) <= columns || width(s) <= columns {
		return s
	}
	n, end := 0, 0
	for i, r := range s {
		w := runeWidth(r)
		if n+w > columns-1 {
			break
		}
		n, end = n+w, i+utf8.RuneLen(r)
	}
	return s[:end] + "…"
}
