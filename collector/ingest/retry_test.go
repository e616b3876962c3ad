package ingest

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"atalaya/shared/wire"
)

// watchedConn counts the Retry packets that come, or loses all that comes.
type watchedConn struct {
	net.PacketConn
	lose    bool
	retries *atomic.Int32
}

func (c *watchedConn) SetReadBuffer(int) error  { return nil }
func (c *watchedConn) SetWriteBuffer(int) error { return nil }

func (c *watchedConn) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, from, err := c.PacketConn.ReadFrom(p)
		if err == nil && n > 0 && p[0]&0xf0 == 0xf0 { // RFC 9000 section 17.2.5
			c.retries.Add(1)
		}
		if err != nil || !c.lose {
			return n, from, err
		}
	}
}

// dialWatched dials until ctx ends.
func (r *rig) dialWatched(ctx context.Context, conf *tls.Config, watched *watchedConn) (err error) {
	if watched.PacketConn, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
		return err
	}
	defer watched.PacketConn.Close()
	tr := &quic.Transport{Conn: watched}
	defer tr.Close()
	conn, err := tr.Dial(ctx, r.address, conf, &quic.Config{})
	if err != nil {
		return err
	}
	return conn.CloseWithError(0, "")
}

// honest dials once, and returns how many Retry packets came: one for each packet of
// the first flight, which may be two.
func (r *rig) honest() int32 {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conf, _ := r.hostTLS(wire.ALPN)
	var retries atomic.Int32
	if err := r.dialWatched(ctx, conf, &watchedConn{retries: &retries}); err != nil {
		r.t.Fatal(err)
	}
	return retries.Load()
}

// TestManyHalfOpenHandshakesMakeAddressesBeValidated sends first packets and ignores
// what comes back, as a flood from forged addresses does.
func TestManyHalfOpenHandshakesMakeAddressesBeValidated(t *testing.T) {
	const limit, flood = 4, 24
	r := newRig(t, func(c *Config) { c.HalfOpen = limit })
	if n := r.honest(); n != 0 {
		t.Errorf("%d Retry packets with nobody else, want 0", n)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	conf, _ := r.hostTLS(wire.ALPN)
	var retries [flood]atomic.Int32
	var dials sync.WaitGroup
	for i := range retries {
		dials.Go(func() { r.dialWatched(ctx, conf, &watchedConn{lose: true, retries: &retries[i]}) })
	}
	// Those that come at the same time may each see room.
	eventually(t, "the limit of half-open handshakes", func() bool {
		asked := 0
		for i := range retries {
			asked += int(min(retries[i].Load(), 1))
		}
		return asked >= flood-2*limit
	})
	if n := r.arriving(); n < limit || n > 2*limit {
		t.Errorf("%d handshakes are half open, the limit is %d", n, limit)
	}
	if n := r.honest(); n == 0 {
		t.Error("the address of an honest host is not validated in the flood")
	}
	cancel()
	dials.Wait()
	eventually(t, "the end of the half-open handshakes", func() bool { return r.arriving() == 0 })
	if n := r.honest(); n != 0 {
		t.Errorf("%d Retry packets after the flood, want 0", n)
	}
}

// arriving is how many are on their way in.
func (r *rig) arriving() int {
	n, _ := r.server.arrivals.look(netip.Addr{})
	return n
}

// TestNoMoreArriveThanCanBeServed: of many that come at once and stay on their way in,
// those beyond the places of one address are refused at once, and others have theirs.
func TestNoMoreArriveThanCanBeServed(t *testing.T) {
	r := newRig(t, nil)
	conf, _ := r.hostTLS(wire.ALPN)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	first := make([]*quic.Conn, maxFromOne) // they never say Hello
	for i := range first {
		var err error
		if first[i], err = r.dial(conf); err != nil {
			t.Fatal(err)
		}
	}
	begun := time.Now()
	err := r.dialWatched(ctx, conf, &watchedConn{retries: new(atomic.Int32)})
	var refused *quic.TransportError
	if !errors.As(err, &refused) || refused.ErrorCode != quic.ConnectionRefused || time.Since(begun) > handshakeTimeout {
		t.Errorf("%v after %v, want a refusal at once", err, time.Since(begun))
	}
	if n := r.server.Stats().Refused[wire.CodeOverload]; n == 0 {
		t.Error("the refusal is not counted")
	}
	if _, room := r.server.arrivals.look(netip.MustParseAddr("192.0.2.1")); !room {
		t.Error("one address took the places of all")
	}
	first[0].CloseWithError(0, "")
	eventually(t, "a place", func() bool { return r.arriving() < maxFromOne })
	r.greeted() // and what has its session needs none
	eventually(t, "the end of its arrival", func() bool { return r.arriving() < maxFromOne })
}

// TestArrivalsCountByAddress: an IPv6 network is one address, and the map ends empty.
func TestArrivalsCountByAddress(t *testing.T) {
	var a arrivals
	udp := func(s string) netip.Addr { return source(net.UDPAddrFromAddrPort(netip.MustParseAddrPort(s))) }
	if one, two := udp("[2001:db8::1]:5"), udp("[2001:db8::ffff:2]:9"); one != two {
		t.Errorf("%s and %s of one network", one, two)
	}
	if mapped, v4 := udp("[::ffff:192.0.2.1]:5"), udp("192.0.2.1:7"); mapped != v4 {
		t.Errorf("%s and %s are one address", mapped, v4)
	}
	for i := range maxArriving + 100 {
		if a.enter(netip.AddrFrom4([4]byte{10, 0, byte(i / 50), 1})) != (i < maxArriving) {
			t.Fatalf("arrival %d", i)
		}
	}
	for i := range maxArriving {
		a.leave(netip.AddrFrom4([4]byte{10, 0, byte(i / 50), 1}))
	}
	if a.all != 0 || len(a.from) != 0 {
		t.Errorf("%d left, %v", a.all, a.from)
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(15 * time.Second); !holds(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s did not come", what)
		}
	}
}
