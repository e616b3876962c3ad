package patches

import (
	"bytes"
	"io"

	"atalaya/agent/probe"
)

const (
	stanzaBytes = 128 << 10 // read at once
	// maxStanza bounds one stanza. The largest of Debian and Ubuntu have some 60 KB
	// (long Provides of librust packages).
	maxStanza = 1 << 20
)

// stanzas cuts a stream into stanzas of deb822(5), which empty lines separate.
type stanzas struct {
	*probe.Window
	// unended is set when the last stanza was not followed by an empty line, cut when
	// not even its last line ended.
	unended, cut bool
}

func newStanzas(r io.Reader) *stanzas {
	return &stanzas{Window: probe.NewWindow(r, stanzaBytes, maxStanza)}
}

// next returns the next stanza, valid until the following call, and io.EOF at the end.
func (s *stanzas) next() ([]byte, error) {
	for searched := 0; ; {
		rest := s.Held()
		if searched == 0 {
			trimmed := bytes.TrimLeft(rest, "\n")
			s.Take(len(rest) - len(trimmed))
			rest = trimmed
		}
		if i := probe.EmptyLine(rest[searched:]); i >= 0 {
			s.Take(searched + i + 2)
			return rest[:searched+i+1], nil
		}
		searched = max(len(rest)-1, 0)
		if s.More() {
			continue
		}
		if s.Err() != nil {
			return nil, s.Err()
		}
		if rest = s.Held(); len(rest) == 0 {
			return nil, io.EOF
		}
		s.unended, s.cut = true, rest[len(rest)-1] != '\n'
		s.Take(len(rest))
		return rest, nil
	}
}

// eachField calls fn with the name and the value of each field. Values of several
// lines come whole, with their line breaks.
func eachField(stanza []byte, fn func(name, value []byte)) {
	for len(stanza) > 0 {
		end := bytes.IndexByte(stanza, '\n')
		for end >= 0 && end+1 < len(stanza) && (stanza[end+1] == ' ' || stanza[end+1] == '\t') {
			next := bytes.IndexByte(stanza[end+1:], '\n')
			if next < 0 {
				end = -1
				break
			}
			end += 1 + next
		}
		field := stanza
		if end >= 0 {
			field, stanza = stanza[:end], stanza[end+1:]
		} else {
			stanza = nil
		}
		if name, value, ok := bytes.Cut(field, []byte{':'}); ok && field[0] != '#' {
			fn(name, bytes.TrimSpace(value))
		}
	}
}

// packageName returns the value of the Package field, which nearly always comes first.
func packageName(stanza []byte) []byte {
	const field = "Package: "
	if !bytes.HasPrefix(stanza, []byte(field)) {
		i := bytes.Index(stanza, []byte("\n"+field))
		if i < 0 {
			return nil
		}
		stanza = stanza[i+1:]
	}
	name := stanza[len(field):]
	if i := bytes.IndexByte(name, '\n'); i >= 0 {
		name = name[:i]
	}
	return bytes.TrimSpace(name)
}
