package wire

import (
	"bytes"
	"testing"

	"atalaya/shared/facts"

	"pgregory.net/rapid"
)

func TestSplitRowsJoinToTheSameBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		row := &facts.PackageRow{
			Name: rapid.String().Draw(t, "name"), Version: "1", Source: "dpkg", SizeBytes: rapid.Int64().Draw(t, "size"),
			InstalledAt: facts.Time(rapid.Int64().Draw(t, "at")), Held: rapid.Bool().Draw(t, "held"), State: rapid.SampledFrom([]string{"", "x"}).Draw(t, "state"),
		}
		data, err := EncodeRow(row)
		if err != nil {
			t.Skip(err)
		}
		own := map[uint64]bool{}
		for _, c := range rapid.SliceOf(rapid.Uint64Range(1, 25)).Draw(t, "own") {
			own[c] = true
		}
		common, pairs, err := SplitRow(data, func(c uint64) bool { return own[c] })
		if err != nil {
			t.Fatal(err)
		}
		var again []byte
		err = PairsOf(pairs, func(c uint64, _, value []byte) {
			if v, ok := UintValue(value); ok {
				again = AppendUint(again, c, v)
			} else {
				again = AppendPair(again, c, value)
			}
		})
		if err != nil || !bytes.Equal(again, pairs) {
			t.Fatalf("pairs %x come again as %x, %v", pairs, again, err)
		}
		got, err := JoinRow(common, pairs)
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%x is cut into %x and %x, which join to %x, %v", data, common, pairs, got, err)
		}
	})
}

func FuzzSplitRow(f *testing.F) {
	data, err := EncodeRow(&facts.GroupRow{Name: "a", GID: 7, Members: []string{"x", "y"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data, uint64(2))
	f.Add([]byte{0xbf, 0x01, 0xff}, uint64(1))
	f.Add([]byte{0xa1, 0x01, 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, uint64(1))
	f.Fuzz(func(t *testing.T, data []byte, column uint64) {
		common, pairs, err := SplitRow(data, func(c uint64) bool { return c == column })
		if err != nil {
			return
		}
		if _, err := JoinRow(common, pairs); err != nil {
			t.Errorf("%x: %v", data, err)
		}
	})
}
