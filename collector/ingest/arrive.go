package ingest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"

	"github.com/quic-go/quic-go"

	"atalaya/shared/wire"
)

// Agents wait some 10 s for the handshake and as long for the Welcome. Of a fleet that
// comes back at once no more are let in than a slow processor and a slow disk serve in
// that time: otherwise all are served too late, give up, and come again.
const (
	maxArriving = 512
	// maxFromOne are those from one address, so that no stranger takes all places. A site
	// behind one address has to do with them.
	maxFromOne = maxArriving / 4
)

// arrivals are the connections on their way in: from their first packet until they have
// a session, have enrolled or have failed.
type arrivals struct {
	mu   sync.Mutex
	all  int
	from map[netip.Addr]int
}

// source is what counts as one address: of IPv6 the network of a site.
func source(addr net.Addr) netip.Addr {
	udp, ok := addr.(*net.UDPAddr)
	if !ok {
		return netip.Addr{}
	}
	ip := udp.AddrPort().Addr().Unmap()
	if ip.Is6() {
		network, _ := ip.Prefix(64) // 64 bits fit into an address of 128
		ip = network.Addr()
	}
	return ip
}

// look returns how many there are, and whether there is room for one more from there.
func (a *arrivals) look(from netip.Addr) (all int, room bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.all, a.roomLocked(from)
}

func (a *arrivals) roomLocked(from netip.Addr) bool {
	return a.all < maxArriving && a.from[from] < maxFromOne
}

func (a *arrivals) enter(from netip.Addr) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.roomLocked(from) {
		return false
	}
	if a.from == nil {
		a.from = make(map[netip.Addr]int)
	}
	a.all++
	a.from[from]++
	return true
}

func (a *arrivals) leave(from netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all--
	if a.from[from]--; a.from[from] == 0 {
		delete(a.from, from)
	}
}

type arrivalKey struct{}

var errBusy = errors.New("too many agents on their way in")

// doubted tells whether an address is to be validated before anything is kept of it.
// Where there is no room anyway it is not worth the packet.
func (s *Server) doubted(addr net.Addr) bool {
	n, room := s.arrivals.look(source(addr))
	return room && n >= s.cfg.HalfOpen
}

// arriving counts a connection, or refuses it, which costs little: the agent comes again
// soon. The value in the connection's context ends the count.
func (s *Server) arriving(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	from := source(info.RemoteAddr)
	if !s.arrivals.enter(from) {
		s.counters.refused(wire.CodeOverload)
		return ctx, errBusy
	}
	leave := func() { s.arrivals.leave(from) }
	stop := context.AfterFunc(ctx, leave)
	return context.WithValue(ctx, arrivalKey{}, func() {
		if stop() {
			leave()
		}
	}), nil
}

// arrived ends the count of a connection that goes on.
func (s *Server) arrived(conn *quic.Conn) {
	if end, ok := conn.Context().Value(arrivalKey{}).(func()); ok {
		end()
	}
}
