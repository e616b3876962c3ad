package patches

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxStanza bounds one stanza. The largest of Debian and Ubuntu have some 60 KB
// (long Provides of librust packages).
const maxStanza = 1 << 20

// stanzas cuts a stream into stanzas of deb822(5), which empty lines separate. Its
// buffer is small and reused, so that an index of 50 MB is read in constant memory.
type stanzas struct {
	r          io.Reader
	buf        []byte
	start, end int // the unread part of buf
	eof        bool
	// size counts all bytes read.
	size int64
	// unended is set when the last stanza was not followed by an empty line.
	unended bool
	// nul is set when a NUL byte was seen: the file was damaged.
	nul bool
}

func newStanzas(r io.Reader) *stanzas { return &stanzas{r: r, buf: make([]byte, 128<<10)} }

// next returns the next stanza, valid until the following call, and io.EOF at the end.
func (s *stanzas) next() ([]byte, error) {
	for searched := 0; ; {
		rest := s.buf[s.start:s.end]
		if searched == 0 {
			trimmed := bytes.TrimLeft(rest, "\n")
			s.start += len(rest) - len(trimmed)
			rest = trimmed
		}
		if i := bytes.Index(rest[searched:], []byte("\n\n")); i >= 0 {
			stanza := rest[:searched+i+1]
			s.start += searched + i + 2
			return stanza, nil
		}
		if s.eof {
			if len(rest) == 0 {
				return nil, io.EOF
			}
			s.unended, s.start = true, s.end
			return rest, nil
		}
		searched = max(len(rest)-1, 0)
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
}

// fill reads more behind the unread part.
func (s *stanzas) fill() error {
	s.end = copy(s.buf, s.buf[s.start:s.end])
	s.start = 0
	if s.end == len(s.buf) {
		if len(s.buf) >= maxStanza {
			return fmt.Errorf("stanza is longer than %d bytes", maxStanza)
		}
		s.buf = append(s.buf, make([]byte, len(s.buf))...)
	}
	n, err := s.r.Read(s.buf[s.end:])
	s.nul = s.nul || bytes.IndexByte(s.buf[s.end:s.end+n], 0) >= 0
	s.end += n
	s.size += int64(n)
	if errors.Is(err, io.EOF) {
		s.eof = true
		return nil
	}
	return err
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
