// Package sockets reads which sockets of a host wait for peers, which are connected,
// and whose they are: the sections listening_sockets and connections.
//
// The sockets come by sock_diag(7) where the kernel has it, else from /proc/net; their
// processes from the links in /proc/PID/fd, in one walk for both sections. Reading
// those of other users needs rights: where they do not suffice, the sockets are
// reported without process and the section says so.
//
// Besides the network namespace of the agent those of other processes are read
// (containers, ip-netns(8)): with CAP_SYS_ADMIN by entering them, else from
// /proc/PID/net of a few, because the kernel takes milliseconds for each such file.
//
// Connections are facts, not a live view: see connections.go for what is left out and
// for how long a connection that has ended stays.
package sockets

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// New returns the probe of the sections listening_sockets and connections. UDP sockets
// of the process with the number without are left out of the listening ones: the agent
// gives its own, whatever port an administrator has the kernel take for clients. It keeps
// which processes held sockets and looks at those and new ones first.
func New(without int) probe.Probe {
	return &socketProbe{without: without, memory: make(map[talk]time.Time)}
}

type socketProbe struct {
	without int
	memory  map[talk]time.Time // when connections were last seen, of keepFor
	past    past               // who held sockets before
}

const (
	// maxListening bounds the section of listening sockets.
	maxListening = 50_000
	// maxFlows bounds the connected sockets that are looked at: 8 MB of memory. Their
	// rows are far fewer.
	maxFlows = 200_000
	// maxProcesses bounds the scan for owners.
	maxProcesses = 30_000
)

// Info implements probe.Probe.
func (*socketProbe) Info() probe.Info {
	return probe.Info{
		Name:     "sockets",
		Sections: []facts.ID{facts.ListeningSockets, facts.Connections},
		Timeout:  10 * time.Second,
		Period:   5 * time.Minute, // connections come and go between complete readings
		MaxItems: maxListening,
		MaxBytes: 32 << 20, // 200,000 lines of /proc/net/tcp
	}
}

// absentError says that a machine has no such source; it is errors.ErrUnsupported
// without the words of that error.
type absentError string

func (e absentError) Error() string        { return string(e) }
func (e absentError) Is(target error) bool { return target == errors.ErrUnsupported }

// Collect implements probe.Probe.
func (p *socketProbe) Collect(ctx context.Context, h *probe.Host, r *probe.Report) error {
	if err := filesTell(h); err != nil {
		return err
	}
	pids, cut, pidErr := processes(h)
	w := world{host: h, spaces: namespaces(ctx, h, pids)}
	err := w.read(ctx)
	scan := scanner{host: h, wanted: w.inodes(), cut: cut, hidden: h.Live() && !slices.Contains(pids, 1)}
	scanErr := pidErr
	if pidErr == nil {
		scanErr = scan.run(ctx, pids, &p.past)
	}
	known := newDirectory(h)
	known.meet(ctx, scan.wanted)
	if ctx.Err() != nil { // sockets whose process is not known yet would be other rows
		return errors.Join(err, fmt.Errorf("the processes that hold sockets: %w", ctx.Err()))
	}
	for _, row := range w.listeningRows(&scan, known) {
		if row.PID != p.without || row.PID == 0 || !strings.HasPrefix(row.Protocol, "udp") {
			r.Add(facts.ListeningSockets, row)
		}
	}
	rows, left := p.connections(h.Now(), &w, &scan, known)
	for _, row := range rows {
		r.Add(facts.Connections, row)
	}
	for _, id := range []facts.ID{facts.ListeningSockets, facts.Connections} {
		remarks := w.remarks
		if lacks := scan.shortcoming(); lacks != nil && (id == facts.ListeningSockets || len(rows) > 0) {
			if h.Traces() { // the rest is protected from everybody
				remarks = append([]string{lacks.Error()}, remarks...)
			} else {
				r.Veiled(id, lacks)
			}
		}
		if id == facts.Connections {
			remarks = append(remarks, left...)
		}
		if len(remarks) > 0 {
			r.Remark(id, strings.Join(remarks, "; "))
		}
	}
	if err != nil && probe.Absent(scanErr) {
		return err // neither sockets nor processes
	}
	return errors.Join(err, scanErr)
}

