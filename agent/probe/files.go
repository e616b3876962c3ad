package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"
)

// Source is a kept file and what understands it.
type Source struct {
	Path string
	// Optional says that many systems lack the file: its absence is no error.
	Optional bool
	// Parse reports what it understands and returns what it did not. It must not
	// keep b, and must not allocate when it has seen the same names before.
	Parse func(r *Report, b []byte) error
}

// Files returns a metric probe that reads each source at every tick. An unreadable
// source does not keep the others from being read.
func Files(name string, sources ...Source) Probe {
	return &files{name: name, sources: sources, kept: make([]*File, len(sources))}
}

// Every returns a metric probe like that of Files which runs once in a period only, for
// files that take the kernel long to write.
func Every(period time.Duration, name string, sources ...Source) Probe {
	return &files{name: name, sources: sources, period: period, kept: make([]*File, len(sources))}
}

type files struct {
	name    string
	period  time.Duration // 0: every tick
	sources []Source
	host    *Host   // that kept belongs to
	kept    []*File // one for each source
	buf     []byte
}

func (p *files) Info() Info { return Info{Name: p.name, Metrics: true, Period: p.period} }

// Collect implements Probe.
func (p *files) Collect(_ context.Context, h *Host, r *Report) error {
	if p.host != h {
		p.open(h)
	}
	var problems error
	read := false
	for i, s := range p.sources {
		b, err := p.kept[i].Read(p.buf)
		p.buf = b // keeps the capacity reached
		if err == nil {
			read = true
			err = s.Parse(r, b)
		} else if s.Optional && Absent(err) {
			continue
		}
		if err != nil {
			problems = errors.Join(problems, fmt.Errorf("%s: %w", s.Path, err))
		}
	}
	if !read && problems == nil {
		return errors.ErrUnsupported // every source is optional, and none is there
	}
	return problems
}

func (p *files) open(h *Host) {
	for i, s := range p.sources {
		if p.kept[i] != nil {
			p.kept[i].Close() // read only: nothing can be lost
		}
		p.kept[i] = h.File(s.Path)
	}
	p.host = h
}

// BadLine is the error of a parser that did not understand line, nil for a nil line.
func BadLine(line []byte) error {
	if line == nil {
		return nil
	}
	return NotUnderstood(line)
}

// ErrNUL is the error of a parser that was given NUL bytes in place of text, as a crash or
// a failing disk leaves them.
var ErrNUL = errors.New("damaged: it has NUL bytes")

// errNoText is the error of a parser that was given other bytes in place of text.
var errNoText = errors.New("damaged: it is no text")

// NotUnderstood is the error of a parser that cannot make sense of text. Only what people
// can read is quoted.
func NotUnderstood(text []byte) error {
	if bytes.IndexByte(text, 0) >= 0 {
		return ErrNUL
	}
	if !utf8.Valid(text) || bytes.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && !unicode.IsSpace(r) }) {
		return errNoText
	}
	return fmt.Errorf("%.60q not understood", text)
}

// Intact returns ErrNUL for text that has NUL bytes, which no file of lines has.
func Intact(text []byte) error {
	if bytes.IndexByte(text, 0) >= 0 {
		return ErrNUL
	}
	return nil
}
