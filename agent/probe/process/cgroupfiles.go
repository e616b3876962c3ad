package process

import (
	"bytes"
	"errors"
	"path"
	"syscall"

	"atalaya/agent/probe"
	"atalaya/shared/metric"
)

// cgroupFile is one file of a control group: where it lies, and what understands it.
type cgroupFile struct {
	of    func(p paths) string
	parse func(r *probe.Report, b []byte, g *cgroup)
}

const root = "/sys/fs/cgroup"

func below(dir, at, file string) string {
	if at == "" {
		return ""
	}
	return path.Join(root, dir, at, file)
}

func unified(file string) func(paths) string {
	return func(p paths) string {
		if p.memory != "" || p.cpuacct != "" { // hybrid: the unified one has no controllers
			return ""
		}
		return below("", p.unified, file)
	}
}

var cgroupFiles = []cgroupFile{
	{unified("cpu.stat"), parseCPUStat},
	{unified("memory.current"), single(&metric.CgroupMemory, 1)},
	{unified("memory.max"), single(&metric.CgroupMemoryLimit, 1)},
	{unified("memory.events"), parseEvents},
	{unified("io.stat"), parseIOStat},
	{unified("cpu.pressure"), pressure(&metric.CgroupPressureCPU)},
	{unified("io.pressure"), pressure(&metric.CgroupPressureIO)},
	{unified("memory.pressure"), pressure(&metric.CgroupPressureMemory)},
	{func(p paths) string { return below("cpuacct", p.cpuacct, "cpuacct.usage") }, single(&metric.CgroupCPU, 1e9)},
	{func(p paths) string { return below("memory", p.memory, "memory.usage_in_bytes") }, single(&metric.CgroupMemory, 1)},
	{func(p paths) string { return below("memory", p.memory, "memory.limit_in_bytes") }, single(&metric.CgroupMemoryLimit, 1)},
	{func(p paths) string { return below("memory", p.memory, "memory.oom_control") }, parseEvents},
	{func(p paths) string { return below("blkio", p.blkio, "blkio.throttle.io_service_bytes") }, parseBlkio},
}

// noLimit is about what version 1 says where there is no limit: the largest number of
// whole pages in 63 bits.
const noLimit = 1 << 62

// single reads a file of one number; "max" is no limit and no number.
func single(desc *metric.Desc, divisor float64) func(*probe.Report, []byte, *cgroup) {
	return func(r *probe.Report, b []byte, g *cgroup) {
		field, _ := probe.NextField(firstLine(b))
		if n, ok := probe.ParseUint(field); ok && n < noLimit {
			r.Sample(desc, float64(n)/divisor, g.container, g.unit)
		}
	}
}

// keyed returns the number behind a key in lines of key and number.
func keyed(b []byte, key string) (uint64, bool) {
	for line, rest := probe.NextLine(b); line != nil; line, rest = probe.NextLine(rest) {
		name, value := probe.NextField(line)
		if string(name) == key {
			field, _ := probe.NextField(value)
			return probe.ParseUint(field)
		}
	}
	return 0, false
}

func parseCPUStat(r *probe.Report, b []byte, g *cgroup) {
	if n, ok := keyed(b, "usage_usec"); ok {
		r.Sample(&metric.CgroupCPU, float64(n)/1e6, g.container, g.unit)
	}
	if n, ok := keyed(b, "throttled_usec"); ok {
		r.Sample(&metric.CgroupThrottled, float64(n)/1e6, g.container, g.unit)
	}
}

func parseEvents(r *probe.Report, b []byte, g *cgroup) {
	if n, ok := keyed(b, "oom_kill"); ok {
		r.Sample(&metric.CgroupOOMKills, float64(n), g.container, g.unit)
	}
}

// parseIOStat sums over the devices: "8:0 rbytes=1459200 wbytes=314773504 rios=192 ...".
func parseIOStat(r *probe.Report, b []byte, g *cgroup) {
	var read, written uint64
	for line, rest := probe.NextLine(b); line != nil; line, rest = probe.NextLine(rest) {
		for field, more := probe.NextField(line); len(field) > 0; field, more = probe.NextField(more) {
			if v, ok := bytes.CutPrefix(field, []byte("rbytes=")); ok {
				n, _ := probe.ParseUint(v)
				read += n
			} else if v, ok := bytes.CutPrefix(field, []byte("wbytes=")); ok {
				n, _ := probe.ParseUint(v)
				written += n
			}
		}
	}
	r.Sample(&metric.CgroupIORead, float64(read), g.container, g.unit)
	r.Sample(&metric.CgroupIOWritten, float64(written), g.container, g.unit)
}

// parseBlkio sums over the devices: "8:0 Read 1459200".
func parseBlkio(r *probe.Report, b []byte, g *cgroup) {
	var read, written uint64
	for line, rest := probe.NextLine(b); line != nil; line, rest = probe.NextLine(rest) {
		_, rest := probe.NextField(line)
		kind, rest := probe.NextField(rest)
		field, _ := probe.NextField(rest)
		n, ok := probe.ParseUint(field)
		switch {
		case ok && string(kind) == "Read":
			read += n
		case ok && string(kind) == "Write":
			written += n
		}
	}
	r.Sample(&metric.CgroupIORead, float64(read), g.container, g.unit)
	r.Sample(&metric.CgroupIOWritten, float64(written), g.container, g.unit)
}

// pressure reads the total of the line "some", in microseconds.
func pressure(desc *metric.Desc) func(*probe.Report, []byte, *cgroup) {
	return func(r *probe.Report, b []byte, g *cgroup) {
		line := firstLine(b)
		at := bytes.Index(line, []byte(" total="))
		if at < 0 || !bytes.HasPrefix(line, []byte("some ")) {
			return
		}
		field, _ := probe.NextField(line[at+len(" total="):])
		if n, ok := probe.ParseUint(field); ok {
			r.Sample(desc, float64(n)/1e6, g.container, g.unit)
		}
	}
}

// gone reports whether err says that the group has been removed, or that the kernel
// keeps no such account of it.
func gone(err error) bool {
	return errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.EOPNOTSUPP)
}
