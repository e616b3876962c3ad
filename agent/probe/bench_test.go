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

// linuxProbes is the set of metric probes of a Linux host that are no members of
// groups, those that do not run at every tick included.
func linuxProbes() []probe.Probe {
	return append(tickProbes(), memory.Probes()[0], network.Probes()[0], system.Probes()[0])
}

// tickProbes are those that run at every tick.
func tickProbes() []probe.Probe {
	return []probe.Probe{cpu.New(), memory.New(), disk.New(), filesystem.New(), network.New(), system.New()}
}

func BenchmarkReadingEverything(b *testing.B) { benchmarkProbes(b, tickProbes()...) }

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
	began := processCPU()
	for b.Loop() {
		read()
	}
	b.ReportMetric(float64(processCPU()-began)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(len(r.Samples())), "samples")
}