// socket is one that waits for peers.
type socket struct {
	protocol string
	address  netip.Addr
	port     uint16
	uid      int
	inode    uint64
	space    uint16 // index of its network namespace
}

// flow is one that is connected. There may be very many: it is kept small.
type flow struct {
	inode  uint64
	remote [16]byte // IPv4 in its IPv6 form
	local  uint16   // ports
	port   uint16
	who    uint32 // of the directory, once the owner is known
	space  uint16
	udp    bool
	server bool // the peer came to us
}

// endpoint is what a source tells of one socket.
type endpoint struct {
	state            byte // of <net/tcp_states.h>
	protocol         string
	local, remote    netip.Addr
	port, remotePort uint16
	uid              int
	inode            uint64
	// Bytes that wait in the queues; 0 of a listening socket, whose queue has connections.
	receiving, sending uint32
}

// States of <net/tcp_states.h>. An unconnected UDP socket has that of a closed one.
const (
	stateEstablished = 0x01
	stateClosed      = 0x07
	stateListen      = 0x0A
)

// world is what was read of all network namespaces.
type world struct {
	host      *probe.Host
	spaces    []namespace
	listening []socket
	flows     []flow
	cut       bool // more connections than are looked at
	remarks   []string
}

// take sorts a socket into those that wait for peers and those that have one.
func (w *world) take(space int, e *endpoint) {
	udp := e.protocol[0] == 'u'
	switch {
	case e.state == stateListen && !udp, e.state == stateClosed && udp:
		if len(w.listening) < maxListening {
			w.listening = append(w.listening, socket{e.protocol, e.local, e.port, e.uid, e.inode, uint16(space)})
		}
	case e.state == stateEstablished && len(w.flows) >= maxFlows:
		w.cut = true
	case e.state == stateEstablished:
		w.flows = append(w.flows, flow{
			inode: e.inode, remote: e.remote.As16(), local: e.port, port: e.remotePort, space: uint16(space), udp: udp,
		})
	}
}

// inodes lists the sockets whose owner is wanted.
func (w *world) inodes() []owner {
	out := make([]owner, 0, len(w.listening)+len(w.flows))
	for _, s := range w.listening {
		out = append(out, owner{inode: s.inode})
	}
	for i := range w.flows {
		if w.flows[i].inode != 0 { // closed by its process, or of the kernel
			out = append(out, owner{inode: w.flows[i].inode})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].inode < out[j].inode })
	return slices.CompactFunc(out, func(a, b owner) bool { return a.inode == b.inode })
}

// listeningRows joins sockets and processes. Of several sockets that differ in their
// process only by its number (workers that share a port) the row has the lowest.
func (w *world) listeningRows(scan *scanner, known *directory) []*facts.ListeningSocketRow {
	byKey := make(map[string]*facts.ListeningSocketRow, len(w.listening))
	var out []*facts.ListeningSocketRow
	client := w.clients(scan)
	for _, s := range w.listening {
		if client(s) {
			continue
		}
		row := &facts.ListeningSocketRow{
			Protocol: s.protocol, Address: s.address.String(), Port: int(s.port), UID: s.uid, Namespace: w.spaces[s.space].name,
		}
		if pid := scan.owner(s.inode); pid != 0 {
			p := known.process(pid)
			row.PID, row.Process, row.Exe, row.Unit, row.Container = pid, p.name, p.exe, p.unit, p.container
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

// clients returns the function that tells sockets of clients from those that serve. A UDP
// socket does not say which it is: one on a port from which the kernel takes those for
// clients (a resolver's, QUIC's) has another port at each start, and is left out. Those
// stay that the kernel holds itself (WireGuard), and those of a process that listens by TCP
// on the same port.
func (w *world) clients(scan *scanner) func(socket) bool {
	first, last := clientPorts(w.host)
	type service struct {
		pid         int
		space, port uint16
	}
	serves := make(map[service]bool)
	for _, s := range w.listening {
		if pid := scan.owner(s.inode); s.protocol[0] == 't' && pid != 0 {
			serves[service{pid, s.space, s.port}] = true
		}
	}
	return func(s socket) bool {
		if s.protocol[0] != 'u' || s.port < first || s.port > last {
			return false
		}
		pid := scan.owner(s.inode)
		ofKernel := pid == 0 && scan.denied == 0 && !scan.cut
		return !ofKernel && !serves[service{pid, s.space, s.port}]
	}
}
