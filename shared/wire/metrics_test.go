package wire

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"atalaya/shared/metric"
)

// sameFrames compares to the bit, NaN included.
func sameFrames(a, b []metric.Frame) error {
	if len(a) != len(b) {
		return fmt.Errorf("%d frames against %d", len(a), len(b))
	}
	for i := range a {
		if a[i].At != b[i].At || len(a[i].Samples) != len(b[i].Samples) {
			return fmt.Errorf("frame %d: at %d with %d samples against at %d with %d", i, a[i].At, len(a[i].Samples), b[i].At, len(b[i].Samples))
		}
		for j, s := range a[i].Samples {
			o := b[i].Samples[j]
			if s.Series != o.Series || math.Float64bits(s.Value) != math.Float64bits(o.Value) {
				return fmt.Errorf("frame %d, sample %d: %d=%x against %d=%x", i, j, s.Series, math.Float64bits(s.Value), o.Series, math.Float64bits(o.Value))
			}
		}
	}
	return nil
}

// hardValues are those that naive encoders get wrong.
var hardValues = []float64{
	0, math.Copysign(0, -1), 1, -1, 0.1, 0.01, 12345.67, 1.1, math.Pi, 1e-300, 1e300, math.MaxFloat64, math.SmallestNonzeroFloat64,
	1 << 53, 1<<53 - 1, -(1 << 53), 1<<53 + 2, 1 << 62, 4096, 8192, 1 << 40, math.Inf(1), math.Inf(-1), math.NaN(),
	math.Float64frombits(metric.StaleBits), math.Float64frombits(0xfff8000000000123),
}

func drawValue(t *rapid.T) float64 {
	switch rapid.IntRange(0, 4).Draw(t, "shape") {
	case 0:
		return rapid.SampledFrom(hardValues).Draw(t, "hard")
	case 1:
		return float64(rapid.Int64Range(0, 1<<40).Draw(t, "pages")) * 4096
	case 2:
		return float64(rapid.Int64Range(-1<<55, 1<<55).Draw(t, "integer"))
	case 3:
		return float64(rapid.Int64Range(0, 1<<40).Draw(t, "centi")) / 100
	}
	return math.Float64frombits(rapid.Uint64().Draw(t, "bits"))
}

func drawFrame(t *rapid.T, series int) metric.Frame {
	f := metric.Frame{At: rapid.Int64().Draw(t, "at")}
	for i := range series {
		if rapid.IntRange(0, 3).Draw(t, "present") > 0 {
			f.Samples = append(f.Samples, metric.Sample{Series: uint32(i), Value: drawValue(t)})
		}
	}
	return f
}

func drawSeries(t *rapid.T, number int) metric.Series {
	s := metric.Series{
		Name:     fmt.Sprintf("metric_%d", number),
		Kind:     metric.Kind(rapid.IntRange(0, 1).Draw(t, "kind")),
		Decimals: uint8(rapid.IntRange(0, 9).Draw(t, "decimals")),
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "labels") {
		s.Labels = append(s.Labels, metric.Label{Name: fmt.Sprintf("l%d", i), Value: rapid.String().Draw(t, "value")})
	}
	return s
}

func TestMetricFramesSurviveBothForms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		enc := NewMetricEncoder()
		enc.SetVersion(uint(rapid.IntRange(MinVersion, Version).Draw(t, "version")))
		defined := make(map[uint32]metric.Series)
		dec := NewMetricDecoder(func(n uint32, s metric.Series) {
			if _, twice := defined[n]; twice {
				t.Fatalf("series %d defined twice", n)
			}
			defined[n] = s
		})
		var series []metric.Series
		for seq := range rapid.IntRange(1, 6).Draw(t, "batches") {
			for range rapid.IntRange(0, 9).Draw(t, "new series") {
				series = append(series, drawSeries(t, len(series)))
			}
			b := &Batch{Epoch: 7, Seq: uint64(seq) + 1, Kind: KindMetrics, At: rapid.Int64().Draw(t, "at")}
			for range rapid.IntRange(0, 4).Draw(t, "frames") {
				b.Frames = append(b.Frames, drawFrame(t, len(series)))
			}
			b.Checksum = b.Sum()
			enc.SetSeries(series)
			roundTrip(t, b, enc, dec)
		}
		for n, got := range defined {
			if fmt.Sprint(got) != fmt.Sprint(series[n]) {
				t.Fatalf("series %d: got %v, want %v", n, got, series[n])
			}
		}
	})
}

func roundTrip(t *rapid.T, b *Batch, enc *MetricEncoder, dec *MetricDecoder) {
	payload, err := AppendBatch(nil, b, enc)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeBatch(payload, dec)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := AppendStored(nil, b)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := DecodeStored(stored)
	if err != nil {
		t.Fatal(err)
	}
	for form, g := range map[string]*Batch{"sent": got, "stored": kept} {
		if err := sameFrames(g.Frames, b.Frames); err != nil {
			t.Fatalf("%s: %v", form, err)
		}
		if !g.Verify() || g.Seq != b.Seq || g.Epoch != b.Epoch || g.At != b.At {
			t.Fatalf("%s: got %+v, want %+v", form, g, b)
		}
	}
}
