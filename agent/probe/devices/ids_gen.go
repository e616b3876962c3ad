//go:build ignore

// ids_gen writes the contents of ids.zst out of the list of the PCI ID project, and says
// the sum of its names that ids_test.go holds:
//
//	go run ids_gen.go /usr/share/misc/pci.ids > ids && zstd --ultra -22 --no-check --rm -f ids
//
// The layout is described in ids.go.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// entry is a vendor, a class or, with a key as long again, a member of one of them.
type entry struct{ key, name string }

func (e entry) digits() int {
	if e.key[0] == 'c' {
		return 2
	}
	return 4
}

func (e entry) isGroup() bool { return len(e.key) == 1+e.digits() }

// number is that of the group, or of the member in it.
func (e entry) number() uint64 {
	digits := e.key[1+e.digits():]
	if e.isGroup() {
		digits = e.key[1:]
	}
	n, err := strconv.ParseUint(digits, 16, 16)
	if err != nil {
		log.Fatal(err)
	}
	if e.isGroup() && e.key[0] == 'p' {
		n += 0x100 // behind the classes
	}
	return n
}

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
	sum := sha256.New()
	for _, e := range all {
		fmt.Fprintf(sum, "%s\t%s\n", e.key, e.name)
	}
	var numbers, groupNames, memberNames []byte
	groups, members, group, member := 0, 0, uint64(0), uint64(0)
	for i, e := range all {
		if !e.isGroup() {
			numbers = binary.AppendUvarint(numbers, e.number()-member)
			memberNames = append(memberNames, e.name+"\n"...)
			member, members = e.number(), members+1
			continue
		}
		count := slices.IndexFunc(all[i+1:], entry.isGroup)
		if count < 0 {
			count = len(all[i+1:])
		}
		numbers = binary.AppendUvarint(numbers, e.number()-group)
		numbers = binary.AppendUvarint(numbers, uint64(count))
		groupNames = append(groupNames, e.name+"\n"...)
		group, member, groups = e.number(), 0, groups+1
	}
	head := binary.AppendUvarint(nil, uint64(groups))
	head = binary.AppendUvarint(head, uint64(members))
	head = binary.AppendUvarint(head, uint64(len(groupNames)))
	if _, err := os.Stdout.Write(slices.Concat(head, numbers, groupNames, memberNames)); err != nil {
		log.Fatal(err)
	}
	log.Printf("%d names, sum %x", len(all), sum.Sum(nil))
}
