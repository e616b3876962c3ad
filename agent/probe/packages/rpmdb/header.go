package rpmdb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
)

// The tags that are read, see include/rpm/rpmtag.h.
const (
	Name            = 1000
	Version         = 1001
	Release         = 1002
	Epoch           = 1003
	InstallTime     = 1008
	Size            = 1009
	Vendor          = 1011
	Packager        = 1015
	Group           = 1016
	Arch            = 1022
	SourceRPM       = 1044
	DirIndexes      = 1116
	BaseNames       = 1117
	DirNames        = 1118
	LongSize        = 5009
	ModularityLabel = 5096
)

// The types of values.
const (
	typeInt16       = 3
	typeInt32       = 4
	typeInt64       = 5
	typeString      = 6
	typeStringArray = 8
	typeI18NString  = 9
)

const (
	introBytes = 8  // numbers of index entries and of bytes of data
	entryBytes = 16 // tag, type, offset, count
)

// Header is a package as rpm stores it.
type Header struct {
	index []byte
	data  []byte
}

// ParseHeader checks the outline of a blob, which it keeps.
func ParseHeader(blob []byte) (Header, error) {
	if len(blob) < introBytes {
		return Header{}, errors.New("header is cut off")
	}
	entries, size := uint64(binary.BigEndian.Uint32(blob)), uint64(binary.BigEndian.Uint32(blob[4:]))
	index := entries * entryBytes
	if entries == 0 || introBytes+index+size > uint64(len(blob)) {
		return Header{}, fmt.Errorf("header of %d entries and %d bytes in %d bytes", entries, size, len(blob))
	}
	return Header{blob[introBytes : introBytes+index], blob[introBytes+index : introBytes+index+size]}, nil
}

// value returns the data from where a tag's value begins.
func (h Header) value(tag uint32) (kind uint32, count int, data []byte) {
	for e := h.index; len(e) >= entryBytes; e = e[entryBytes:] {
		if binary.BigEndian.Uint32(e) != tag {
			continue
		}
		at, n := uint64(binary.BigEndian.Uint32(e[8:])), binary.BigEndian.Uint32(e[12:])
		if at >= uint64(len(h.data)) || uint64(n) > uint64(len(h.data)) {
			return 0, 0, nil
		}
		return binary.BigEndian.Uint32(e[4:]), int(n), h.data[at:]
	}
	return 0, 0, nil
}

// String returns a string, or the first of several; nil if there is none.
func (h Header) String(tag uint32) []byte {
	for s := range h.Strings(tag) {
		return s
	}
	return nil
}

// Strings yields the strings of a tag, as many as there are.
func (h Header) Strings(tag uint32) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		kind, count, data := h.value(tag)
		switch kind {
		case typeString:
			count = min(count, 1)
		case typeStringArray, typeI18NString:
		default:
			return
		}
		for range count {
			end := bytes.IndexByte(data, 0)
			if end < 0 || !yield(data[:end:end]) {
				return
			}
			data = data[end+1:]
		}
	}
}

// Int returns the first number of a tag.
func (h Header) Int(tag uint32) (uint64, bool) {
	kind, count, data := h.value(tag)
	switch {
	case count == 0:
	case kind == typeInt16 && len(data) >= 2:
		return uint64(binary.BigEndian.Uint16(data)), true
	case kind == typeInt32 && len(data) >= 4:
		return uint64(binary.BigEndian.Uint32(data)), true
	case kind == typeInt64 && len(data) >= 8:
		return binary.BigEndian.Uint64(data), true
	}
	return 0, false
}

// Count returns how many values a tag has.
func (h Header) Count(tag uint32) int {
	_, count, _ := h.value(tag)
	return count
}

// MaxFolders bounds the folders of one package, of which Files keeps a list. A package with
// 100,000 files has 20,000.
const MaxFolders = 200_000

// Files yields the paths of the package's files and folders, in two parts. The slices
// are parts of the blob.
func (h Header) Files() iter.Seq2[[]byte, []byte] {
	return func(yield func(dir, base []byte) bool) {
		var dirs [][]byte
		for d := range h.Strings(DirNames) {
			if len(dirs) == MaxFolders {
				return
			}
			dirs = append(dirs, d)
		}
		kind, count, places := h.value(DirIndexes)
		if kind != typeInt32 {
			return
		}
		for base := range h.Strings(BaseNames) {
			if count == 0 || len(places) < 4 {
				return
			}
			i := binary.BigEndian.Uint32(places)
			if uint64(i) >= uint64(len(dirs)) || !yield(dirs[i], base) {
				return
			}
			count, places = count-1, places[4:]
		}
	}
}
