package wire

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"atalaya/shared/facts"
	"atalaya/shared/metric"
)

// TestUpdatesSurviveAStream: whatever is repeated, in whatever order, comes out as it went in,
// to a peer of either version.
func TestUpdatesSurviveAStream(t *testing.T) {
	reasons := []string{"", "no right", strings.Repeat("x", maxToldReason+1), "open \xff"}
	rapid.Check(t, func(t *rapid.T) {
		enc, dec := NewMetricEncoder(), NewMetricDecoder(nil)
		enc.SetVersion(uint(rapid.IntRange(MinVersion, Version).Draw(t, "version")))
		for seq := range rapid.IntRange(1, 5).Draw(t, "batches") {
			b := &Batch{Seq: uint64(seq), Kind: KindInventory, At: rapid.Int64().Draw(t, "at")}
			for range rapid.IntRange(0, 8).Draw(t, "updates") {
				u := SectionUpdate{
					Section: rapid.SampledFrom([]facts.ID{0, 1, 2, 3, 70, maxTold - 1, maxTold, 65535}).Draw(t, "section"),
					Status:  facts.Status(rapid.IntRange(0, 2).Draw(t, "status")),
					Reason:  rapid.SampledFrom(reasons).Draw(t, "reason"),
					At:      rapid.Int64().Draw(t, "time"),
					Digest:  facts.Digest(rapid.IntRange(0, 1).Draw(t, "digest")),
				}
				switch rapid.IntRange(0, 5).Draw(t, "change") {
				case 0:
					u.Full = true
				case 1:
					u.Put = [][]byte{{0xa0}}
				case 2:
					u.Removed = []string{"key"}
				}
				b.Updates = append(b.Updates, u)
			}
			b.Checksum = b.Sum()
			data, err := AppendBatch(nil, b, enc)
			if err != nil {
				t.Fatal(err)
			}
			got, err := DecodeBatch(data, dec)
			if err != nil || !got.Verify() || len(got.Updates) != len(b.Updates) {
				t.Fatalf("batch %d: %v\ngot  %+v\nwant %+v", seq, err, got, b)
			}
		}
	})
}

// TestUnchangedInventoryIsShort: five bytes a section at most, and what is denied no more
// than what is well.
func TestUnchangedInventoryIsShort(t *testing.T) {
	b := &Batch{Epoch: 1 << 63, Seq: 100_000, Kind: KindInventory, At: goldenTime}
	for i, s := range facts.Sections() {
		u := SectionUpdate{Section: s.ID, Status: facts.StatusOK, At: goldenTime - int64(i*3), Digest: facts.Digest(1<<60 + i)}
		if i%3 == 0 {
			u.Status, u.Reason = facts.StatusDenied, "open /etc/shadow: permission denied"
		}
		b.Updates = append(b.Updates, u)
	}
	size := func(version uint) int {
		enc := NewMetricEncoder()
		enc.SetVersion(version)
		var data []byte
		for range 2 {
			var err error
			if data, err = AppendBatch(nil, b, enc); err != nil {
				t.Fatal(err)
			}
		}
		return len(AppendMessage(nil, TypeBatch, data))
	}
	one, two := size(1), size(2)
	t.Logf("%d sections: %d B in version 1, %d B in version 2", len(b.Updates), one, two)
	if limit := 48 + 3*len(b.Updates); two > limit || two > one/2 {
		t.Errorf("%d B in version 2, %d B in version 1; want at most %d", two, one, limit)
	}
}

// TestWhatComesAndGoesTogetherIsShort: 200 series that are read once a minute cost a few bytes, not two each.
func TestWhatComesAndGoesTogetherIsShort(t *testing.T) {
	var series []metric.Series
	var all, core []metric.Sample
	for i := range 300 {
		series = append(series, metric.Series{Name: fmt.Sprint("series_", i)})
		s := metric.Sample{Series: uint32(i)}
		all = append(all, s)
		if i < 60 || i%100 == 0 {
			core = append(core, s)
		}
	}
	size := func(version uint) (n int) {
		enc := NewMetricEncoder()
		enc.SetVersion(version)
		enc.SetSeries(series)
		dec := NewMetricDecoder(nil)
		for i, samples := range [][]metric.Sample{all, core, all} {
			b := &Batch{Kind: KindMetrics, Frames: []metric.Frame{{Samples: samples}}}
			data, err := AppendBatch(nil, b, enc)
			if err != nil {
				t.Fatal(err)
			}
			got, err := DecodeBatch(data, dec)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(b.Frames, got.Frames); diff != "" {
				t.Errorf("frame %d (-want +got):\n%s", i, diff)
			}
			if i > 0 {
				n += len(data)
			}
		}
		return n
	}
	if one, two := size(1), size(2); one < 480 || two > 80 {
		t.Errorf("%d B in version 1, want above 480; %d B in version 2, want at most 80", one, two)
	}
}

func TestRepetitionsOfNothingAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		entries []byte
		want    error
	}{
		"never_told":          {[]byte{4, 0}, ErrMalformed},
		"below_all":           {[]byte{2, 0}, ErrMalformed},
		"more_than_there_are": {[]byte{1, 9, 0}, ErrMalformed},
		"cut":                 {[]byte{0x80}, ErrMalformed},
		"many":                {append([]byte{5, 1, 0}, make([]byte, 2*MaxUpdates)...), ErrTooLarge},
	} {
		e := envelope{Kind: KindInventory, Told: c.entries}
		e.lists([]SectionUpdate{{Section: 1, Status: facts.StatusOK}}, nil)
		data, err := e.append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeBatch(data, NewMetricDecoder(nil)); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		if _, err := DecodeBatch(data, nil); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s on a stream without memory: %v", name, err)
		}
		if _, err := DecodeStored(data); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s in a spool: %v", name, err)
		}
	}
}
