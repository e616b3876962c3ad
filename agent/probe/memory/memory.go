// Package memory reads what the memory and the swap space of a Linux host are used
// for, and how much paging goes on.
//
// Sources: proc_meminfo(5), proc_vmstat(5).
package memory

import (
	"bytes"

	"atalaya/agent/probe"
	"atalaya/shared/metric"
)

// New returns the metric probe "memory".
func New() probe.Probe {
	return probe.Files("memory",
		probe.Source{Path: "/proc/meminfo", Parse: parseMeminfo},
		probe.Source{Path: "/proc/vmstat", Optional: true, Parse: parseVmstat},
	)
}

var meminfo = map[string]*metric.Desc{
	"MemTotal": &metric.MemTotal, "MemFree": &metric.MemFree, "MemAvailable": &metric.MemAvailable,
	"Buffers": &metric.MemBuffers, "Cached": &metric.MemCached, "SwapCached": &metric.MemSwapCached,
	"Active": &metric.MemActive, "Inactive": &metric.MemInactive,
	"Active(anon)": &metric.MemActiveAnon, "Inactive(anon)": &metric.MemInactiveAnon,
	"Active(file)": &metric.MemActiveFile, "Inactive(file)": &metric.MemInactiveFile,
	"Unevictable": &metric.MemUnevictable, "Mlocked": &metric.MemMlocked,
	"SwapTotal": &metric.MemSwapTotal, "SwapFree": &metric.MemSwapFree,
	"Dirty": &metric.MemDirty, "Writeback": &metric.MemWriteback,
	"AnonPages": &metric.MemAnonPages, "Mapped": &metric.MemMapped, "Shmem": &metric.MemShmem,
	"Slab": &metric.MemSlab, "SReclaimable": &metric.MemSReclaimable, "SUnreclaim": &metric.MemSUnreclaim,
	"KernelStack": &metric.MemKernelStack, "PageTables": &metric.MemPageTables,
	"CommitLimit": &metric.MemCommitLimit, "Committed_AS": &metric.MemCommittedAS,
	"VmallocUsed": &metric.MemVmallocUsed, "Percpu": &metric.MemPercpu,
	"AnonHugePages": &metric.MemAnonHugePages, "Hugepagesize": &metric.MemHugepagesize,
	"HugePages_Total": &metric.HugePagesTotal, "HugePages_Free": &metric.HugePagesFree,
}

var vmstat = map[string]*metric.Desc{
	"pgfault": &metric.PageFaults, "pgmajfault": &metric.MajorPageFaults,
	"pgpgin": &metric.PagedIn, "pgpgout": &metric.PagedOut,
	"pswpin": &metric.SwappedIn, "pswpout": &metric.SwappedOut,
	"oom_kill": &metric.OOMKills,
}

// parseMeminfo parses lines such as "MemTotal:  24684096 kB"; the unit is KiB, and
// is missing from counts.
func parseMeminfo(r *probe.Report, b []byte) error {
	var bad []byte
	for line, rest := probe.NextLine(b); line != nil; line, rest = probe.NextLine(rest) {
		name, values, ok := bytes.Cut(line, []byte{':'})
		if !ok {
			bad = line
			continue
		}
		desc := meminfo[string(name)]
		if desc == nil {
			continue
		}
		field, values := probe.NextField(values)
		n, ok := probe.ParseUint(field)
		if !ok || n > 1<<53 { // beyond any machine, and not exact in a float64
			bad = line
			continue
		}
		if unit, _ := probe.NextField(values); string(unit) == "kB" {
			n *= 1024
		}
		r.Sample(desc, float64(n))
	}
	return probe.BadLine(bad)
}

// parseVmstat parses lines such as "pgfault 21021048".
func parseVmstat(r *probe.Report, b []byte) error {
	var bad []byte
	for line, rest := probe.NextLine(b); line != nil; line, rest = probe.NextLine(rest) {
		name, values := probe.NextField(line)
		desc := vmstat[string(name)]
		if desc == nil {
			continue
		}
		field, _ := probe.NextField(values)
		n, ok := probe.ParseUint(field)
		if !ok {
			bad = line
			continue
		}
		r.Sample(desc, float64(n))
	}
	return probe.BadLine(bad)
}
