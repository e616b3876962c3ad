package uplink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/quic-go/quic-go"

	"atalaya/shared/wire"
)

const (
	// dialTimeout is for one address: three tries of the first packet, and the answer
	// of a busy collector.
	dialTimeout = 10 * time.Second
	idleTimeout = 60 * time.Second // as the collector's

	// The collector sends acks and requests for sections, nothing large.
	streamWindow, maxStreamWindow = 8 << 10, 64 << 10
	connWindow, maxConnWindow     = 16 << 10, 128 << 10
)

// Network is the way out. The zero value is the machine's own.
type Network struct {
	Listen  func() (net.PacketConn, error)
	Resolve func(ctx context.Context, address string) ([]net.Addr, error)
}

func (n Network) listen() (net.PacketConn, error) {
	if n.Listen != nil {
		return n.Listen()
	}
	c, err := net.ListenUDP("udp", nil)
	if err != nil {
		return nil, err
	}
	return plainConn{c}, nil
}

func (n Network) resolve(ctx context.Context, address string) ([]net.Addr, error) {
	if n.Resolve != nil {
		return n.Resolve(ctx, address)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, endf(Failed, "address of the collector %q: %w (want host:port)", address, err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, endf(Failed, "address of the collector %q: port %q is no number up to 65535 (want host:port)", address, port)
	}
	if host == "" {
		return nil, endf(Failed, "address of the collector %q: no host is named (want host:port)", address)
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	addrs := make([]net.Addr, len(ips))
	for i, ip := range ips {
		addrs[i] = net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(number)))
	}
	return addrs, nil
}

// plainConn is a UDP socket without what quic-go would add to it for servers: 14 MB
// of socket buffers, and batches of packets that an agent never has.
type plainConn struct{ conn *net.UDPConn }

func (c plainConn) ReadFrom(p []byte) (int, net.Addr, error)     { return c.conn.ReadFrom(p) }
func (c plainConn) WriteTo(p []byte, addr net.Addr) (int, error) { return c.conn.WriteTo(p, addr) }
func (c plainConn) Close() error                                 { return c.conn.Close() }
func (c plainConn) LocalAddr() net.Addr                          { return c.conn.LocalAddr() }
func (c plainConn) SetDeadline(t time.Time) error                { return c.conn.SetDeadline(t) }
func (c plainConn) SetReadDeadline(t time.Time) error            { return c.conn.SetReadDeadline(t) }
func (c plainConn) SetWriteDeadline(t time.Time) error           { return c.conn.SetWriteDeadline(t) }
func (c plainConn) SetReadBuffer(int) error                      { return nil }
func (c plainConn) SetWriteBuffer(int) error                     { return nil }

// connection is a QUIC connection with its socket.
type connection struct {
	*quic.Conn
	transport *quic.Transport
}

// dial connects to the address; try picks one when its name has several.
func (n Network) dial(ctx context.Context, address string, conf *tls.Config, try int, now func() time.Time) (*connection, error) {
	dialing, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	explain := func(err error) error {
		if ended(ctx, err) {
			return ctx.Err()
		}
		return peer{address: address, own: ownCertificate(conf), now: now()}.explain(err)
	}
	addrs, err := n.resolve(dialing, address)
	if err != nil {
		return nil, explain(err)
	}
	if len(addrs) == 0 {
		return nil, endf(Unreachable, "the collector's name in %s has no address (check it, or the DNS of this host)", address)
	}
	socket, err := n.listen()
	if err != nil {
		return nil, endf(Failed, "open a UDP socket: %w", err)
	}
	tr := &quic.Transport{Conn: socket}
	conn, err := tr.Dial(dialing, addrs[try%len(addrs)], conf, &quic.Config{
		HandshakeIdleTimeout:           dialTimeout / 2,
		MaxIdleTimeout:                 idleTimeout,
		InitialStreamReceiveWindow:     streamWindow,
		MaxStreamReceiveWindow:         maxStreamWindow,
		InitialConnectionReceiveWindow: connWindow,
		MaxConnectionReceiveWindow:     maxConnWindow,
		MaxIncomingStreams:             -1,
		MaxIncomingUniStreams:          -1,
		DisablePathMTUDiscovery:        true, // its probes cost more than they save at an agent's rate
	})
	c := &connection{Conn: conn, transport: tr}
	if err != nil {
		c.close(wire.CodeNone)
		return nil, explain(err)
	}
	return c, nil
}

// ownCertificate is what we show to the collector, nil on enrolment with a token.
func ownCertificate(conf *tls.Config) *x509.Certificate {
	if len(conf.Certificates) == 0 {
		return nil
	}
	return conf.Certificates[0].Leaf
}

// close ends the connection and its socket. What the socket says does not matter any more.
func (c *connection) close(code wire.Code) {
	if c.Conn != nil {
		c.CloseWithError(quic.ApplicationErrorCode(code), "")
	}
	c.transport.Close()
	c.transport.Conn.Close()
}
