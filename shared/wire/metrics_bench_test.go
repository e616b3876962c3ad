package wire

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"

	"atalaya/shared/metric"
)

// readings loads testdata/readings.tsv: the series of an idle to busy Linux virtual
// machine (kernel 6.18, two CPUs, one disk, two interfaces), read from /proc every
// 10 s for two minutes. A line is name, kind, decimals, labels and the values.
func readings(t testing.TB) ([]metric.Series, []metric.Frame) {
	t.Helper()
	b, err := os.ReadFile("testdata/readings.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var series []metric.Series
	var frames []metric.Frame
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		f := strings.Split(lines.Text(), "\t")
		s := metric.Series{Name: f[0]}
		if f[1] == "counter" {
			s.Kind = metric.Counter
		}
		decimals, err := strconv.Atoi(f[2])
		if err != nil {
			t.Fatal(err)
		}
		s.Decimals = uint8(decimals)
		for pair := range strings.SplitSeq(f[3], ",") {
			if name, value, ok := strings.Cut(pair, "="); ok {
				s.Labels = append(s.Labels, metric.Label{Name: name, Value: value})
			}
		}
		for i, text := range f[4:] {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatal(err)
			}
			if i == len(frames) {
				frames = append(frames, metric.Frame{At: goldenTime + int64(i)*10_000})
			}
			frames[i].Samples = append(frames[i].Samples, metric.Sample{Series: uint32(len(series)), Value: v})
		}
		series = append(series, s)
	}
	return series, frames
}

// batchOf is a frame as the agent sends it: one batch each.
func batchOf(i int, f metric.Frame) *Batch {
	b := &Batch{Epoch: 1 << 63, Seq: 100_000 + uint64(i), Kind: KindMetrics, At: f.At, Frames: []metric.Frame{f}}
	b.Checksum = b.Sum()
	return b
}

// TestMetricFrameSize keeps the promise on bytes: 150 for the frame of 100 real
// series, and 48 for the envelope and its head.
func TestMetricFrameSize(t *testing.T) {
	series, frames := readings(t)
	enc := NewMetricEncoder()
	enc.SetSeries(series)
	var first, frameBytes, messageBytes, storedBytes int
	for i, f := range frames {
		b := batchOf(i, f)
		raw, err := NewMetricEncoder().clone(enc).append(nil, b)
		if err != nil {
			t.Fatal(err)
		}
		payload, err := AppendBatch(nil, b, enc)
		if err != nil {
			t.Fatal(err)
		}
		message := AppendMessage(nil, TypeBatch, payload)
		stored, err := AppendStored(nil, b)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = len(message)
			continue
		}
		frameBytes += len(raw)
		messageBytes += len(message)
		storedBytes += len(stored)
	}
	n := len(frames) - 1
	t.Logf("%d series: first message %d B with all definitions, then %d B a frame, %d B a message; %d B in the spool",
		len(series), first, frameBytes/n, messageBytes/n, storedBytes/n)
	if limit := len(series) * 3 / 2; frameBytes/n > limit || messageBytes/n > limit+48 {
		t.Errorf("frame %d B, message %d B for %d series", frameBytes/n, messageBytes/n, len(series))
	}
}

// clone makes e know what other knows, so that a frame can be measured apart.
func (e *MetricEncoder) clone(other *MetricEncoder) *MetricEncoder {
	e.series = other.series
	e.entries = append(e.entries, other.entries...)
	e.slots = append(e.slots, other.slots...)
	e.live = append(e.live, other.live...)
	return e
}

func TestDecodingAllocatesPerFrameNotPerSample(t *testing.T) {
	series, frames := readings(t)
	enc, dec := NewMetricEncoder(), NewMetricDecoder(nil)
	enc.SetSeries(series)
	var payloads [][]byte
	for i, f := range frames {
		p, err := enc.append(nil, batchOf(i, f))
		if err != nil {
			t.Fatal(err)
		}
		payloads = append(payloads, p)
	}
	if _, err := dec.decode(payloads[0], frames[0].At); err != nil {
		t.Fatal(err)
	}
	i := 0
	allocs := testing.AllocsPerRun(len(frames)-2, func() {
		i++
		if _, err := dec.decode(payloads[i], frames[i].At); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 2 {
		t.Errorf("%v allocations for %d samples, want the frame and its samples", allocs, len(series))
	}
}

func BenchmarkEncodeFrame(b *testing.B) {
	series, frames := readings(b)
	enc := NewMetricEncoder()
	enc.SetSeries(series)
	batches := make([]*Batch, len(frames))
	for i, f := range frames {
		batches[i] = batchOf(i, f)
	}
	var dst []byte
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		var err error
		if dst, err = enc.append(dst[:0], batches[n%len(batches)]); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*len(series)), "ns/sample")
}

// BenchmarkDecodeFrame decodes the second reading over and over: the differences add
// up, so the counters grow without end, which is no matter.
func BenchmarkDecodeFrame(b *testing.B) {
	series, frames := readings(b)
	enc, dec := NewMetricEncoder(), NewMetricDecoder(nil)
	enc.SetSeries(series)
	var payload [2][]byte
	for i := range payload {
		var err error
		if payload[i], err = enc.append(nil, batchOf(i, frames[i])); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := dec.decode(payload[0], 0); err != nil {
		b.Fatal(err)
	}
	start := append([]entry(nil), dec.entries...)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		copy(dec.entries, start)
		if _, err := dec.decode(payload[1], 0); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*len(series)), "ns/sample")
}

// BenchmarkBatch is the whole way of one batch through both codecs and its sum.
func BenchmarkBatch(b *testing.B) {
	series, frames := readings(b)
	enc, dec := NewMetricEncoder(), NewMetricDecoder(nil)
	enc.SetSeries(series)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		batch := batchOf(n, frames[n%len(frames)])
		payload, err := AppendBatch(nil, batch, enc)
		if err != nil {
			b.Fatal(err)
		}
		got, err := DecodeBatch(payload, dec)
		if err != nil || !got.Verify() {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*len(series)), "ns/sample")
}

func BenchmarkEncodeRows(b *testing.B) {
	rows := packageRows(1500)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Items(rows); err != nil {
			b.Fatal(err)
		}
	}
}
