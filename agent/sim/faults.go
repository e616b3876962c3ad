package sim

import (
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"atalaya/agent/uplink"
)

// Faults of the network between the fleet and its collector.
type Faults struct {
	Loss float64       // share of the packets that a host sends which are lost
	Cut  time.Duration // mean time between two outages of a host; 0: none
	Down time.Duration // mean length of an outage
}

// network is the way out of host n.
func (f Faults) network(n int) uplink.Network {
	if f.Loss == 0 && f.Cut == 0 {
		return uplink.Network{}
	}
	return uplink.Network{Listen: func() (net.PacketConn, error) {
		c, err := net.ListenUDP("udp", nil)
		if err != nil {
			return nil, err
		}
		return &lossyConn{PacketConn: c, faults: f, random: rand.New(rand.NewPCG(uint64(n), uint64(time.Now().UnixNano())))}, nil
	}}
}

// lossyConn is a socket that loses what it is given, one packet in some or, in an
// outage, all.
type lossyConn struct {
	net.PacketConn
	faults Faults

	mu     sync.Mutex // guards what follows
	random *rand.Rand
	next   time.Time // begin of the next outage
	until  time.Time // end of the present one
}

func (c *lossyConn) WriteTo(p []byte, addr net.Addr) (int, error) {
	if c.lost(time.Now()) {
		return len(p), nil
	}
	return c.PacketConn.WriteTo(p, addr)
}

// SetReadBuffer and SetWriteBuffer keep quic-go from asking for 14 MB for each host.
func (c *lossyConn) SetReadBuffer(int) error { return nil }

// SetWriteBuffer is like SetReadBuffer.
func (c *lossyConn) SetWriteBuffer(int) error { return nil }

func (c *lossyConn) lost(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.faults.Cut > 0 {
		if c.next.IsZero() {
			c.next = now.Add(c.about(c.faults.Cut))
		}
		if now.After(c.next) {
			c.until = now.Add(c.about(c.faults.Down))
			c.next = c.until.Add(c.about(c.faults.Cut))
		}
		if now.Before(c.until) {
			return true
		}
	}
	return c.random.Float64() < c.faults.Loss
}

// about is a random time with that mean, as between independent events.
func (c *lossyConn) about(mean time.Duration) time.Duration {
	return time.Duration(c.random.ExpFloat64() * float64(mean))
}
