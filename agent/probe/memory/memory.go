// Package memory reads what the memory and the swap space of a Linux host are used
// for, and how much paging goes on.
//
// Sources: proc_meminfo(5), proc_vmstat(5).
package memory

import (
	"bytes"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/metric"
)

// New returns the metric probe "memory".
func New() probe.Probe {
	return probe.Files("memory",
		probe.Source{Path: "/proc/meminfo", Parse: parseMeminfo},
	)
}

// pagingPeriod lies between two readings of vmstat: the kernel sums two hundred
// counters over all processors each time, as long as for all of meminfo.
const pagingPeriod = 30 * time.Second

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

// vmstat holds the counters that we take of some two hundred, each as it stands in
// the file, with the ends of its name.
var vmstat = [...]struct {
	name []byte
	desc *metric.Desc
}{
	{[]byte("\npgfault "), &metric.PageFaults}, {[]byte("\npgmajfault "), &metric.MajorPageFaults},
	{[]byte("\npgpgin "), &metric.PagedIn}, {[]byte("\npgpgout "), &metric.PagedOut},
	{[]byte("\npswpin "), &metric.SwappedIn}, {[]byte("\npswpout "), &metric.SwappedOut},
	{[]byte("\noom_kill "), &metric.OOMKills},
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

// parseVmstat parses lines such as "pgfault 21021048". It looks for the few that are
// wanted: to walk all lines takes five times as long. (The first, nr_free_pages, is
// not wanted and has no newline before it.)
func parseVmstat(r *probe.Report, b []byte) error {
	var bad []byte
	for i := range vmstat {
		at := bytes.Index(b, vmstat[i].name)
		if at < 0 {
			continue
		}
		line, _ := probe.NextLine(b[at+len(vmstat[i].name):])
		n, ok := probe.ParseUint(bytes.TrimRight(line, " \r"))
		if !ok {
			bad = vmstat[i].name
			continue
		}
		r.Sample(vmstat[i].desc, float64(n))
	}
	return probe.BadLine(bad)
}
