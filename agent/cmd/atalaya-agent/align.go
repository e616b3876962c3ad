package main

import (
	"io"
	"strings"
	"unicode"
)

// aligned is a writer of tables: cells end with tabs, and the columns of adjoining lines
// with tabs are made equally wide, as a terminal shows them. text/tabwriter counts
// characters, of which some take two places and some none.
type aligned struct {
	out   io.Writer
	lines strings.Builder
}

func newAligned(out io.Writer) *aligned { return &aligned{out: out} }

// Write implements io.Writer. Nothing is written before Flush.
func (a *aligned) Write(p []byte) (int, error) { return a.lines.Write(p) }

// gap stands between two columns.
const gap = 2

// Flush writes all lines.
func (a *aligned) Flush() error {
	var out strings.Builder
	var block [][]string
	end := func() {
		var widths []int
		for _, cells := range block {
			for i, c := range cells[:len(cells)-1] {
				if i == len(widths) {
					widths = append(widths, 0)
				}
				widths[i] = max(widths[i], width(c))
			}
		}
		for _, cells := range block {
			for i, c := range cells {
				out.WriteString(c)
				if i < len(cells)-1 {
					out.WriteString(strings.Repeat(" ", widths[i]-width(c)+gap))
				}
			}
			out.WriteByte('\n')
		}
		block = nil
	}
	for line := range strings.Lines(a.lines.String()) {
		line = strings.TrimSuffix(line, "\n")
		if cells := strings.Split(line, "\t"); len(cells) > 1 {
			block = append(block, cells)
			continue
		}
		end()
		out.WriteString(line + "\n")
	}
	end()
	a.lines.Reset()
	_, err := io.WriteString(a.out, out.String())
	return err
}

// width is how many columns of a terminal a text takes.
func width(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

// wide are the characters that take two columns, of
// https://www.unicode.org/Public/UCD/latest/ucd/EastAsianWidth.txt: W and F, in rough ranges.
var wide = [][2]rune{
	{0x1100, 0x115F}, {0x2E80, 0x303E}, {0x3041, 0xA4CF}, {0xA960, 0xA97F}, {0xAC00, 0xD7A3}, {0xF900, 0xFAFF}, {0xFE30, 0xFE6F},
	{0xFF00, 0xFF60}, {0xFFE0, 0xFFE6}, {0x1F300, 0x1F64F}, {0x1F680, 0x1F6FF}, {0x1F900, 0x1F9FF}, {0x20000, 0x3FFFD},
}

func runeWidth(r rune) int {
	if r < 0x300 {
		return 1
	}
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	for _, x := range wide {
		if x[0] <= r && r <= x[1] {
			return 2
		}
	}
	return 1
}

// cut shortens a text to at most n columns.
func cut(s string, n int) string {
	if width(s) <= n {
		return s
	}
	const dots = "..."
	room := n - len(dots)
	for i, r := range s {
		if room -= runeWidth(r); room < 0 {
			return s[:i] + dots
		}
	}
	return s
}
