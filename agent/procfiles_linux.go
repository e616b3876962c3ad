package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"atalaya/agent/probe"
)

// procFiles are the files of /proc that metric probes read and that make sense alone, by
// the kind that `parse` knows them by: their own name.
var procFiles = [...]struct{ kind, path, help string }{
	{"buddyinfo", "buddyinfo", "free blocks of memory by size"},
	{"dev", "net/dev", "traffic of the interfaces"},
	{"diskstats", "diskstats", "input and output of the disks"},
	{"file-nr", "sys/fs/file-nr", "open files"},
	{"interrupts", "interrupts", "interrupts by line"},
	{"loadavg", "loadavg", "load averages"},
	{"meminfo", "meminfo", "memory and swap space"},
	{"netstat", "net/netstat", "counters of the protocols, continued"},
	{"schedstat", "schedstat", "time that tasks waited for a processor"},
	{"slabinfo", "slabinfo", "memory of the kernel's objects"},
	{"snmp", "net/snmp", "counters of the protocols"},
	{"snmp6", "net/snmp6", "counters of the protocols above IPv6"},
	{"sockstat", "net/sockstat", "sockets in use"},
	{"sockstat6", "net/sockstat6", "sockets in use above IPv6"},
	{"softirqs", "softirqs", "deferred work of interrupts"},
	{"softnet_stat", "net/softnet_stat", "packets by processor"},
	{"stat", "stat", "time of the processors"},
	{"vmstat", "vmstat", "paging"},
	{"zoneinfo", "zoneinfo", "memory by zone"},
}

// procParsers shows the metrics that the agent makes of a single file of /proc.
func procParsers() []probe.Parser {
	var out []probe.Parser
	for _, f := range procFiles {
		out = append(out, probe.Parser{Kind: f.kind, Help: "/proc/" + f.path + ": " + f.help, Parse: func(files []probe.Input) (any, error) {
			all := []probe.SampleJSON{}
			var problems error
			for _, in := range files {
				got, err := readProcFile(f.path, in.Data)
				all = append(all, got...)
				if err != nil {
					problems = errors.Join(problems, fmt.Errorf("%s: %w", in.Name, err))
				}
			}
			return all, problems
		}})
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
