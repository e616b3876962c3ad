// Package disk reads the input and output of the block devices of a Linux host.
//
// Source: Linux Documentation/admin-guide/iostats.rst.
package disk

import (
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/metric"
)

// New returns the metric probe "disk".
func New() probe.Probe {
	var s diskstats
	return probe.Files("disk", probe.Source{Path: "/proc/diskstats", Optional: true, Parse: s.parse})
}

// sectorBytes is the unit of /proc/diskstats whatever the device's own sectors are.
const sectorBytes = 512

// columns are the fields after the device name, in the order of the file; scale turns
// one into its base unit. Discards came with Linux 4.18, flushes with 5.5.
var columns = [...]struct {
	desc *metric.Desc
	mul  float64
	div  float64
}{
	{&metric.DiskReads, 1, 1},
	{&metric.DiskReadsMerged, 1, 1},
	{&metric.DiskReadBytes, sectorBytes, 1},
	{&metric.DiskReadSeconds, 1, 1000},
	{&metric.DiskWrites, 1, 1},
	{&metric.DiskWritesMerged, 1, 1},
	{&metric.DiskWrittenBytes, sectorBytes, 1},
	{&metric.DiskWriteSeconds, 1, 1000},
	{&metric.DiskIONow, 1, 1},
	{&metric.DiskIOSeconds, 1, 1000},
	{&metric.DiskIOWeightedSeconds, 1, 1000},
	{&metric.DiskDiscards, 1, 1},
	{&metric.DiskDiscardsMerged, 1, 1},
	{&metric.DiskDiscardedSectors, 1, 1},
	{&metric.DiskDiscardSeconds, 1, 1000},
	{&metric.DiskFlushes, 1, 1},
	{&metric.DiskFlushSeconds, 1, 1000},
}

// diskstats parses /proc/diskstats.
type diskstats struct{ names probe.Names }

func (s *diskstats) parse(r *probe.Report, b []byte) error {
	var bad []byte
	for line, rest := probe.NextLine(b); line != nil; line, rest = probe.NextLine(rest) {
		_, fields := probe.NextField(line) // major
		_, fields = probe.NextField(fields)
		name, fields := probe.NextField(fields)
		if len(name) == 0 {
			bad = line
			continue
		}
		if !ignored(string(name)) && !s.device(r, name, fields) {
			bad = line
		}
	}
	return probe.BadLine(bad)
}

func (s *diskstats) device(r *probe.Report, device, fields []byte) bool {
	name := s.names.Of(device)
	for i := range columns {
		var field []byte
		if field, fields = probe.NextField(fields); len(field) == 0 {
			return i >= 11 // what every kernel since 2.6 has
		}
		n, ok := probe.ParseUint(field)
		if !ok {
			return false
		}
		c := &columns[i]
		r.Sample(c.desc, float64(n)*c.mul/c.div, name)
	}
	return true
}

// ignored tells partitions, RAM, loop and floppy devices, which only repeat what
// others have or say nothing. It is node_exporter's default:
// ^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$
func ignored(name string) bool {
	stem, ok := cutNumber(name)
	if !ok {
		return false
	}
	switch stem {
	case "ram", "zram", "loop", "fd":
		return true
	}
	if n := len(stem) - 1; n > 0 && 'a' <= stem[n] && stem[n] <= 'z' {
		switch stem[:n] {
		case "hd", "sd", "vd", "xvd":
			return true
		}
	}
	return nvmePartition(stem)
}

// nvmePartition reports whether stem is nvme<digits>n<digits>p.
func nvmePartition(stem string) bool {
	rest, isPart := strings.CutSuffix(stem, "p")
	rest, hasPart := cutNumber(rest)
	rest, isSpace := strings.CutSuffix(rest, "n")
	rest, hasSpace := cutNumber(rest)
	return isPart && hasPart && isSpace && hasSpace && rest == "nvme"
}

// cutNumber cuts the digits off the end of s; ok is false when there are none.
func cutNumber(s string) (rest string, ok bool) {
	rest = strings.TrimRight(s, "0123456789")
	return rest, len(rest) < len(s)
}
