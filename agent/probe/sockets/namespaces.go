package sockets

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"

	"atalaya/agent/probe"
)

const (
	// maxSpaces bounds the network namespaces that are entered: a large container host
	// has some hundreds, and each takes a millisecond.
	maxSpaces = 500
	// maxSpaceFiles bounds those that are read from /proc/PID/net, which takes ten times
	// as long: the kernel walks the table of all connections of the machine.
	maxSpaceFiles = 8
)

// namespace is a network namespace.
type namespace struct {
	name string // "" for that of the agent
	pid  int    // a process in it; 0 for that of the agent
}

// namespaces lists that of the agent first, then those of other processes in order of
// their oldest process.
func namespaces(ctx context.Context, h *probe.Host, pids []int) []namespace {
	list := []namespace{{}}
	own, err := h.Readlink("/proc/self/ns/net")
	if err != nil {
		own, err = h.Readlink("/proc/1/ns/net") // of a tree
	}
	if err != nil {
		return list
	}
	seen := map[string]bool{own: true}
	var named map[string]string
	for _, pid := range pids {
		if ctx.Err() != nil {
			break // what follows says so
		}
		link, err := h.Readlink(path.Join("/proc", strconv.Itoa(pid), "ns/net"))
		if err != nil || seen[link] || len(list) > maxSpaces { // gone, or not ours to see
			continue
		}
		seen[link] = true
		if named == nil {
			named = namedSpaces(h)
		}
		list = append(list, namespace{spaceName(h, named[link], pid), pid})
	}
	return list
}

// namedSpaces are those of ip-netns(8) by what the links of processes in them say.
func namedSpaces(h *probe.Host) map[string]string {
	named := make(map[string]string)
	entries, err := h.ReadDir("/run/netns")
	if err != nil {
		return named
	}
	for _, e := range entries {
		if inode := fileInode(h, path.Join("/run/netns", e.Name())); inode != 0 {
			named[fmt.Sprintf("net:[%d]", inode)] = e.Name()
		}
	}
	return named
}

// spaceName calls a namespace by the name that an administrator gave it, or after the
// container or service that has it.
func spaceName(h *probe.Host, name string, pid int) string {
	if name != "" {
		return name
	}
	p := readProcess(h, pid)
	for _, s := range []string{p.container, p.unit, p.name} {
		if s != "" {
			return s
		}
	}
	return "private"
}

// read reads the sockets of all namespaces. Failing to read one other than our own is
// a remark: its processes may have ended meanwhile.
func (w *world) read(ctx context.Context) error {
	var problems probe.Problems
	problems.Add(w.readSpace(0))
	files := 0
	for i := 1; i < len(w.spaces) && ctx.Err() == nil; i++ {
		if w.host.Live() && w.enter(i) == nil {
			continue
		}
		if files++; files > maxSpaceFiles && w.host.Live() {
			w.remarks = append(w.remarks, "some network namespaces are not read: entering them takes CAP_SYS_ADMIN")
			break
		}
		problem := w.readFiles(i, path.Join("/proc", strconv.Itoa(w.spaces[i].pid), "net"))
		if !w.host.Live() && !probe.Absent(problem) { // else it may be gone
			problems.Add(problem)
		}
	}
	if w.cut {
		w.remarks = append(w.remarks, fmt.Sprintf("only %d connections were looked at", maxFlows))
	}
	problems.Add(ctx.Err())
	return problems.Err()
}

// readSpace reads the namespace of the agent.
func (w *world) readSpace(i int) error {
	if w.host.Live() {
		if err := diagnose(w.host, nil, peers(), func(e *endpoint) { w.take(i, e) }); err == nil {
			return nil
		}
		// The kernel has no sock_diag, or a sandbox forbids it, or the list changed meanwhile.
		w.listening, w.flows = w.listening[:0], w.flows[:0]
	}
	return w.readFiles(i, "/proc/net")
}

// enter reads a namespace by entering it. It leaves nothing behind when it fails.
func (w *world) enter(i int) error {
	listening, flows := len(w.listening), len(w.flows)
	err := diagnose(w.host, &w.spaces[i], peers(), func(e *endpoint) { w.take(i, e) })
	if err != nil {
		w.listening, w.flows = w.listening[:listening], w.flows[:flows]
	}
	return err
}

// readFiles reads the tables of a namespace (proc_net(5)).
func (w *world) readFiles(i int, folder string) error {
	var problems error
	found := false
	for _, protocol := range []string{"tcp", "tcp6", "udp", "udp6"} {
		name := path.Join(folder, protocol)
		b, err := w.host.ReadFile(name)
		switch {
		case err == nil:
			found = true
			problems = errors.Join(problems, tableForm.Damage(name, b))
			parseTable(protocol, b, func(e *endpoint) { w.take(i, e) })
		case !errors.Is(err, fs.ErrNotExist):
			found = true
			problems = errors.Join(problems, err)
		}
	}
	if !found {
		return absentError("no tables of sockets in /proc/net")
	}
	return problems
}
