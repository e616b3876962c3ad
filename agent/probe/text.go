package probe

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// The functions below walk the text files of /proc without allocating: a file is
// lines, a line is fields. They accept any bytes.

// NextLine cuts the first line off b, without its newline. It returns a nil line
// when b is empty.
func NextLine(b []byte) (line, rest []byte) {
	if len(b) == 0 {
		return nil, nil
	}
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return b[:i:i], b[i+1:]
	}
	return b, nil
}

// NextField cuts the first field off line. Fields are separated by blanks and tabs;
// the field is empty when there is none.
func NextField(line []byte) (field, rest []byte) {
	i := 0
	for i < len(line) && blank(line[i]) {
		i++
	}
	start := i
	for i < len(line) && !blank(line[i]) {
		i++
	}
	return line[start:i:i], line[i:]
}

func blank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' }

// ParseUint reads a decimal number that fills b. It refuses an empty b, signs,
// blanks and numbers of more than 64 bits.
func ParseUint(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		d := uint64(c - '0')
		if d > 9 || n > (1<<64-1-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

// ParseFixed reads a decimal number with a point, such as the load average 0.52, to
// the float64 that is nearest to it.
func ParseFixed(b []byte) (float64, bool) {
	whole, fraction, _ := bytes.Cut(b, []byte{'.'})
	n, ok := ParseUint(whole)
	if !ok || len(whole)+len(fraction) > 15 { // more digits than a float64 holds exactly
		return 0, false
	}
	scale := uint64(1)
	for _, c := range fraction {
		d := uint64(c - '0')
		if d > 9 {
			return 0, false
		}
		n, scale = n*10+d, scale*10
	}
	return float64(n) / float64(scale), true
}

// maxNames bounds Names. Names come and go (containers make an interface each), and
// starting anew costs one allocation for each that is still there.
const maxNames = 4096

// Names gives the same string for the same bytes, so that labels read from a file
// are not allocated at every tick. The zero value is ready. Not safe for concurrent use.
type Names struct{ m map[string]string }

// Of returns b as a string, with what is not UTF-8 replaced.
func (n *Names) Of(b []byte) string {
	if s, ok := n.m[string(b)]; ok { // does not allocate
		return s
	}
	if n.m == nil || len(n.m) >= maxNames {
		n.m = make(map[string]string)
	}
	s := strings.ToValidUTF8(string(b), "\uFFFD")
	n.m[string(b)] = s
	return s
}

// EmptyLine returns where the first two newlines in a row begin, -1 where there are none.
// In texts of short lines bytes.Index finds a newline at every step; this looks at sixteen
// places at a time.
func EmptyLine(b []byte) int {
	const newlines, ones, tops = 0x0a0a0a0a0a0a0a0a, 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; len(b)-n >= 17; n += 16 {
		w := (*[17]byte)(b[n:]) // where both of a pair are newlines, x or y has a zero byte
		x := (binary.LittleEndian.Uint64(w[:]) ^ newlines) | (binary.LittleEndian.Uint64(w[1:]) ^ newlines)
		y := (binary.LittleEndian.Uint64(w[8:]) ^ newlines) | (binary.LittleEndian.Uint64(w[9:]) ^ newlines)
		if ((x-ones)&^x|(y-ones)&^y)&tops != 0 {
			break
		}
	}
	for ; n+1 < len(b); n++ {
		if b[n] == '\n' && b[n+1] == '\n' {
			return n
		}
	}
	return -1
}
