package packages

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"runtime/debug"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

const (
	// goMagic begins the section .go.buildinfo, see debug/buildinfo in Go's library, which
	// is not used as it brings readers of the formats of all systems and searches whole
	// programs that are not Go's.
	goMagic    = "\xff Go buildinf:"
	goInline   = 2 // flag: the strings follow at 32, as since Go 1.18
	goSentinel = 16

	maxSections = 1000
	maxGoInfo   = 1 << 20
)

func readGo(_ context.Context, f *probe.Random) ([]*facts.PackageRow, error) {
	info, err := goInfo(f)
	if err != nil || info == nil {
		return nil, nil // not a program of Go, or an ELF file that only its loader understands
	}
	return parseGo(info), nil
}

// goInfo returns the content of .go.buildinfo of an ELF file; nil if it has none.
func goInfo(f io.ReaderAt) ([]byte, error) {
	var head [64]byte
	if _, err := f.ReadAt(head[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if string(head[:4]) != "\x7fELF" {
		return nil, nil
	}
	var order binary.ByteOrder = binary.LittleEndian
	if head[5] == 2 {
		order = binary.BigEndian
	}
	wide := head[4] == 2
	number := func(b []byte, at32, at64 int) int64 { // of a field whose width is that of the file
		if wide {
			return int64(order.Uint64(b[at64:]) & (1<<62 - 1))
		}
		return int64(order.Uint32(b[at32:]))
	}
	table, entry, counts := number(head[:], 32, 40), int64(40), 48
	if wide {
		entry, counts = 64, 60
	}
	count, names := int64(order.Uint16(head[counts:])), int64(order.Uint16(head[counts+2:]))
	if count == 0 || count > maxSections || names >= count {
		return nil, nil
	}
	sections := make([]byte, count*entry)
	if _, err := f.ReadAt(sections, table); err != nil {
		return nil, err
	}
	content := func(i int64) ([]byte, error) {
		s := sections[i*entry:]
		data := make([]byte, min(number(s, 20, 32), maxGoInfo))
		_, err := f.ReadAt(data, number(s, 16, 24))
		return data, err
	}
	text, err := content(names)
	if err != nil {
		return nil, err
	}
	for i := range count {
		at := int(order.Uint32(sections[i*entry:]))
		if at < len(text) && bytes.HasPrefix(text[at:], []byte(".go.buildinfo\x00")) {
			return content(i)
		}
	}
	return nil, nil
}

// parseGo makes rows of the section: the module of the program, those it is built of,
// and the standard library, which has advisories too.
func parseGo(info []byte) []*facts.PackageRow {
	const inline = 32
	if len(info) < inline || string(info[:len(goMagic)]) != goMagic || info[15]&goInline == 0 {
		return nil
	}
	version, rest := goString(info[inline:])
	modules, _ := goString(rest)
	t := new(texts)
	var rows []*facts.PackageRow
	add := func(name, version string) {
		row := t.row()
		row.Source, row.Name, row.Version = "go", text(t, []byte(name)), text(t, []byte(version))
		if row.Name != "" && row.Version != "" {
			rows = append(rows, row)
		}
	}
	add("stdlib", string(version))
	if len(modules) <= 2*goSentinel {
		return rows
	}
	b, err := debug.ParseBuildInfo(string(modules[goSentinel : len(modules)-goSentinel]))
	if err != nil {
		return rows
	}
	add(b.Main.Path, b.Main.Version)
	for _, m := range b.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		add(m.Path, m.Version)
	}
	return rows
}

// goString takes a string with its length in front.
func goString(b []byte) (s, rest []byte) {
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)-used) {
		return nil, nil
	}
	return b[used : used+int(n)], b[used+int(n):]
}
