package store

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"atalaya/shared/wire"
)

// TestColumnsComeBackAsTheyWere: whatever numbers the hosts' own columns hold.
func TestColumnsComeBackAsTheyWere(t *testing.T) {
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	kinds := map[string]func(i int) uint64{
		"in order":        func(i int) uint64 { return 1_700_000_000_000 + uint64(i)*1000 },
		"in order of ms":  func(i int) uint64 { return 1_700_000_000_000 + uint64(i)*731 },
		"one in ten late": func(i int) uint64 { return 1_700_000_000_000 + uint64(i+i%10/9*rng.IntN(1e7))*1000 },
		"no order":        func(int) uint64 { return 1_700_000_000_000 + rng.Uint64N(1e9)*1000 },
		"any":             func(int) uint64 { return rng.Uint64() },
		"edges":           func(i int) uint64 { return []uint64{0, math.MaxUint64, 1 << 63, near, near - 1}[i%5] },
		"two places":      func(i int) uint64 { return uint64(i/40%2)*1e9 + uint64(i) },
	}
	for name, number := range kinds {
		for _, n := range []int{1, 31, 32, 200, 1500} {
			h := &held{}
			for i := range n {
				it := heldItem{id: uint32(i*3 + 1)}
				if i%13 != 12 {
					it.pairs = wire.AppendUint(nil, 9, number(i))
				}
				h.items = append(h.items, it)
			}
			v := h.encode(c)
			got, ok := decodeHeld(c, v)
			if !ok || len(got.items) != n {
				t.Fatalf("%s, %d numbers: decoded %v", name, n, ok)
			}
			for i, it := range got.items {
				if it.id != h.items[i].id || !bytes.Equal(it.pairs, h.items[i].pairs) {
					t.Fatalf("%s, %d numbers: item %d is %d %x, want %d %x", name, n, i, it.id, it.pairs, h.items[i].id, h.items[i].pairs)
				}
			}
			if name == "one in ten late" && n == 1500 && len(v) > 1600 {
				t.Errorf("%s: %d bytes", name, len(v))
			}
		}
	}
}

func FuzzReadColumn(f *testing.F) {
	values := make([][]byte, 40)
	for i := range values {
		values[i] = wire.AppendUint(nil, 9, uint64(1e12+i%7*1e9))[1:]
	}
	for _, n := range []int{3, 40} {
		f.Add(appendColumn(nil, 9, values[:n]), n)
	}
	f.Add(appendColumn(nil, 9, [][]byte{{0x61, 'x'}, nil}), 2)
	f.Fuzz(func(t *testing.T, p []byte, n int) {
		read := func(p []byte) (*held, bool) {
			h := &held{items: make([]heldItem, n&63)}
			d := decoder{b: p}
			h.readColumn(&d)
			return h, !d.bad
		}
		h, ok := read(p)
		for _, it := range h.items {
			ok = ok && wire.PairsOf(it.pairs, func(uint64, []byte, []byte) {}) == nil
		}
		if !ok || len(h.items) == 0 || len(h.items[0].pairs) == 0 {
			return
		}
		again, ok := read(h.appendColumns(nil)[1:]) // without the number of columns
		if !ok || !bytes.Equal(again.items[0].pairs, h.items[0].pairs) {
			t.Fatalf("%x came back as %x, %v", h.items[0].pairs, again.items[0].pairs, ok)
		}
	})
}
