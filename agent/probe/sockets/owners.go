package sockets

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"atalaya/agent/probe"
)

// scanner looks for the processes that hold sockets.
type scanner struct {
	host   *probe.Host
	wanted map[uint64]int // inode to process, 0 until found
	denied int            // processes whose files we may not see
	cut    bool           // not all processes were read
}

// run goes through the processes in order of their numbers, so that of processes that
// share a socket the oldest is found, the first process last of all, and stops as soon
// as all sockets have one.
// Processes that vanish meanwhile are passed over.
func (s *scanner) run(ctx context.Context) error {
	missing := len(s.wanted)
	if missing == 0 {
		return nil
	}
	pids, err := s.processes()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		err := eachLink(s.host, path.Join("/proc", strconv.Itoa(pid), "fd"), func(target []byte) {
			inode, ok := socketInode(target)
			if owner, wanted := s.wanted[inode]; ok && wanted && owner == 0 {
				s.wanted[inode] = pid
				missing--
			}
		})
		if errors.Is(err, fs.ErrPermission) {
			s.denied++
		}
		if missing == 0 {
			return nil
		}
	}
	return nil
}

func (s *scanner) processes() ([]int, error) {
	entries, err := s.host.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	threads := kernelThreads(s.host)
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid > 0 && !threads[pid] {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	if len(pids) > 0 && pids[0] == 1 { // systemd also holds the sockets that it passed to services
		pids = append(pids[1:], 1)
	}
	if len(pids) > maxProcesses {
		pids, s.cut = pids[:maxProcesses], true
	}
	return pids, nil
}

// kernelThreads are processes without files, often most of all: the children of
// kthreadd, which is process 2 outside of containers. Kernels without
// CONFIG_PROC_CHILDREN do not tell them; then they are looked at in vain.
func kernelThreads(h *probe.Host) map[int]bool {
	if h.ReadString("/proc/2/comm") != "kthreadd" {
		return nil
	}
	threads := map[int]bool{2: true}
	for pid := range strings.FieldsSeq(h.ReadString("/proc/2/task/2/children")) {
		if n, err := strconv.Atoi(pid); err == nil {
			threads[n] = true
		}
	}
	return threads
}

// socketInode reads the target of a link to a socket: "socket:[12345]".
func socketInode(target []byte) (uint64, bool) {
	const prefix = "socket:["
	if len(target) <= len(prefix) || string(target[:len(prefix)]) != prefix || target[len(target)-1] != ']' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(target[len(prefix):len(target)-1]), 10, 64)
	return n, err == nil && n != 0
}

// process is what a row says of a process.
type process struct{ name, exe, unit string }

// readProcess reads a process; what cannot be read of it is empty.
func readProcess(h *probe.Host, pid int) process {
	dir := path.Join("/proc", strconv.Itoa(pid))
	exe, _ := h.Readlink(dir + "/exe") // gone, or not ours to see
	return process{
		name: h.ReadString(dir + "/comm"),
		exe:  strings.TrimSuffix(exe, " (deleted)"), // after an upgrade of the running program
		unit: unit(h.ReadString(dir + "/cgroup")),
	}
}

// unit finds the service in cgroups(7): the last part of the path that is one. On
// hybrid systems it is in the line of systemd's own hierarchy.
func unit(cgroup string) string {
	for line := range strings.Lines(cgroup) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 || f[1] != "" && f[1] != "name=systemd" {
			continue
		}
		parts := strings.Split(f[2], "/")
		for _, p := range slices.Backward(parts) {
			if name, ok := strings.CutSuffix(p, ".service"); ok {
				return name
			}
		}
	}
	return ""
}
