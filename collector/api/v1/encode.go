package v1

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// Encode returns v as JSON, indented when indent is not empty. Characters that
// could act on a terminal or deceive a reader are written as escapes, which leaves
// the value the same for every program: inventory holds texts that hosts chose.
func Encode(v any, indent string) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return Escape(buf.Bytes()), nil
}

// Escape replaces unsafe characters of a JSON document, and those that begin or end
// markup. They can only stand within strings there, where \u escapes are allowed.
func Escape(doc []byte) []byte {
	first := bytes.IndexFunc(doc, escaped)
	if first < 0 {
		return doc
	}
	out := append(make([]byte, 0, len(doc)+64), doc[:first]...)
	for rest := doc[first:]; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		if escaped(r) && r > 0xffff {
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		} else if escaped(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = append(out, rest[:n]...)
		}
		rest = rest[n:]
	}
	return out
}

func escaped(r rune) bool { return r == '<' || r == '>' || r == '&' || Unsafe(r) }

// Unsafe reports whether r must not reach a terminal or a page as it is: control
// characters but line feed, and the invisible ones that reorder, join or hide text
// (Unicode TR 36 section 3.1, CVE-2021-42574).
func Unsafe(r rune) bool {
	switch {
	case r == '\n':
		return false
	case r < 0x20 || r >= 0x7f && r <= 0x9f: // C0, DEL, C1
		return true
	case r == 0x061c || r == 0x00ad || r == 0x180e || r == 0xfeff: // Arabic letter mark, soft hyphen, vowel separator, BOM
		return true
	case r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2060 && r <= 0x206f:
		return true
	case r >= 0xfff9 && r <= 0xfffb: // interlinear annotation
		return true
	case r >= 0xe0000 && r <= 0xe007f: // tags
		return true
	}
	return false
}
