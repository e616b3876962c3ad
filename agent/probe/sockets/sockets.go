// Package sockets reads which sockets of a host wait for peers, and whose they are:
// the section listening_sockets.
//
// The sockets come from /proc/net, or by sock_diag(7) where the kernel has it, for the
// network namespace of the agent only; their
// processes from the links in /proc/PID/fd. Reading those of other users needs rights:
// where they do not suffice, the sockets are reported without process and the section
// says so.
package sockets

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// New returns the probe of the section listening_sockets. UDP sockets of the process
// with the number without are left out: the agent gives its own, since it cannot be
// told from outside that its one socket is a client's.
func New(without int) probe.Probe { return socketProbe{without} }

type socketProbe struct{ without int }

const (
	// maxSockets bounds the section.
	maxSockets = 100_000
	// maxProcesses bounds the scan for owners.
	maxProcesses = 30_000
)

// Info implements probe.Probe.
func (socketProbe) Info() probe.Info {
	return probe.Info{
		Name:     "sockets",
		Sections: []facts.ID{facts.ListeningSockets},
		Timeout:  10 * time.Second,
		MaxItems: maxSockets,
		MaxBytes: 16 << 20, // 100,000 lines of /proc/net/tcp
	}
}

// absentError says that a machine has no such source; it is errors.ErrUnsupported
// without the words of that error.
type absentError string

func (e absentError) Error() string        { return string(e) }
func (e absentError) Is(target error) bool { return target == errors.ErrUnsupported }

// Collect implements probe.Probe.
func (p socketProbe) Collect(ctx context.Context, h *probe.Host, r *probe.Report) error {
	if err := filesTell(h); err != nil {
		return err
	}
	list, err := readSockets(h)
	wanted := make(map[uint64]int, len(list)) // process of each inode, 0 until it is found
	for _, s := range list {
		wanted[s.inode] = 0
	}
	scan := scanner{host: h, wanted: wanted}
	scanErr := scan.run(ctx)
	for _, row := range rows(h, list, wanted) {
		if row.PID != p.without || row.PID == 0 || !strings.HasPrefix(row.Protocol, "udp") {
			r.Add(facts.ListeningSockets, row)
		}
	}
	if text := scan.shortcoming(); text != "" {
		r.Remark(facts.ListeningSockets, text)
	}
	return errors.Join(err, scanErr)
}

// readSockets reads the tables of all protocols. A table that does not exist is of a
// protocol that is switched off.
func readSockets(h *probe.Host) ([]socket, error) {
	var list []socket
	var problems error
	found := false
	for _, protocol := range []string{"tcp", "tcp6", "udp", "udp6"} {
		if h.Live() {
			if got, err := listeners(list, protocol); err == nil {
				list, found = got, true
				continue // otherwise the kernel has no sock_diag, or a sandbox forbids it
			}
		}
		b, err := h.ReadFile("/proc/net/" + protocol)
		switch {
		case err == nil:
			found = true
			list = parseTable(list, protocol, b)
		case !errors.Is(err, fs.ErrNotExist):
			found = true
			problems = errors.Join(problems, err)
		}
	}
	if !found {
		return nil, absentError("no tables of sockets in /proc/net")
	}
	return list, problems
}

// rows joins sockets and processes. Of several sockets that differ in their process
// only by its number (workers that share a port) the row has the lowest.
func rows(h *probe.Host, list []socket, owner map[uint64]int) []*facts.ListeningSocketRow {
	processes := make(map[int]process)
	byKey := make(map[string]*facts.ListeningSocketRow, len(list))
	var out []*facts.ListeningSocketRow
	for _, s := range list {
		row := &facts.ListeningSocketRow{Protocol: s.protocol, Address: s.address.String(), Port: s.port, UID: s.uid}
		if pid := owner[s.inode]; pid != 0 {
			p, ok := processes[pid]
			if !ok {
				p = readProcess(h, pid)
				processes[pid] = p
			}
			row.PID, row.Process, row.Exe, row.Unit = pid, p.name, p.exe, p.unit
		}
		if first, ok := byKey[row.Key()]; ok {
			if row.PID != 0 && (first.PID == 0 || row.PID < first.PID) {
				*first = *row
			}
			continue
		}
		byKey[row.Key()] = row
		out = append(out, row)
	}
	return out
}

// shortcoming says why some sockets have no process: theirs could not be read. A
// socket of the kernel has none either; that is no shortcoming.
func (s *scanner) shortcoming() string {
	unowned := false
	for _, pid := range s.wanted {
		unowned = unowned || pid == 0
	}
	switch {
	case !unowned:
		return ""
	case s.denied > 0:
		return "some sockets have no process: permission denied for theirs"
	case s.cut:
		return fmt.Sprintf("some sockets have no process: only %d processes were read", maxProcesses)
	}
	return ""
}
