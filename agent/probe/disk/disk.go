// Package disk reads the input and output of the block devices of a Linux host.
//
// Sources: Linux Documentation/admin-guide/iostats.rst, Documentation/block/stat.rst.
package disk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/metric"
)

// New returns the metric probe "disk".
func New() probe.Probe { return new(disks) }

const (
	// maxSingle is up to how many devices each is read by itself: on a machine of one
	// disk and ten partitions, loop and RAM devices that takes a fifth of the whole table.
	maxSingle = 4
	// tableEvery is how often the table is read all the same, for new devices.
	tableEvery = 6
)

// disks reads the table of all devices, or between two such readings the files of the
// few that count.
type disks struct {
	host    *probe.Host
	stats   diskstats
	table   *probe.File
	singles []single
	runs    int
	buf     []byte
}

// single is the file of one device.
type single struct {
	name []byte
	file *probe.File
}

func (*disks) Info() probe.Info { return probe.Info{Name: "disk", Metrics: true} }

// Collect implements probe.Probe.
func (d *disks) Collect(_ context.Context, h *probe.Host, r *probe.Report) error {
	if d.host != h {
		d.close()
		*d = disks{host: h, table: h.File("/proc/diskstats"), buf: d.buf}
	}
	d.runs++
	if d.runs%tableEvery != 1 && len(d.singles) > 0 && d.readSingles(r) {
		return nil
	}
	return d.readTable(r)
}

func (d *disks) readTable(r *probe.Report) error {
	b, err := d.table.Read(d.buf)
	d.buf = b
	switch {
	case probe.Absent(err):
		return errors.ErrUnsupported
	case err != nil:
		return err
	}
	d.stats.seen = d.stats.seen[:0]
	err = d.stats.parse(r, b)
	d.choose(err == nil)
	if err != nil {
		return fmt.Errorf("/proc/diskstats: %w", err)
	}
	return nil
}

// choose opens the files of the devices of the table, if they are few.
func (d *disks) choose(whole bool) {
	same := func(s single, name string) bool { return string(s.name) == name }
	if whole && slices.EqualFunc(d.singles, d.stats.seen, same) {
		return
	}
	d.close()
	d.singles = d.singles[:0]
	if !whole || len(d.stats.seen) > maxSingle {
		return
	}
	for _, name := range d.stats.seen {
		path := "/sys/block/" + strings.ReplaceAll(name, "/", "!") + "/stat"
		d.singles = append(d.singles, single{[]byte(name), d.host.File(path)})
	}
}

// readSingles reads the devices one by one. It reports nothing and returns false when
// one of them cannot be read: it is gone, or no device of its own.
func (d *disks) readSingles(r *probe.Report) bool {
	for i := range d.singles {
		b, err := d.singles[i].file.Read(d.buf)
		d.buf = b
		if err != nil || !d.stats.device(r, d.singles[i].name, firstLine(b)) {
			d.close()
			d.singles = d.singles[:0]
			return false // what was reported is reported again, and counts once
		}
	}
	return true
}

func firstLine(b []byte) []byte {
	line, _ := probe.NextLine(b)
	return line
}

func (d *disks) close() {
	for _, s := range d.singles {
		s.file.Close() // read only: nothing can be lost
	}
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
type diskstats struct {
	names probe.Names
	seen  []string // the devices of the last table
}

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
		if ignored(string(name)) {
			continue
		}
		s.seen = append(s.seen, s.names.Of(name))
		if !s.device(r, name, fields) {
			bad = line
		}
	}
	return probe.BadLine(bad)
}

// device reports the columns of one device.
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
