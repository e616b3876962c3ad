// Package cpu reads how busy the processors of a Linux host are: time per processor
// and mode, scheduling counters, load averages and pressure stall information.
//
// Sources: proc_stat(5), proc_loadavg(5), Linux Documentation/accounting/psi.rst.
package cpu

import (
	"bytes"

	"atalaya/agent/probe"
	"atalaya/shared/metric"
)

// New returns the metric probe "cpu". It remembers the last times of each processor,
// because the kernel's idle and iowait times may step back a little.
func New() probe.Probe {
	var s stat
	return probe.Files("cpu",
		probe.Source{Path: "/proc/stat", Parse: s.parse},
		probe.Source{Path: "/proc/loadavg", Parse: parseLoad},
		pressure("cpu", &metric.PressureCPUWaiting, nil),
		pressure("io", &metric.PressureIOWaiting, &metric.PressureIOStalled),
		pressure("memory", &metric.PressureMemoryWaiting, &metric.PressureMemoryStalled),
	)
}

const (
	// userHZ is the unit of /proc/stat; 100 on every architecture that Go builds for.
	userHZ = 100
	// maxCPUs is the kernel's own limit (CONFIG_NR_CPUS on x86).
	maxCPUs = 8192
	// maxStepBack is how far a time may step back and still be taken for the kernel's
	// imprecision; further means that the processor was taken out and put back.
	// node_exporter uses the same 3 s.
	maxStepBack = 3 * userHZ
)

// modes are the columns of a processor's line. Guest time is part of user and nice.
var modes = [...]string{"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"}

var guestModes = [...]string{"user", "nice"}

type times [len(modes) + len(guestModes)]uint64

// stat parses /proc/stat.
type stat struct {
	names probe.Names
	last  []times // by processor number
}

func (s *stat) parse(r *probe.Report, b []byte) error {
	var bad []byte
	for line, rest := probe.NextLine(b); line != nil; line, rest = probe.NextLine(rest) {
		name, values := probe.NextField(line)
		if cpu, ok := bytes.CutPrefix(name, []byte("cpu")); ok {
			if len(cpu) > 0 && !s.processor(r, cpu, values) {
				bad = line
			}
			continue
		}
		if desc := statDesc(name); desc != nil && !first(r, desc, values) {
			bad = line
		}
	}
	return probe.BadLine(bad)
}

func statDesc(name []byte) *metric.Desc {
	switch string(name) {
	case "intr":
		return &metric.Interrupts
	case "ctxt":
		return &metric.ContextSwitches
	case "btime":
		return &metric.BootTime
	case "processes":
		return &metric.Forks
	case "procs_running":
		return &metric.ProcsRunning
	case "procs_blocked":
		return &metric.ProcsBlocked
	}
	return nil
}

// first reports the first of the values: that of intr is the sum of the others.
func first(r *probe.Report, desc *metric.Desc, values []byte) bool {
	field, _ := probe.NextField(values)
	n, ok := probe.ParseUint(field)
	if ok {
		r.Sample(desc, float64(n))
	}
	return ok
}

// processor reports the times of one processor. Kernels before 2.6.33 have fewer
// columns: what is not there is not reported.
func (s *stat) processor(r *probe.Report, number, values []byte) bool {
	n, ok := probe.ParseUint(number)
	if !ok || n >= maxCPUs {
		return false
	}
	for uint64(len(s.last)) <= n {
		s.last = append(s.last, times{})
	}
	name, last := s.names.Of(number), &s.last[n]
	for i := range last {
		var field []byte
		if field, values = probe.NextField(values); len(field) == 0 {
			return i > 0
		}
		ticks, ok := probe.ParseUint(field)
		if !ok {
			return false
		}
		if ticks > last[i] || last[i]-ticks > maxStepBack {
			last[i] = ticks
		}
		seconds := float64(last[i]) / userHZ
		if i < len(modes) {
			r.Sample(&metric.CPUSeconds, seconds, name, modes[i])
		} else {
			r.Sample(&metric.CPUGuestSeconds, seconds, name, guestModes[i-len(modes)])
		}
	}
	return true
}

// parseLoad parses /proc/loadavg: "0.46 0.64 0.57 1/94 28073".
func parseLoad(r *probe.Report, b []byte) error {
	line, _ := probe.NextLine(b)
	rest := line
	for _, desc := range [...]*metric.Desc{&metric.Load1, &metric.Load5, &metric.Load15} {
		var field []byte
		field, rest = probe.NextField(rest)
		v, ok := probe.ParseFixed(field)
		if !ok {
			return probe.NotUnderstood(line)
		}
		r.Sample(desc, v)
	}
	return nil
}

// pressure is the source of one resource; stalled may be nil.
func pressure(resource string, waiting, stalled *metric.Desc) probe.Source {
	parse := func(r *probe.Report, b []byte) error { return parsePressure(r, b, waiting, stalled) }
	return probe.Source{Path: "/proc/pressure/" + resource, Optional: true, Parse: parse}
}

// parsePressure parses "some avg10=0.04 avg60=7.06 avg300=9.10 total=186823234", the
// total in microseconds.
func parsePressure(r *probe.Report, b []byte, waiting, stalled *metric.Desc) error {
	var bad []byte
	for line, rest := probe.NextLine(b); line != nil; line, rest = probe.NextLine(rest) {
		kind, values := probe.NextField(line)
		desc := waiting
		if string(kind) == "full" {
			desc = stalled
		}
		if desc == nil {
			continue
		}
		at := bytes.Index(values, []byte(" total="))
		if at < 0 {
			bad = line
			continue
		}
		field, _ := probe.NextField(values[at+len(" total="):])
		n, ok := probe.ParseUint(field)
		if !ok {
			bad = line
			continue
		}
		r.Sample(desc, float64(n)/1e6)
	}
	return probe.BadLine(bad)
}
