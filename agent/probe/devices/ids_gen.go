//go:build ignore

// ids_gen writes ids.bin out of the list of the PCI ID project:
//
//	go run ids_gen.go /usr/share/misc/pci.ids
//
// The layout is described in ids.go.
package main

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"log"
	"os"
	"regexp"
	"slices"
	"strings"
)

const chunkBytes = 32 << 10

type entry struct{ key, name string }

var (
	vendorLine = regexp.MustCompile(`^([0-9a-f]{4})  (.+)$`)
	deviceLine = regexp.MustCompile(`^\t([0-9a-f]{4})  (.+)$`)
	classLine  = regexp.MustCompile(`^C ([0-9a-f]{2})  (.+)$`)
	subLine    = regexp.MustCompile(`^\t([0-9a-f]{2})  (.+)$`)
)

// read takes vendors, devices and classes out of the list.
func read(file string) []entry {
	const table, classes = "p", "c"
	b, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	var out []entry
	vendor, class := "", ""
	for in := bufio.NewScanner(bytes.NewReader(b)); in.Scan(); {
		line := strings.ToValidUTF8(in.Text(), "?")
		if line == "" || line[0] == '#' {
			continue
		}
		if line[0] != '\t' {
			vendor, class = "", ""
		}
		if m := vendorLine.FindStringSubmatch(line); m != nil {
			vendor = m[1]
			out = append(out, entry{table + vendor, m[2]})
		} else if m := classLine.FindStringSubmatch(line); m != nil {
			class = m[1]
			out = append(out, entry{classes + class, m[2]})
		} else if m := deviceLine.FindStringSubmatch(line); m != nil && vendor != "" {
			out = append(out, entry{table + vendor + m[1], m[2]})
		} else if m := subLine.FindStringSubmatch(line); m != nil && class != "" {
			out = append(out, entry{classes + class + m[1], m[2]})
		}
	}
	return out
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: go run ids_gen.go pci.ids")
	}
	all := read(os.Args[1])
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	var index, data, chunk bytes.Buffer
	count := 0
	flush := func() {
		w, err := flate.NewWriter(&data, flate.BestCompression)
		if err == nil {
			_, err = w.Write(chunk.Bytes())
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			log.Fatal(err)
		}
		chunk.Reset()
	}
	for _, e := range all {
		line := e.key + "\t" + e.name + "\n"
		if len(e.key) == 9 {
			line = e.key[5:] + "\t" + e.name + "\n" // below the line of its vendor
		}
		if chunk.Len() > 0 && chunk.Len()+len(line) > chunkBytes {
			flush()
		}
		if chunk.Len() == 0 {
			line = e.key + "\t" + e.name + "\n"
			index.WriteString((e.key + "         ")[:9])
			index.Write(binary.LittleEndian.AppendUint32(nil, uint32(data.Len())))
			count++
		}
		chunk.WriteString(line)
	}
	flush()
	out := binary.LittleEndian.AppendUint16(nil, uint16(count))
	out = append(append(out, index.Bytes()...), data.Bytes()...)
	if err := os.WriteFile("ids.bin", out, 0o644); err != nil {
		log.Fatal(err)
	}
	log.Printf("%d names in %d chunks, %d bytes", len(all), count, len(out))
}
