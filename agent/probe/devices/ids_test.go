package devices

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
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
}

// TestEveryChunkInflates and is where the index says: every name can be found.
func TestEveryChunkInflates(t *testing.T) {
	n, found := &names{}, 0
	for i := range int(binary.LittleEndian.Uint16(idsData)) {
		vendor := ""
		for line := range strings.Lines(string(inflate(i))) {
			key, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			if len(key) == 4 {
				key = vendor + key
			} else {
				vendor = key[:min(5, len(key))]
			}
			if !ok || name == "" {
				t.Fatalf("chunk %d: line %q", i, line)
			}
			if found++; found%97 == 0 && n.embedded(key) != name {
				t.Errorf("%s is %q, want %q", key, n.embedded(key), name)
			}
		}
	}
	if found < 19000 {
		t.Errorf("only %d names", found)
	}
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
