package sockets

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// Connections are told as who talks to whom: one row for a program, a peer and the
// port of the service, whichever of the two serves. Which one does is told by the
// port: one that listens here is ours; else the one outside the range from which the
// kernel takes ports for clients.
//
// Facts must not change when nothing changed, and must stay few:
//   - a connection stays for keepFor after it was last seen, so that what comes and goes
//     (a query each minute) is one row and not a change at each reading;
//   - a program has at most maxPeers peers for a service, first those that it had before,
//     then those with the most connections;
//   - a section has at most maxConnections rows: what is open now takes the place of what
//     is not, that which was seen longest ago first;
//   - several ports of one peer in the range for clients are one row without a port.
const (
	keepFor        = 24 * time.Hour
	maxPeers       = 256
	maxConnections = 5_000
	maxPeerPorts   = 4
)

// group is a program and the service it talks for or to: of servers their own port, of
// clients any.
type group struct {
	who    process
	space  string // name of the network namespace
	local  uint16
	server bool
	udp    bool
}

// talk names a row.
type talk struct {
	group
	remote [16]byte
	port   uint16
}

// connections returns the rows of the present and remembered connections, and what
// was left out.
func (p *socketProbe) connections(now time.Time, w *world, scan *scanner, known *directory) (rows []*facts.ConnectionRow, left []string) {
	w.classify(scan, known)
	groups := make(map[group]int)
	for t, seen := range p.memory {
		if now.Sub(seen) >= keepFor {
			delete(p.memory, t)
			continue
		}
		groups[t.group]++
	}
	var fresh []talk
	for _, s := range w.summaries() {
		f := s.flow
		g := group{who: known.list[f.who], space: w.spaces[f.space].name, local: f.local, server: f.server, udp: f.udp}
		t := talk{g, f.remote, f.port}
		if _, ok := p.memory[t]; ok {
			p.memory[t] = now
		} else {
			fresh = append(fresh, t)
		}
	}
	cut := false
	var closed []*talk // that may be forgotten, in this order
	for _, t := range fresh {
		if groups[t.group] >= maxPeers {
			cut = true
			continue
		}
		if len(p.memory) >= maxConnections {
			if closed == nil {
				closed = p.closed(now)
			}
			if len(closed) == 0 {
				cut = true
				break
			}
			delete(p.memory, *closed[0])
			groups[closed[0].group]--
			closed = closed[1:]
		}
		p.memory[t] = now
		groups[t.group]++
	}
	for t := range p.memory {
		rows = append(rows, t.row())
	}
	if cut {
		left = append(left, fmt.Sprintf("only the %d busiest peers of a program are listed, %d in all", maxPeers, maxConnections))
	}
	return rows, left
}

// closed are the remembered connections that are not open now, the one that was seen
// longest ago first; never nil.
func (p *socketProbe) closed(now time.Time) []*talk {
	out := make([]*talk, 0, len(p.memory))
	for t, seen := range p.memory {
		if !seen.Equal(now) {
			out = append(out, &t)
		}
	}
	slices.SortFunc(out, func(a, b *talk) int { // pointers: the code for another type takes 24 kB
		if c := p.memory[*a].Compare(p.memory[*b]); c != 0 {
			return c
		}
		return cmp.Compare(a.row().Key(), b.row().Key())
	})
	return out
}

func (t talk) row() *facts.ConnectionRow {
	row := &facts.ConnectionRow{
		Direction: "out", Protocol: "tcp", RemoteAddress: netip.AddrFrom16(t.remote).Unmap().String(),
		RemotePort: int(t.port), LocalPort: int(t.local),
		Process: t.who.name, Exe: t.who.exe, Unit: t.who.unit, Container: t.who.container, Namespace: t.space,
	}
	if t.server {
		row.Direction = "in"
	}
	if t.udp {
		row.Protocol = "udp"
	}
	return row
}

// classify finds for each connection its program and which side serves.
func (w *world) classify(scan *scanner, known *directory) {
	type service struct {
		space, port uint16
		udp         bool
	}
	served := make(map[service]bool, len(w.listening))
	for _, s := range w.listening {
		served[service{s.space, s.port, s.protocol[0] == 'u'}] = true
	}
	first, last := clientPorts(w.host)
	ephemeral := func(port uint16) bool { return first <= port && port <= last }
	for i := range w.flows {
		f := &w.flows[i]
		f.who = known.number(scan.owner(f.inode))
		f.server = served[service{f.space, f.local, f.udp}] && !f.udp || !ephemeral(f.local) && ephemeral(f.port)
		if f.server {
			f.port = 0
		} else {
			f.local = 0
		}
	}
	w.joinPorts(ephemeral)
}

// clientPorts is the range from which the kernel takes ports (ip(7)).
func clientPorts(h *probe.Host) (first, last uint16) {
	f := strings.Fields(h.ReadString("/proc/sys/net/ipv4/ip_local_port_range"))
	if len(f) == 2 {
		a, errA := strconv.ParseUint(f[0], 10, 16)
		b, errB := strconv.ParseUint(f[1], 10, 16)
		if errA == nil && errB == nil && a <= b {
			return uint16(a), uint16(b)
		}
	}
	return 32768, 60999 // the kernel's own setting
}

// samePeer orders connections by program, side and peer.
func samePeer(a, b *flow) int {
	if c := cmp.Or(cmp.Compare(a.who, b.who), cmp.Compare(a.space, b.space), boolCompare(a.server, b.server), boolCompare(a.udp, b.udp)); c != 0 {
		return c
	}
	return slices.Compare(a.remote[:], b.remote[:])
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func byRow(a, b flow) int {
	return cmp.Or(samePeer(&a, &b), cmp.Compare(a.local, b.local), cmp.Compare(a.port, b.port))
}

func (w *world) sortFlows() {
	sort.Slice(w.flows, func(i, j int) bool { return byRow(w.flows[i], w.flows[j]) < 0 })
}

// joinPorts sorts the connections and drops the ports of peers that have many in the
// range for clients.
func (w *world) joinPorts(ephemeral func(uint16) bool) {
	w.sortFlows()
	for start := 0; start < len(w.flows); {
		end, ports := start, 0
		for ; end < len(w.flows) && samePeer(&w.flows[start], &w.flows[end]) == 0; end++ {
			f := &w.flows[end]
			if !f.server && ephemeral(f.port) && (end == start || w.flows[end-1].port != f.port) {
				ports++
			}
		}
		for i := start; i < end && ports > maxPeerPorts; i++ {
			if f := &w.flows[i]; !f.server && ephemeral(f.port) {
				f.port = 0
			}
		}
		start = end
	}
	w.sortFlows()
}

// summary is a run of connections that are one row.
type summary struct {
	flow  *flow
	count int
}

// summaries joins equal connections and orders them by how many they are.
func (w *world) summaries() []summary {
	var out []summary
	for i := range w.flows {
		f := &w.flows[i]
		if n := len(out); n > 0 && byRow(*out[n-1].flow, *f) == 0 {
			out[n-1].count++
			continue
		}
		out = append(out, summary{f, 1})
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].count > out[j].count })
	return out
}
