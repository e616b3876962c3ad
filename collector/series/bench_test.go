package series

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"atalaya/shared/identity"
	"atalaya/shared/metric"
)

const (
	benchHosts  = 100
	benchSeries = 150
)

// fleet is benchHosts hosts with benchSeries series each.
type fleet struct {
	sessions []*Session
	samples  []metric.Sample
	at       int64
}

func newFleet(b *testing.B, d *DB) *fleet {
	f := &fleet{samples: make([]metric.Sample, benchSeries), at: testNow.Add(-2 * time.Hour).UnixMilli()}
	for h := range benchHosts {
		var id identity.HostID
		binary.BigEndian.PutUint64(id[:], uint64(h))
		s := d.Session(id, fmt.Sprintf("host%03d", h))
		for i := range benchSeries {
			if err := s.Define(uint32(i), gauge(fmt.Sprintf("node_bench_%d_total", i%30), "device", fmt.Sprintf("sd%d", i/30), "mode", "x")); err != nil {
				b.Fatal(err)
			}
		}
		f.sessions = append(f.sessions, s)
	}
	return f
}

// round appends a frame of every host in one group.
func (f *fleet) round(b *testing.B, d *DB) {
	f.at += 100
	for i := range f.samples {
		f.samples[i] = metric.Sample{Series: uint32(i), Value: float64(f.at) * float64(i%5)}
	}
	a := d.Begin(b.Context())
	for _, s := range f.sessions {
		if t := a.Append(s, f.at, f.samples); t.Stored != benchSeries {
			b.Fatalf("%+v", t)
		}
	}
	if err := a.Commit(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkAppend is the cost of one sample, from a decoded frame to the engine's log.
func BenchmarkAppend(b *testing.B) {
	d := open(b, testConfig(b.TempDir()))
	f := newFleet(b, d)
	f.round(b, d)
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += benchHosts * benchSeries {
		f.round(b, d)
	}
}

// BenchmarkAppendLate is the cost of one sample of a spool that catches up.
func BenchmarkAppendLate(b *testing.B) {
	d := open(b, testConfig(b.TempDir()))
	ahead := d.Session(identity.HostID{9}, "ahead")
	define(b, ahead, gauge("x"))
	put(b, d, ahead, testNow, 1)
	f := newFleet(b, d)
	f.at = testNow.Add(-100 * time.Hour).UnixMilli()
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += benchHosts * benchSeries {
		f.at += 9900
		f.round(b, d)
	}
}

// BenchmarkReplay is the cost of one sample that is known already.
func BenchmarkReplay(b *testing.B) {
	d := open(b, testConfig(b.TempDir()))
	f := newFleet(b, d)
	start := f.at
	for range 50 {
		f.round(b, d)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += benchHosts * benchSeries {
		if f.at >= start+4900 {
			f.at = start
		}
		f.at += 100
		a := d.Begin(b.Context())
		for i := range f.samples {
			f.samples[i].Value = float64(f.at) * float64(i%5)
		}
		for _, s := range f.sessions {
			if t := a.Append(s, f.at, f.samples); t.Duplicates != benchSeries {
				b.Fatalf("%+v", t)
			}
		}
		if err := a.Commit(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSync is a commit of one host's frame that is made durable.
func BenchmarkSync(b *testing.B) {
	d := open(b, testConfig(b.TempDir()))
	f := newFleet(b, d)
	f.sessions = f.sessions[:1]
	for b.Loop() {
		f.round(b, d)
		if err := d.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkQuery(b *testing.B) {
	d := open(b, testConfig(b.TempDir()))
	f := newFleet(b, d)
	for range 200 {
		f.at += 14900
		f.round(b, d)
	}
	end := time.UnixMilli(f.at)
	for name, expr := range map[string]string{
		"one":   `node_bench_1_total{host="host007",device="sd1"}`,
		"host":  `{host="host007"}`,
		"rate":  `sum by (host) (rate(node_bench_1_total[5m]))`,
		"alert": `node_bench_1_total > 1e18`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, err := d.Query(b.Context(), expr, end)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := r.MarshalJSON(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOpenEmpty reports what an empty database keeps in memory.
func BenchmarkOpenEmpty(b *testing.B) {
	for b.Loop() {
		before := heap()
		d, err := Open(testConfig(b.TempDir()))
		if err != nil {
			b.Fatal(err)
		}
		load(b, d)
		b.ReportMetric(float64(heap()-before), "heap-B")
		b.ReportMetric(residentKiB()/1024, "RSS-MiB")
		if err := d.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// residentKiB is this process' resident memory, 0 where the system does not say.
func residentKiB() float64 {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "VmRSS: %f kB", &kib); n == 1 {
			return kib
		}
	}
	return 0
}
