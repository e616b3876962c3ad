// Package self reads what the agent itself takes of its host, so that a fleet's
// administrator sees what monitoring costs.
package self

import (
	"context"
	"runtime"
	"runtime/metrics"

	"atalaya/agent/probe"
	"atalaya/shared/metric"
)

// New returns the metric probe "self" of an agent of the given version. Below a root
// it reports nothing: the agent is no part of that machine.
func New(version string) probe.Probe {
	return &self{
		version: version,
		samples: []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/sched/goroutines:goroutines"}},
	}
}

type self struct {
	version string
	samples []metrics.Sample
	usage   reader
}

// usage is what the system says of this process; 0 where it does not say.
type usage struct {
	cpuSeconds          float64
	resident, anonymous uint64 // bytes
}

func (*self) Info() probe.Info { return probe.Info{Name: "self", Metrics: true} }

// Collect implements probe.Probe.
func (s *self) Collect(_ context.Context, h *probe.Host, r *probe.Report) error {
	if !h.Live() {
		return nil
	}
	r.Sample(&metric.AgentInfo, 1, runtime.Version(), s.version)
	metrics.Read(s.samples)
	sample(r, &metric.AgentHeap, s.samples[0].Value)
	sample(r, &metric.AgentGoroutines, s.samples[1].Value)
	u, err := s.usage.read(h)
	positive(r, &metric.AgentCPUSeconds, u.cpuSeconds)
	positive(r, &metric.AgentResident, float64(u.resident))
	positive(r, &metric.AgentAnonymous, float64(u.anonymous))
	return err
}

func sample(r *probe.Report, desc *metric.Desc, v metrics.Value) {
	if v.Kind() == metrics.KindUint64 { // KindBad in a later Go that dropped it
		r.Sample(desc, float64(v.Uint64()))
	}
}

func positive(r *probe.Report, desc *metric.Desc, v float64) {
	if v > 0 {
		r.Sample(desc, v)
	}
}

// parseStatm reads the resident and the anonymous memory, in pages, from
// /proc/self/statm: "size resident shared ...", where shared are pages of files and
// of shared memory (proc_pid_statm(5)).
func parseStatm(b []byte) (resident, anonymous uint64, err error) {
	_, rest := probe.NextField(b)
	field, rest := probe.NextField(rest)
	resident, ok := probe.ParseUint(field)
	field, _ = probe.NextField(rest)
	shared, ok2 := probe.ParseUint(field)
	if !ok || !ok2 || shared > resident {
		return 0, 0, probe.NotUnderstood(b)
	}
	return resident, resident - shared, nil
}
