package session

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// network carries datagrams between its sockets, as badly as it is told to. It works
// in the time of a synctest bubble.
type network struct {
	mu      sync.Mutex
	rng     *rand.Rand
	sockets map[string]*socket
	port    uint16
	down    bool
	drop    float64       // part of the packets that vanish
	twice   float64       // part that arrives twice
	spread  time.Duration // arrivals differ by so much, which reorders them
	packets int
	bytes   int // of UDP payload
	dropped int
}

const latency = 10 * time.Millisecond

func newNetwork(seed uint64) *network {
	return &network{rng: rand.New(rand.NewPCG(seed, seed)), sockets: map[string]*socket{}, port: 1000}
}

func (n *network) set(fn func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fn()
}

// carried returns what was sent so far.
func (n *network) carried() (packets, bytes int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.packets, n.bytes
}

// listen opens a socket; port 0 picks one.
func (n *network) listen(port uint16) *socket {
	n.mu.Lock()
	defer n.mu.Unlock()
	if port == 0 {
		n.port++
		port = n.port
	}
	s := &socket{net: n, in: make(chan datagram, 1024), done: make(chan struct{}), wake: make(chan struct{})}
	s.addr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 1}), port))
	n.sockets[s.addr.String()] = s
	return s
}

func (n *network) send(from *socket, p []byte, to net.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.packets++
	n.bytes += len(p)
	copies := 1
	if n.rng.Float64() < n.twice {
		copies = 2
	}
	for range copies {
		if n.down || n.rng.Float64() < n.drop {
			n.dropped++
			continue
		}
		delay := latency
		if n.spread > 0 {
			delay += time.Duration(n.rng.Int64N(int64(n.spread)))
		}
		d := datagram{data: append([]byte(nil), p...), from: from.addr}
		time.AfterFunc(delay, func() { n.arrive(to.String(), d) })
	}
}

func (n *network) arrive(to string, d datagram) {
	n.mu.Lock()
	s := n.sockets[to]
	n.mu.Unlock()
	if s == nil {
		return
	}
	select {
	case s.in <- d:
	default: // the socket's buffer is full
	}
}

type datagram struct {
	data []byte
	from net.Addr
}

// socket is one end of the network, a net.PacketConn.
type socket struct {
	net  *network
	addr *net.UDPAddr
	in   chan datagram
	once sync.Once
	done chan struct{}

	mu   sync.Mutex
	wake chan struct{} // closed when the read deadline has passed
}

func (s *socket) ReadFrom(p []byte) (int, net.Addr, error) {
	s.mu.Lock()
	wake := s.wake
	s.mu.Unlock()
	select {
	case d := <-s.in:
		return copy(p, d.data), d.from, nil
	case <-wake:
		return 0, nil, os.ErrDeadlineExceeded
	case <-s.done:
		return 0, nil, net.ErrClosed
	}
}

func (s *socket) WriteTo(p []byte, to net.Addr) (int, error) {
	s.net.send(s, p, to)
	return len(p), nil
}

func (s *socket) Close() error {
	s.once.Do(func() {
		close(s.done)
		s.net.mu.Lock()
		defer s.net.mu.Unlock()
		if s.net.sockets[s.addr.String()] == s {
			delete(s.net.sockets, s.addr.String())
		}
	})
	return nil
}

// SetReadDeadline knows what quic-go uses: none, or one that has passed.
func (s *socket) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.IsZero() {
		s.wake = make(chan struct{})
	} else if !t.After(time.Now()) {
		select {
		case <-s.wake:
		default:
			close(s.wake)
		}
	}
	return nil
}

func (s *socket) LocalAddr() net.Addr              { return s.addr }
func (s *socket) SetDeadline(t time.Time) error    { return s.SetReadDeadline(t) }
func (s *socket) SetWriteDeadline(time.Time) error { return nil }
func (s *socket) SetReadBuffer(int) error          { return nil }
func (s *socket) SetWriteBuffer(int) error         { return nil }

// resolve finds the collector whatever the address says.
func resolveTo(addr net.Addr) func(context.Context, string) ([]net.Addr, error) {
	return func(context.Context, string) ([]net.Addr, error) { return []net.Addr{addr}, nil }
}
