package devices

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/binary"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"

	"atalaya/agent/probe"
)

// idsData holds the names of PCI classes, vendors and devices, from the list of the PCI
// ID project (docs/licences/pci-ids.txt, ADR 13 and 46), as one zstd frame. In it are
// uvarints: how many groups there are, how many members they have in all, and how many
// bytes the names of groups take. A group is a class with its subclasses or a vendor with
// its devices: for each its number less that of the group before, how many members it
// has, and for each member its number less that of the one before. Then follow the names
// of the groups and then those of the members, a line each, in the same order.
//
//go:embed ids.zst
var idsData []byte

const (
	// firstVendor is added to the numbers of vendors, which stand behind the classes.
	firstVendor = 0x100
	// A number in an idList is that of the group, a bit that says it is a member's, and
	// the number of the member.
	groupShift = 17
	memberBit  = 1 << 16
	// startBits are enough for a text of 1 MB; a list has 0.6 MB.
	startBits = 20
)

// systemLists are where systems keep the full lists; they are asked for what is newer
// than ours.
var systemLists = map[byte][]string{
	'p': {"/usr/share/hwdata/pci.ids", "/usr/share/misc/pci.ids", "/var/lib/pciutils/pci.ids", "/usr/share/misc/pci.ids.gz", "/usr/share/hwdata/pci.ids.gz"},
	'u': {"/usr/share/hwdata/usb.ids", "/usr/share/misc/usb.ids", "/var/lib/usbutils/usb.ids", "/usr/share/misc/usb.ids.gz", "/usr/share/hwdata/usb.ids.gz"},
}

// maxList bounds a list of the system: pci.ids has 1.5 MB.
const maxList = 8 << 20

// names finds names by number. It remembers what it was asked, and what nobody knows,
// for as long as the agent runs; the lists only until done.
type names struct {
	known map[string]string
	ours  *idList
	lists map[byte][]byte // of the system, while a reading lasts
}

// find returns the name for a key, "" when neither we nor the system know one.
func (n *names) find(h *probe.Host, key string) string {
	if name, ok := n.known[key]; ok {
		return name
	}
	name := n.embedded(key)
	if name == "" && len(key) > 4 { // classes are few, and do not change
		name = listed(n.list(h, key[0]), key)
	}
	if n.known == nil {
		n.known = make(map[string]string)
	}
	n.known[key] = name
	return name
}

// done gives back what was kept for one reading.
func (n *names) done() { n.ours, n.lists = nil, nil }

// embedded finds a name in idsData.
func (n *names) embedded(key string) string {
	number, ok := idNumber(key)
	if !ok {
		return ""
	}
	if n.ours == nil {
		n.ours = inflateIDs()
	}
	return n.ours.name(number)
}

// idNumber is the number in an idList of the key of a vendor ("p8086"), a device
// ("p80861237"), a class ("c03") or a subclass ("c0300").
func idNumber(key string) (number uint64, ok bool) {
	digits, first := 2, uint64(0)
	switch {
	case strings.HasPrefix(key, "p"):
		digits, first = 4, firstVendor
	case !strings.HasPrefix(key, "c"):
		return 0, false
	}
	key = key[1:]
	if len(key) != digits && len(key) != 2*digits {
		return 0, false
	}
	group, err := strconv.ParseUint(key[:digits], 16, 16)
	number = (first + group) << groupShift
	if member := key[digits:]; err == nil && member != "" {
		var m uint64
		m, err = strconv.ParseUint(member, 16, 16)
		number |= memberBit | m
	}
	return number, err == nil
}

// idList is idsData inflated: 0.8 MB.
type idList struct {
	entries []uint64 // sorted: a number, and below it where in text its name begins
	text    []byte
}

func inflateIDs() *idList {
	r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return &idList{} // the options are constants
	}
	b, err := r.DecodeAll(idsData, nil)
	if err != nil {
		return &idList{} // a test inflates it
	}
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		b = b[n:]
		return v
	}
	groups, members, groupText := next(), next(), next()
	entries := make([]uint64, 0, groups+members)
	for number := uint64(0); groups > 0; groups-- {
		number += next() << groupShift
		entries = append(entries, number<<startBits)
		member := number | memberBit
		for left := next(); left > 0; left-- {
			member += next()
			entries = append(entries, member<<startBits)
		}
	}
	group, member := uint64(0), groupText
	for i, e := range entries {
		start := &group
		if e>>startBits&memberBit != 0 {
			start = &member
		}
		entries[i] |= *start
		*start += uint64(bytes.IndexByte(b[*start:], '\n')) + 1
	}
	return &idList{entries, b}
}

// name returns the name of a number, "" for none.
func (l *idList) name(number uint64) string {
	i, _ := slices.BinarySearch(l.entries, number<<startBits)
	if i == len(l.entries) || l.entries[i]>>startBits != number {
		return ""
	}
	line, _, _ := bytes.Cut(l.text[l.entries[i]&(1<<startBits-1):], []byte{'\n'})
	return string(line)
}

// list is the system's list for a table; nil when it has none.
func (n *names) list(h *probe.Host, table byte) []byte {
	if b, ok := n.lists[table]; ok {
		return b
	}
	var found []byte
	for _, path := range systemLists[table] {
		b, err := h.ReadFile(path)
		if err == nil && strings.HasSuffix(path, ".gz") {
			b, err = gunzip(b)
		}
		if err == nil && len(b) > 0 {
			found = b
			break
		}
	}
	if n.lists == nil {
		n.lists = make(map[byte][]byte)
	}
	n.lists[table] = found
	return found
}

func gunzip(b []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, maxList))
}

// listed finds a vendor or device in a list in the form of pci.ids: "8086  Intel", below
// it "TAB 1237  440FX".
func listed(list []byte, key string) string {
	vendor, device := key[1:5], key[5:]
	inside := false
	for line := []byte(nil); len(list) > 0; {
		line, list = probe.NextLine(list)
		switch {
		case len(line) < 7 || line[0] == '#' || line[1] == '\t':
		case line[0] != '\t':
			if inside {
				return "" // the next vendor
			}
			inside = string(line[:4]) == vendor
			if inside && device == "" {
				return listName(line[4:])
			}
		case inside && string(line[1:5]) == device:
			return listName(line[5:])
		}
	}
	return ""
}

func listName(b []byte) string { return strings.ToValidUTF8(strings.TrimSpace(string(b)), "?") }
