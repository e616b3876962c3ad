package devices

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	_ "embed"
	"encoding/binary"
	"io"
	"strings"

	"atalaya/agent/probe"
)

// idsData holds the names of PCI classes, vendors and devices, from the list of the PCI
// ID project (docs/licences/pci-ids.txt, ADR 13). It is a little-endian count of chunks of two bytes, an index with a
// first key of nine bytes and an offset of four for each, and the chunks, deflated one
// by one so that a machine with devices of four makers inflates a few of them.
//
// A chunk is lines "key TAB name", sorted. A key is a letter for the table (p devices, c
// classes), the vendor and the device; the keys of the devices after their vendor have no
// more than the last part.
//
//go:embed ids.bin
var idsData []byte

const (
	idsEntry = 9 + 4
	// maxChunk bounds what a chunk inflates to; the generator's limit is half.
	maxChunk = 64 << 10
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
// for as long as the agent runs; chunks only until done.
type names struct {
	known  map[string]string
	chunks map[int][]byte
	lists  map[byte][]byte // of the system, while a reading lasts
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
func (n *names) done() { n.chunks, n.lists = nil, nil }

// embedded finds a name in idsData.
func (n *names) embedded(key string) string {
	i := chunkOf(key)
	if i < 0 {
		return ""
	}
	chunk, ok := n.chunks[i]
	if !ok {
		chunk = inflate(i)
		if n.chunks == nil {
			n.chunks = make(map[int][]byte)
		}
		n.chunks[i] = chunk
	}
	vendor := ""
	for line := []byte(nil); len(chunk) > 0; {
		line, chunk = probe.NextLine(chunk)
		k, name, _ := bytes.Cut(line, []byte{'\t'})
		if len(k) == 4 {
			if vendor+string(k) == key {
				return string(name)
			}
			continue
		}
		if string(k) == key {
			return string(name)
		}
		vendor = string(k[:min(5, len(k))])
	}
	return ""
}

// chunkOf is the last chunk whose first key is not after key; -1 for none.
func chunkOf(key string) int {
	count := int(binary.LittleEndian.Uint16(idsData))
	found := -1
	for i := range count {
		first := strings.TrimRight(string(idsData[2+i*idsEntry:][:9]), " ")
		if first > key {
			break
		}
		found = i
	}
	return found
}

func inflate(i int) []byte {
	count := int(binary.LittleEndian.Uint16(idsData))
	offset := binary.LittleEndian.Uint32(idsData[2+i*idsEntry+9:])
	r := flate.NewReader(bytes.NewReader(idsData[2+count*idsEntry+int(offset):]))
	b, err := io.ReadAll(io.LimitReader(r, maxChunk))
	if err != nil {
		return nil // a test inflates them all
	}
	return b
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
