package rpmmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"atalaya/agent/probe"
)

const (
	elementBytes = 128 << 10 // read at once
	// maxElement bounds one element. The largest known are notices about kernels, with
	// every package of them: some 1 MB.
	maxElement = 8 << 20
)

// elements cuts a stream into the elements of one name. encoding/xml reads some 20 MB
// in a second, and the indexes have hundreds: so most elements are only looked at for
// their name, and never parsed.
type elements struct {
	*probe.Window
	open, close []byte // "<package ", "</package>"
	end         []byte // the tag that ends the document: without it the file is cut
	ended       bool
}

func newElements(r io.Reader, name, root string) *elements {
	return &elements{Window: probe.NewWindow(r, elementBytes, maxElement),
		open: []byte("<" + name + " "), close: []byte("</" + name + ">"), end: []byte("</" + root + ">")}
}

// next returns the next element with its tags, valid until the following call, and
// io.EOF at the end of a whole document.
func (e *elements) next() ([]byte, error) {
	for searched := 0; ; {
		rest := e.Held()
		if !bytes.HasPrefix(rest, e.open) {
			e.skip(rest)
			rest, searched = e.Held(), 0
		}
		if bytes.HasPrefix(rest, e.open) {
			if i := bytes.Index(rest[searched:], e.close); i >= 0 {
				n := searched + i + len(e.close)
				e.Take(n)
				return rest[:n], nil
			}
			searched = max(len(rest)-len(e.close), 0)
		}
		if !e.More() {
			return nil, e.finish(e.Held())
		}
	}
}

// skip moves to the next element, or as far as none can begin.
func (e *elements) skip(rest []byte) {
	i := bytes.Index(rest, e.open)
	if i < 0 {
		if bytes.Contains(rest, e.end) {
			e.ended = true
		}
		i = max(len(rest)-max(len(e.open), len(e.end)), 0)
	}
	e.Take(i)
}

func (e *elements) finish(rest []byte) error {
	if e.Err() != nil {
		return e.Err()
	}
	if !e.ended && !bytes.Contains(rest, e.end) {
		return fmt.Errorf("cut off: it has no %s", e.end)
	}
	return io.EOF
}

// each calls fn for every element, until stop returns an error.
func (e *elements) each(stop func() error, fn func([]byte)) error {
	for n := 0; ; n++ {
		if n%256 == 0 {
			if err := stop(); err != nil {
				return err
			}
		}
		element, err := e.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		fn(element)
	}
}

// tag is a start or end tag, with the text up to the next tag.
type tag struct {
	name, attributes, text []byte
	closing                bool
}

// nextTag cuts the next tag off b; ok is false at the end. Comments, declarations and
// marked sections are passed over.
func nextTag(b []byte) (t tag, rest []byte, ok bool) {
	for {
		i := bytes.IndexByte(b, '<')
		if i < 0 {
			return t, nil, false
		}
		b = b[i+1:]
		if len(b) > 0 && (b[0] == '!' || b[0] == '?') {
			end := []byte(">")
			if bytes.HasPrefix(b, []byte("!--")) {
				end = []byte("-->")
			} else if bytes.HasPrefix(b, []byte("![CDATA[")) {
				end = []byte("]]>")
			}
			_, b, _ = bytes.Cut(b, end)
			continue
		}
		inside, after, found := bytes.Cut(b, []byte(">"))
		if !found {
			return t, nil, false
		}
		inside, t.closing = bytes.CutPrefix(inside, []byte("/"))
		inside = bytes.TrimSuffix(inside, []byte("/"))
		n := bytes.IndexAny(inside, " \t\r\n")
		if n < 0 {
			n = len(inside)
		}
		t.name, t.attributes = inside[:n], inside[n:]
		text := bytes.IndexByte(after, '<')
		if text < 0 {
			text = len(after)
		}
		t.text = after[:text]
		return t, after, true
	}
}

// attribute returns the value of an attribute, "" if it is not there.
func (t tag) attribute(name string) string { return unescape(t.raw(name)) }

// raw is attribute as it is written.
func (t tag) raw(name string) []byte {
	b := t.attributes
	for {
		i := bytes.IndexByte(b, '=')
		if i < 0 || i+1 >= len(b) {
			return nil
		}
		key, quote := bytes.TrimSpace(b[:i]), b[i+1]
		if quote != '"' && quote != '\'' {
			return nil
		}
		end := bytes.IndexByte(b[i+2:], quote)
		if end < 0 {
			return nil
		}
		if string(key) == name {
			return b[i+2 : i+2+end]
		}
		b = b[i+2+end+1:]
	}
}

func (t tag) string() string { return unescape(bytes.TrimSpace(t.text)) }

// unescape resolves the entities of XML 1.0, section 4.6, and numbers, and makes valid
// UTF-8.
func unescape(b []byte) string {
	s := strings.ToValidUTF8(string(b), "\uFFFD")
	if !strings.Contains(s, "&") {
		return s
	}
	var out strings.Builder
	for {
		before, after, ok := strings.Cut(s, "&")
		out.WriteString(before)
		if !ok {
			return out.String()
		}
		name, rest, ok := strings.Cut(after, ";")
		if r, known := entity(name); ok && known {
			out.WriteRune(r)
			s = rest
			continue
		}
		out.WriteByte('&')
		s = after
	}
}

func entity(name string) (rune, bool) {
	switch name {
	case "amp":
		return '&', true
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "quot":
		return '"', true
	case "apos":
		return '\'', true
	}
	number, ok := strings.CutPrefix(name, "#")
	base := 10
	if hex, isHex := strings.CutPrefix(number, "x"); isHex {
		number, base = hex, 16
	}
	n, err := strconv.ParseUint(number, base, 21)
	return rune(n), ok && err == nil && n != 0 && utf8.ValidRune(rune(n))
}
