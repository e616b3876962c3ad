package store

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"atalaya/shared/facts"
	"atalaya/shared/wire"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// someGroups are batches of all kinds of entries, as many as asked for.
func someGroups(rng *rand.Rand, n int) []group {
	moment := func() []byte { return wire.AppendUint(nil, 9, uint64(1_700_000_000_000+rng.IntN(1e6)*1000)) }
	item := func() ref { return ref{item: uint32(rng.IntN(1000) + 1), data: moment()} }
	var out []group
	next := uint64(7)
	for i := range n {
		g := group{host: uint32(rng.IntN(50) + 1), received: facts.Time(1_790_000_000_000 + rng.IntN(1e6)), epoch: rng.Uint64(), batchSeq: uint64(i), first: next}
		for range rng.IntN(20) + 1 {
			e := entry{section: facts.Packages, at: g.received - facts.Time(rng.IntN(1000))}
			e.observed = e.at - facts.Time(rng.IntN(1000)-500)
			switch own := (ref{key: fmt.Sprint("eth", rng.IntN(9)), data: []byte{0xa0}}); rng.IntN(9) {
			case 0:
				e.kind, e.new = Added, item()
			case 1:
				e.kind, e.old = Removed, item()
			case 2:
				e.kind, e.section, e.new = Added, facts.Addresses, own
			case 3:
				e.kind, e.section, e.old = Removed, facts.Addresses, own
			case 4:
				e.kind, e.section, e.old, e.new = Changed, facts.Addresses, own, ref{key: own.key, data: []byte{0xa1}}
			case 5:
				e.kind, e.was, e.is = StatusChanged, EncodeStatus(facts.StatusOK, ""), EncodeStatus(facts.StatusDenied, "no")
			case 6:
				e.kind, e.is, e.rows, e.lost = Baseline, EncodeStatus(facts.StatusOK, ""), 7, rng.IntN(2) == 0
			case 7:
				e.kind, e.was, e.content = Cleared, EncodeStatus(facts.StatusOK, ""), []byte("content")
			default:
				e.kind, e.old, e.new = Changed, item(), item()
			}
			g.entries = append(g.entries, e)
		}
		next += uint64(len(g.entries))
		out = append(out, g)
	}
	return out
}

func count(groups []group) (n uint64) {
	for _, g := range groups {
		n += uint64(len(g.entries))
	}
	return n
}

var asGroups = cmp.Options{cmp.AllowUnexported(group{}, entry{}, ref{}), cmpopts.EquateEmpty()}

func TestSealedBlocksComeBackAsTheyWere(t *testing.T) {
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	bare := blockReader{codec: c, bare: true}
	for n := 1; n < 300; n += n {
		want := someGroups(rng, n)
		body := packGroups(c, want)
		head := blockHead{first: 7, count: count(want), form: formColumns, body: body}
		got, err := head.groups(c)
		if d := cmp.Diff(want, got, asGroups); err != nil || d != "" {
			t.Fatalf("%d groups (-want +got), %v:\n%s", n, err, d)
		}
		got, err = bare.read(head)
		if d := cmp.Diff(want, got, asGroups, cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "entries.old.data" || p.String() == "entries.new.data" }, cmp.Ignore())); err != nil || d != "" {
			t.Fatalf("%d groups, bare (-want +got), %v:\n%s", n, err, d)
		}
		head.count++
		if _, err := head.groups(c); err == nil {
			t.Error("a block that lacks an entry is taken")
		}
	}
}

func FuzzSealedBlock(f *testing.F) {
	c, err := newCodec()
	if err != nil {
		f.Fatal(err)
	}
	for n := range 4 {
		groups := someGroups(rand.New(rand.NewPCG(1, 2)), n+1)
		body := packGroups(c, groups)
		d := decoder{b: body}
		p, err1 := c.unpack(d.bytes())
		columns, err2 := c.unpack(d.b)
		if err1 != nil || err2 != nil {
			f.Fatal(err1, err2)
		}
		f.Add(p, columns, count(groups))
	}
	f.Fuzz(func(t *testing.T, p, columns []byte, n uint64) {
		read := func(p, columns []byte, n uint64) ([]group, error) {
			r := blockReader{codec: c}
			packed := c.pack(p)
			body := append(binary.AppendUvarint(nil, uint64(len(packed))), packed...)
			return r.sealed(1, n, append(body, c.pack(columns)...))
		}
		groups, err := read(p, columns, n)
		if err != nil || len(groups) == 0 {
			return
		}
		for _, g := range groups {
			for _, e := range g.entries {
				if wire.PairsOf(e.old.data, func(uint64, []byte, []byte) {}) != nil || wire.PairsOf(e.new.data, func(uint64, []byte, []byte) {}) != nil {
					return // columns that no row has are not put again
				}
			}
		}
		r := blockReader{codec: c}
		again, err := r.sealed(1, n, packGroups(c, groups))
		if d := cmp.Diff(groups, again, asGroups); err != nil || d != "" {
			t.Errorf("came back otherwise, %v (-first +again):\n%s", err, d)
		}
	})
}
