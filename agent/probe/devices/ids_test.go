package devices

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
)

func TestEmbeddedNames(t *testing.T) {
	n := &names{}
	h := probe.RootHost(t.TempDir())
	f := func(key, want string) {
		t.Helper()
		if got := n.find(h, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	f("p8086", "Intel Corporation")
	f("p80861237", "440FX - 82441FX PMC [Natoma]")
	f("p10de2204", "GA102 [GeForce RTX 3090]")
	f("c03", "Display controller")
	f("c0300", "VGA compatible controller")
	f("u1d6b", "")
	f("p8086fff0", "")
	f("pfff0", "")
	f("", "")
	f("zzzz", "")
	for _, key := range []string{"p", "c", "c3", "c030", "c03000", "p80861", "p808612370", "p808g", "p8086123g", "p+086", "c0x", "u80861237"} {
		f(key, "")
	}
}

// TestEveryNameIsFound under its number: the sum is that of "key TAB name" lines, sorted,
// which ids_gen.go says of the list that it read.
func TestEveryNameIsFound(t *testing.T) {
	const count, want = 20077, "44c888f38adacc25e26ac95a785e562ed2a798aa55d786f1b28cb0c8b6048e9f"
	n, h, sum := &names{}, probe.RootHost(t.TempDir()), sha256.New()
	entries := inflateIDs().entries
	for _, e := range entries {
		key := keyOf(e >> startBits)
		fmt.Fprintf(sum, "%s\t%s\n", key, n.find(h, key))
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want || len(entries) != count {
		t.Errorf("the sum of %d names is %s, want %s of %d", len(entries), got, want, count)
	}
}

// keyOf is the other way round of idNumber.
func keyOf(number uint64) string {
	group, isMember, member := number>>groupShift, number&memberBit != 0, number&(memberBit-1)
	table, digits := "c", 2
	if group >= firstVendor {
		table, digits, group = "p", 4, group-firstVendor
	}
	if !isMember {
		return fmt.Sprintf("%s%0*x", table, digits, group)
	}
	return fmt.Sprintf("%s%0*x%0*x", table, digits, group, digits, member)
}

func TestSystemsListIsAskedForWhatIsNewer(t *testing.T) {
	const list = "# comment\nfff0  Example\n\t0001  One\n\t\tfff0 0001  Sub\n\t0002  Two\nfff1  Other\n\t0003  Three\nC 03  Class\n"
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write([]byte(list)); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	for name, tree := range map[string]map[string]string{
		"plain": {"usr/share/hwdata/pci.ids": list}, "gzip": {"usr/share/misc/pci.ids.gz": packed.String()},
	} {
		n, h := &names{}, probe.RootHost(probetest.Tree(t, tree))
		for key, want := range map[string]string{"pfff0": "Example", "pfff00001": "One", "pfff00002": "Two", "pfff00003": "", "pfff10003": "Three"} {
			if got := n.find(h, key); got != want {
				t.Errorf("%s: %s is %q, want %q", name, key, got, want)
			}
		}
	}
}

func FuzzLists(f *testing.F) {
	f.Add([]byte("8086  Intel\n\t1237  440FX\n"), "p80861237")
	f.Fuzz(func(t *testing.T, list []byte, key string) {
		if len(key) >= 5 {
			listed(list, key)
		}
		(&names{}).embedded(key)
		pciNumbers(key)
		if _, err := gunzip(list); err == nil && len(list) < 10 {
			t.Errorf("%q is a gzip file", list)
		}
	})
}

// BenchmarkNames finds the names of a server's devices, of nine makers.
func BenchmarkNames(b *testing.B) {
	keys := strings.Fields("c06 c0600 p8086 p80862020 c0604 p80862030 p80862031 p80862032 c08 c0880 p80862021 p80862024 p80862025 p80862034 " +
		"p8086a1ec c01 c0106 p8086a1d2 c0c c0c03 p8086a1af c11 c1180 p8086a1b1 c07 c0780 p8086a1ba p8086a182 p8086a190 c0601 p8086a1a1 " +
		"c05 c0580 p8086a1a0 c0c05 p8086a1a3 p1028 p14e4 c02 c0200 p14e41657 p1000 c0104 p1000005d p102b c03 c0300 p102b0536 " +
		"p15b3 p15b31015 p144d c0108 p144da822 p10de c0302 p10de1eb8")
	h := probe.RootHost(b.TempDir())
	b.ReportAllocs()
	for b.Loop() {
		n := &names{}
		for _, key := range keys {
			if n.find(h, key) == "" {
				b.Fatal(key)
			}
		}
	}
}
