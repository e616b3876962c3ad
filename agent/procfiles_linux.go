package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"atalaya/agent/probe"
)

// procFiles are the files of /proc that metric probes read and that make sense alone, by
// the kind that `parse` knows them by, their own name, with how their lines look
// (probe.Form).
var procFiles = [...]struct{ kind, path, help, line, some string }{
	{"buddyinfo", "buddyinfo", "free blocks of memory by size", `^Node \d+, zone `, ``},
	{"dev", "net/dev", "traffic of the interfaces", `^Inter-\||^ face \||^\s*\S+:\s*\d+\s`, `^ face \||bytes`},
	{"diskstats", "diskstats", "input and output of the disks", `^\s*\d+\s+\d+ \S+ \d+ \d+ \d+ \d+`, ``},
	{"file-nr", "sys/fs/file-nr", "open files", `^\d+\s+\d+\s+\d+$`, ``},
	{"interrupts", "interrupts", "interrupts by line", `^\s+CPU\d|^\s*\w+:\s+\d`, `^\s+CPU\d`},
	{"loadavg", "loadavg", "load averages", `^\d+\.\d+ \d+\.\d+ \d+\.\d+ \d+/\d+ \d+$`, ``},
	{"meminfo", "meminfo", "memory and swap space", `^[A-Z]\w*(\(\w+\))?:\s+\d+( kB)?$`, `^(Mem|Swap|Hugepagesize|HugePages)\w*:`},
	{"netstat", "net/netstat", "counters of the protocols, continued", `^\w+: \S`, `^\w+Ext: `},
	{"schedstat", "schedstat", "time that tasks waited for a processor", `^(version|timestamp|cpu\d+|domain\d+) `, ``},
	{"slabinfo", "slabinfo", "memory of the kernel's objects", `^slabinfo - version|^\S+\s+\d+\s+\d+\s+\d+\s+\d+\s+\d+ : tunables`, ``},
	{"snmp", "net/snmp", "counters of the protocols", `^\w+: \S`, `^(Ip|Icmp|IcmpMsg|Tcp|Udp|UdpLite): `},
	{"snmp6", "net/snmp6", "counters of the protocols above IPv6", `^(Ip6|Icmp6|Udp6|UdpLite6)\w+\s+\d+$`, ``},
	{"sockstat", "net/sockstat", "sockets in use", `^\w+: (inuse|used) \d+`, ``},
	{"sockstat6", "net/sockstat6", "sockets in use above IPv6", `^\w+6: inuse \d+`, ``},
	{"softirqs", "softirqs", "deferred work of interrupts", `^\s+CPU\d|^\s*[A-Z_]+:\s+\d+`, `^\s+CPU\d`},
	{"softnet_stat", "net/softnet_stat", "packets by processor", `^[0-9a-f]{8}( [0-9a-f]{8}){8,}\s*$`, ``},
	{"stat", "stat", "time of the processors", `^(cpu\d*|intr|ctxt|btime|processes|procs_running|procs_blocked|softirq|page|swap|disk_io:) `, ``},
	{"vmstat", "vmstat", "paging", `^[a-z]\w+ \d+$`, `^(nr_|pg|pswp|oom_)\w+ `},
	{"zoneinfo", "zoneinfo", "memory by zone", ``, `^Node \d+, zone`},
}

// procParsers shows the metrics that the agent makes of a single file of /proc.
func procParsers() []probe.Parser {
	var out []probe.Parser
	for _, f := range procFiles {
		out = append(out, probe.Parser{
			Kind: f.kind, Help: "/proc/" + f.path + ": " + f.help, Form: probe.Form{Want: "the lines of /proc/" + f.path, Line: f.line, Some: f.some, Ended: true},
			Parse: probe.OfBytes(func(b []byte) ([]probe.SampleJSON, error) { return readProcFile(f.path, b) }),
		})
	}
	return out
}

// readProcFile lets every metric probe see a machine that has this one file, so that
// what is shown is what the agent reports, and no second reading of the format.
func readProcFile(name string, data []byte) (samples []probe.SampleJSON, err error) {
	root, err := os.MkdirTemp("", "atalaya-parse-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(root)) }()
	file := filepath.Join(root, "proc", filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return nil, err
	}
	// Without the one that counts the folders of /proc: here there are none.
	probes := slices.DeleteFunc(NodeProbes(DefaultConfig()), func(p probe.Probe) bool { return p.Info().Name == "processes" })
	res := probe.RunOnce(context.Background(), probe.RootHost(root), probes...)
	samples = probe.SamplesJSON(res)
	err = present(res.Err)
	if err == nil && len(samples) == 0 {
		err = errors.New("nothing in it that the agent reads")
	}
	return samples, err
}

// present leaves out of joined errors what other files are missed for.
func present(err error) error {
	for e := err; e != nil; e = errors.Unwrap(e) {
		joined, ok := e.(interface{ Unwrap() []error })
		if !ok {
			continue
		}
		var kept error
		for _, one := range joined.Unwrap() {
			kept = errors.Join(kept, present(one))
		}
		return kept
	}
	if probe.Absent(err) {
		return nil
	}
	return err
}
