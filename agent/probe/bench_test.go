package probe_test

import (
	"runtime"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probe/cpu"
	"atalaya/agent/probe/disk"
	"atalaya/agent/probe/filesystem"
	"atalaya/agent/probe/memory"
	"atalaya/agent/probe/network"
	"atalaya/agent/probe/system"
	"atalaya/shared/metric"
)

// linuxProbes is the set of metric probes of a Linux host.
func linuxProbes() []probe.Probe {
	return []probe.Probe{cpu.New(), memory.New(), disk.New(), filesystem.New(), network.New(), system.New()}
}

func BenchmarkReadingEverything(b *testing.B) { benchmarkProbes(b, linuxProbes()...) }

func BenchmarkReading(b *testing.B) {
	for _, p := range linuxProbes() {
		b.Run(p.Info().Name, func(b *testing.B) { benchmarkProbes(b, p) })
	}
}

func benchmarkProbes(b *testing.B, probes ...probe.Probe) {
	if runtime.GOOS != "linux" {
		b.Skip("reads /proc")
	}
	h := probe.LiveHost()
	dict := metric.NewDictionary(100_000, nil)
	r := probe.NewReport(dict, 0)
	read := func() {
		r.Reset()
		for _, p := range probes {
			if err := p.Collect(b.Context(), h, r); err != nil {
				b.Fatal(err)
			}
		}
	}
	read() // opens the files and meets the names
	b.ReportAllocs()
	for b.Loop() {
		read()
	}
	b.ReportMetric(float64(len(r.Samples())), "samples")
}
