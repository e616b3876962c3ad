package hardware

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// The decoder follows DMTF DSP0134 "System Management BIOS Reference Specification"
// 3.7.0; section numbers in this package are its.

// maxStructures bounds a table. Machines with 4 TB in 128 slots have about 600.
const maxStructures = 8192

// Structure types (7.1 to 7.46) that we read.
const (
	typeBIOS        = 0
	typeSystem      = 1
	typeBoard       = 2
	typeChassis     = 3
	typeProcessor   = 4
	typeSlot        = 9
	typeMemoryArray = 16
	typeMemory      = 17
	typeBattery     = 22
	typePowerSupply = 39
	typeTPM         = 43
	typeEndOfTable  = 127
)

// structure is one entry of the table (6.1.2): a header of four bytes, which belongs
// to data, and the strings that follow the formatted area.
type structure struct {
	kind    byte
	handle  uint16
	data    []byte // formatted area, header in; offsets are those of the specification
	strings []byte // NUL-separated, without the final NULs
}

// table is a decoded SMBIOS table. It refers to the bytes it was decoded from.
type table struct {
	version    uint16 // major << 8 | minor; 0 when the entry point does not tell
	structures []structure
}

var errTruncated = errors.New("SMBIOS table is cut off")

// decodeEntryPoint returns the version in the entry point, 64-bit (5.2.2) or 32-bit
// (5.2.1); 0 when it is neither or its checksum is wrong.
func decodeEntryPoint(b []byte) uint16 {
	var length, major, minor int
	switch {
	case bytes.HasPrefix(b, []byte("_SM3_")) && len(b) >= 0x18:
		length, major, minor = int(b[6]), int(b[7]), int(b[8])
	case bytes.HasPrefix(b, []byte("_SM_")) && len(b) >= 0x1f:
		length, major, minor = int(b[5]), int(b[6]), int(b[7])
		if length == 0x1e { // a mistake of version 2.1 that the specification allows for
			length = 0x1f
		}
	default:
		return 0
	}
	if length > len(b) {
		return 0
	}
	var sum byte
	for _, c := range b[:length] {
		sum += c
	}
	if sum != 0 {
		return 0
	}
	return uint16(major)<<8 | uint16(minor)
}

// decodeTable cuts a table into structures (6.1). It returns those before the damage
// together with the error.
func decodeTable(b []byte, version uint16) (table, error) {
	t := table{version: version}
	for len(b) > 0 {
		if len(t.structures) == maxStructures {
			return t, fmt.Errorf("SMBIOS table has more than %d structures", maxStructures)
		}
		if len(b) < 4 || int(b[1]) > len(b) {
			return t, errTruncated
		}
		if b[1] < 4 {
			return t, fmt.Errorf("SMBIOS structure of type %d has length %d", b[0], b[1])
		}
		s := structure{kind: b[0], handle: binary.LittleEndian.Uint16(b[2:]), data: b[:b[1]]}
		if s.kind == typeEndOfTable {
			return t, nil
		}
		rest := b[b[1]:]
		end := bytes.Index(rest, []byte{0, 0})
		if end < 0 {
			return t, errTruncated
		}
		s.strings = rest[:end]
		t.structures = append(t.structures, s)
		b = rest[end+2:]
	}
	return t, nil
}

// all returns the structures of one type.
func (t table) all(kind byte) []structure {
	var out []structure
	for _, s := range t.structures {
		if s.kind == kind {
			out = append(out, s)
		}
	}
	return out
}

// first returns the first structure of a type; an empty one if there is none, of
// which every field is absent.
func (t table) first(kind byte) structure {
	for _, s := range t.structures {
		if s.kind == kind {
			return s
		}
	}
	return structure{}
}

// The accessors give 0 for a field beyond the end of the structure: older tables
// have shorter structures.

func (s structure) byte(offset int) byte {
	if offset >= len(s.data) {
		return 0
	}
	return s.data[offset]
}

func (s structure) word(offset int) uint16 {
	if offset+2 > len(s.data) {
		return 0
	}
	return binary.LittleEndian.Uint16(s.data[offset:])
}

func (s structure) dword(offset int) uint32 {
	if offset+4 > len(s.data) {
		return 0
	}
	return binary.LittleEndian.Uint32(s.data[offset:])
}

// text returns the string whose number is at offset (6.1.3), without what vendors
// leave in unfilled fields.
func (s structure) text(offset int) string { return meaningful(s.rawText(offset)) }

func (s structure) rawText(offset int) string {
	n := int(s.byte(offset))
	if n == 0 {
		return ""
	}
	rest := s.strings
	for ; n > 1; n-- {
		i := bytes.IndexByte(rest, 0)
		if i < 0 {
			return ""
		}
		rest = rest[i+1:]
	}
	if i := bytes.IndexByte(rest, 0); i >= 0 {
		rest = rest[:i]
	}
	return printable(string(rest))
}

// printable keeps what is text: firmware fills fields with control and high bytes.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}

// uuid formats the UUID at offset (7.2.1): its first three fields are little-endian
// since version 2.6. All zeros or ones mean that there is none.
func (t table) uuid(s structure, offset int) string {
	if offset+16 > len(s.data) {
		return ""
	}
	u := [16]byte(s.data[offset:])
	if u == [16]byte{} || u == [16]byte(bytes.Repeat([]byte{0xff}, 16)) {
		return ""
	}
	if t.version == 0 || t.version >= 0x0206 {
		u[0], u[1], u[2], u[3] = u[3], u[2], u[1], u[0]
		u[4], u[5], u[6], u[7] = u[5], u[4], u[7], u[6]
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
