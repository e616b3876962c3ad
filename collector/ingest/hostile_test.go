package ingest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"go.uber.org/goleak"

	"atalaya/shared/identity"
	"atalaya/shared/metric"
	"atalaya/shared/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stores takes everything; it can be held up.
type stores struct {
	mu    sync.Mutex
	taken int
	hold  chan struct{} // when not nil, Apply waits for it
}

func (s *stores) Greet(Greeting) (Welcome, error)               { return Welcome{}, nil }
func (s *stores) Seen(identity.HostID, time.Time)               {}
func (s *stores) Session(identity.HostID, string) MetricSession { return s }
func (s *stores) Define(uint32, metric.Series) error            { return nil }
func (s *stores) Ready(context.Context) error                   { return nil }
func (s *stores) Begin(context.Context) Appender                { return s }
func (s *stores) Append(MetricSession, int64, []metric.Sample)  {}
func (s *stores) Commit() error                                 { return nil }
func (s *stores) Rollback()                                     {}
func (s *stores) Sync() error                                   { return nil }
func (s *stores) Apply(_ context.Context, ds []Delivery) ([]Outcome, error) {
	if s.hold != nil {
		<-s.hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken += len(ds)
	return make([]Outcome, len(ds)), nil
}

// rig is a server on loopback with a CA that knows its hosts by their certificates.
type rig struct {
	t       testing.TB
	ca      *x509.Certificate
	key     *ecdsa.PrivateKey
	server  *Server
	store   *stores
	address net.Addr
	revoked sync.Map // of HostID

	verified atomic.Pointer[func(identity.HostID)] // called after a host was found good
}

func newRig(t testing.TB, change func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, store: &stores{}}
	var err error
	if r.key, err = identity.NewKey(); err != nil {
		t.Fatal(err)
	}
	r.ca = r.certify(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, r.key)
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	leaf := r.certify(&x509.Certificate{DNSNames: []string{identity.ServerName}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, key)
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.address = conn.LocalAddr()
	cfg := Config{Conn: conn, Sink: r.store, Metrics: r.store, Enroller: r, Verifier: r,
		TLS: identity.Collector{Session: wire.ALPN, Enroll: wire.ALPNEnroll, CAs: []*x509.Certificate{r.ca}, Now: time.Now, Certificate: func() (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: [][]byte{leaf.Raw, r.ca.Raw}, PrivateKey: key, Leaf: leaf}, nil
		}}.TLS()}
	if change != nil {
		change(&cfg)
	}
	r.server = New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return r
}

func (r *rig) certify(c *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent := r.ca
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, r.key)
	if err != nil {
		r.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		r.t.Fatal(err)
	}
	return cert
}

// Verify implements Verifier.
func (r *rig) Verify(cert *x509.Certificate) (identity.HostID, error) {
	host, err := identity.HostIDFromCert(cert)
	if _, revoked := r.revoked.Load(host); revoked {
		return host, &Refusal{Code: wire.CodeRevoked}
	}
	if fn := r.verified.Load(); fn != nil && err == nil {
		(*fn)(host)
	}
	return host, err
}

// Enroll implements Enroller.
func (r *rig) Enroll(context.Context, wire.EnrollRequest, netip.Addr) wire.EnrollReply {
	return wire.EnrollReply{Code: wire.CodeTokenUnknown}
}

// hostTLS makes a new host's side of a connection.
func (r *rig) hostTLS(alpn string) (*tls.Config, identity.HostID) {
	host := identity.NewHostID()
	key, err := identity.NewKey()
	if err != nil {
		r.t.Fatal(err)
	}
	cert := r.certify(&x509.Certificate{URIs: []*url.URL{identity.HostURI(host)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, key)
	c, err := identity.NewCredentials(key, cert.Raw, [][]byte{r.ca.Raw})
	if err != nil {
		r.t.Fatal(err)
	}
	return c.TLS(alpn, time.Now), host
}

// peer is a connection that says what a test wants.
type peer struct {
	r    *rig
	conn *quic.Conn
	host identity.HostID
}

func (r *rig) dial(conf *tls.Config) (*quic.Conn, error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := quic.DialAddr(ctx, r.address.String(), conf, &quic.Config{InitialStreamReceiveWindow: 1024, MaxStreamReceiveWindow: 1024})
	if err == nil {
		r.t.Cleanup(func() { conn.CloseWithError(0, "") })
	}
	return conn, err
}

func (r *rig) peer() *peer {
	r.t.Helper()
	conf, host := r.hostTLS(wire.ALPN)
	conn, err := r.dial(conf)
	if err != nil {
		r.t.Fatal(err)
	}
	return &peer{r: r, conn: conn, host: host}
}

// open opens a stream and writes to it.
func (p *peer) open(data ...[]byte) *quic.Stream {
	p.r.t.Helper()
	stream, err := p.conn.OpenStream()
	if err != nil {
		p.r.t.Fatal(err)
	}
	stream.SetDeadline(time.Now().Add(10 * time.Second))
	for _, d := range data {
		if _, err := stream.Write(d); err != nil && p.conn.Context().Err() == nil {
			p.r.t.Logf("write: %v", err)
		}
	}
	return stream
}

func message(t wire.Type, payload []byte) []byte { return wire.AppendMessage(nil, t, payload) }

func control() []byte { return []byte{byte(wire.ClassControl)} }
func batches() []byte { return []byte{byte(wire.ClassBatches)} }

func hello(minVersion, maxVersion uint) []byte {
	return message(wire.TypeHello, wire.AppendHello(nil, wire.Hello{MinVersion: minVersion, MaxVersion: maxVersion, Hostname: "h", Epoch: 1, NextSeq: 1}))
}

// greeted opens a session in order.
func (r *rig) greeted() (*peer, *quic.Stream) {
	r.t.Helper()
	p := r.peer()
	stream := p.open(control(), hello(1, 1))
	if t, _, err := wire.NewReader(stream, wire.ControlLimits()).Next(); err != nil || t != wire.TypeWelcome {
		r.t.Fatalf("%v, %v; want Welcome", t, err)
	}
	return p, stream
}

func batch(seq uint64) []byte {
	b := wire.Batch{Epoch: 1, Seq: seq, Kind: wire.KindInventory, At: 1}
	b.Checksum = b.Sum()
	payload, err := wire.AppendBatch(nil, &b, wire.NewMetricEncoder())
	if err != nil {
		panic(err)
	}
	return message(wire.TypeBatch, payload)
}

// works checks that an honest host is served.
func (r *rig) works() {
	r.t.Helper()
	p, _ := r.greeted()
	stream := p.open(batches(), batch(1))
	t, payload, err := wire.NewReader(stream, wire.ControlLimits()).Next()
	if err != nil || t != wire.TypeAck {
		r.t.Fatalf("honest host: %v, %v; want Ack", t, err)
	}
	if ack, err := wire.DecodeAck(payload); err != nil || len(ack.Seqs) != 1 || ack.Seqs[0] != 1 {
		r.t.Errorf("honest host: %+v, %v", ack, err)
	}
	p.conn.CloseWithError(0, "")
}

// streamCode returns the code with which the collector ends a stream.
func streamCode(t testing.TB, stream *quic.Stream) wire.Code {
	t.Helper()
	_, err := io.Copy(io.Discard, stream)
	var e *quic.StreamError
	var app *quic.ApplicationError
	switch {
	case errors.As(err, &e) && e.Remote:
		return wire.Code(e.ErrorCode)
	case errors.As(err, &app) && app.Remote:
		t.Errorf("the connection ended, not the stream alone: %v", err)
		return wire.Code(app.ErrorCode)
	}
	t.Errorf("stream: %v, want a code", err)
	return 0
}

// connCode returns the code with which the collector ends the connection.
func connCode(t testing.TB, conn *quic.Conn) wire.Code {
	t.Helper()
	select {
	case <-conn.Context().Done():
	case <-time.After(5 * time.Second):
		t.Error("the connection goes on")
		return 0
	}
	var app *quic.ApplicationError
	if err := context.Cause(conn.Context()); !errors.As(err, &app) || !app.Remote {
		t.Errorf("connection: %v, want a code", err)
		return 0
	}
	return wire.Code(app.ErrorCode)
}

func TestBrokenStreamEndsAlone(t *testing.T) {
	damagedBatch := batch(3)
	damagedBatch[len(damagedBatch)-1] ^= 0xff
	huge := append([]byte{byte(wire.TypeBatch) << 1}, 0xff, 0xff, 0xff, 0xff, 0x0f)
	noise := make([]byte, 4096)
	rand.Read(noise)
	cases := map[string]struct {
		data []byte
		code wire.Code
	}{
		"unknown_class":   {[]byte{77}, wire.CodeProtocol},
		"unknown_type":    {append(batches(), message(99, nil)...), wire.CodeProtocol},
		"wrong_type":      {append(batches(), hello(1, 1)...), wire.CodeProtocol},
		"second_control":  {append(control(), hello(1, 1)...), wire.CodeProtocol},
		"wrong_checksum":  {append(batches(), damagedBatch...), wire.CodeProtocol},
		"oversized_frame": {append(batches(), huge...), wire.CodeTooLarge},
		"no_cbor":         {append(batches(), message(wire.TypeBatch, bytes.Repeat([]byte{0xff}, 50))...), wire.CodeProtocol},
	}
	r := newRig(t, nil)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p, _ := r.greeted()
			if code := streamCode(t, p.open(c.data)); code != c.code {
				t.Errorf("code %d, want %d", code, c.code)
			}
			good := p.open(batches(), batch(1))
			if typ, _, err := wire.NewReader(good, wire.ControlLimits()).Next(); err != nil || typ != wire.TypeAck {
				t.Errorf("another stream of the session: %v, %v; want Ack", typ, err)
			}
		})
	}
	r.works()
}

func TestManyBrokenStreamsEndTheSession(t *testing.T) {
	r := newRig(t, nil)
	p, _ := r.greeted()
	for range maxStreamFaults {
		stream, err := p.conn.OpenStreamSync(context.Background())
		if err != nil {
			break
		}
		stream.Write([]byte{99})
		io.Copy(io.Discard, stream)
	}
	if code := connCode(t, p.conn); code != wire.CodeProtocol {
		t.Errorf("code %d, want %d", code, wire.CodeProtocol)
	}
	r.works()
}

func TestNoSessionWithoutAProperHello(t *testing.T) {
	cases := map[string]struct {
		data []byte
		code wire.Code
	}{
		"newer_agent":     {append(control(), hello(wire.Version+1, wire.Version+3)...), wire.CodeVersion},
		"heartbeat_first": {append(control(), message(wire.TypeHeartbeat, wire.AppendHeartbeat(nil, wire.Heartbeat{}))...), wire.CodeProtocol},
		"noise":           {append(control(), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), wire.CodeProtocol},
	}
	r := newRig(t, nil)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := r.peer()
			p.open(c.data)
			if code := connCode(t, p.conn); code != c.code {
				t.Errorf("code %d, want %d", code, c.code)
			}
		})
	}
	r.works()
}

func TestNobodyGetsInWithoutACertificateOfOurs(t *testing.T) {
	r := newRig(t, nil)
	other := newRig(t, nil)
	foreign, _ := other.hostTLS(wire.ALPN)
	foreign.RootCAs = x509.NewCertPool()
	foreign.RootCAs.AddCert(r.ca)
	none, _ := r.hostTLS(wire.ALPN)
	none.Certificates = nil
	unknown, _ := r.hostTLS("h3")
	for name, conf := range map[string]*tls.Config{"foreign_ca": foreign, "no_certificate": none, "unknown_alpn": unknown} {
		t.Run(name, func(t *testing.T) {
			conn, err := r.dial(conf)
			if err == nil {
				select { // in TLS 1.3 the host learns of it after its own handshake
				case <-conn.Context().Done():
					err = context.Cause(conn.Context())
				case <-time.After(5 * time.Second):
				}
			}
			var transport *quic.TransportError
			if !errors.As(err, &transport) || !transport.ErrorCode.IsCryptoError() {
				t.Errorf("%v, want a TLS alert", err)
			}
		})
	}
	r.works()
}

func TestRevokedHostIsRefusedAndItsSessionEnds(t *testing.T) {
	r := newRig(t, nil)
	conf, host := r.hostTLS(wire.ALPN)
	conn, err := r.dial(conf)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{r: r, conn: conn, host: host}
	stream := p.open(control(), hello(1, 1))
	if _, _, err := wire.NewReader(stream, wire.ControlLimits()).Next(); err != nil {
		t.Fatal(err)
	}
	r.revoked.Store(host, true)
	start := time.Now()
	r.server.Revoke(host)
	if code, d := connCode(t, conn), time.Since(start); code != wire.CodeRevoked || d > time.Second {
		t.Errorf("code %d after %v, want %d within a second", code, d, wire.CodeRevoked)
	}
	if conn, err = r.dial(conf); err != nil {
		t.Fatal(err)
	}
	if code := connCode(t, conn); code != wire.CodeRevoked {
		t.Errorf("coming back: code %d, want %d", code, wire.CodeRevoked)
	}
}

// TestRevocationBeforeASessionCanBeFoundEndsIt revokes a host in the moment between the
// look at its certificate and the entry of its session.
func TestRevocationBeforeASessionCanBeFoundEndsIt(t *testing.T) {
	r := newRig(t, nil)
	conf, host := r.hostTLS(wire.ALPN)
	revoke := func(h identity.HostID) {
		if h == host {
			r.revoked.Store(h, true)
			r.server.Revoke(h)
		}
	}
	r.verified.Store(&revoke)
	conn, err := r.dial(conf)
	if err != nil {
		t.Fatal(err)
	}
	if code := connCode(t, conn); code != wire.CodeRevoked {
		t.Errorf("code %d, want %d", code, wire.CodeRevoked)
	}
	r.works()
}

// TestSmallMessagesInOnePacketAreAllTaken: the reader of one message must not hold
// the beginning of the next, for which nobody would look there.
func TestSmallMessagesInOnePacketAreAllTaken(t *testing.T) {
	r := newRig(t, nil)
	p, _ := r.greeted()
	const n = 40
	var all []byte
	for seq := range uint64(n) {
		all = append(all, batch(seq+1)...)
	}
	in := wire.NewReader(p.open(batches(), all), wire.ControlLimits())
	for acked := 0; acked < n; {
		_, payload, err := in.Next()
		if err != nil {
			t.Fatalf("%d of %d acknowledged: %v", acked, n, err)
		}
		ack, err := wire.DecodeAck(payload)
		if err != nil {
			t.Fatal(err)
		}
		acked += len(ack.Seqs)
	}
}

func TestPeerThatNeverReadsIsCutOff(t *testing.T) {
	r := newRig(t, nil)
	p, _ := r.greeted()
	stream := p.open(batches())
	for seq := range uint64(2000) { // the acks fill our window of 1 KiB
		if _, err := stream.Write(batch(seq + 1)); err != nil {
			break
		}
	}
	if code := connCode(t, p.conn); code != wire.CodeProtocol {
		t.Errorf("code %d, want %d", code, wire.CodeProtocol)
	}
	r.works()
}

func TestBatchesBeyondTheWindowAreNotRead(t *testing.T) {
	r := newRig(t, nil)
	r.store.hold = make(chan struct{})
	p, _ := r.greeted()
	stream := p.open(batches())
	stream.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
	sent := 0
	for ; sent < 100_000; sent++ {
		if _, err := stream.Write(batch(uint64(sent + 1))); err != nil {
			break
		}
	}
	if got := len(r.server.queue); got > window {
		t.Errorf("%d batches of one session are queued, window is %d", got, window)
	}
	if sent == 100_000 {
		t.Error("the collector read everything although nothing was committed")
	}
	p.conn.CloseWithError(0, "")
	close(r.store.hold)
}

func TestHostBeyondItsQuotaIsSlowedDown(t *testing.T) {
	r := newRig(t, func(c *Config) { c.BatchesPerMin = 60 })
	p, _ := r.greeted()
	stream := p.open(batches())
	start := time.Now()
	for seq := range uint64(62) {
		if _, err := stream.Write(batch(seq + 1)); err != nil {
			t.Fatal(err)
		}
	}
	in := wire.NewReader(stream, wire.ControlLimits())
	for acked := 0; acked < 62; {
		_, payload, err := in.Next()
		if err != nil {
			t.Fatal(err)
		}
		ack, err := wire.DecodeAck(payload)
		if err != nil {
			t.Fatal(err)
		}
		acked += len(ack.Seqs)
	}
	// 60 at once, then one a second.
	if d := time.Since(start); d < 1900*time.Millisecond || d > 4*time.Second {
		t.Errorf("62 batches took %v, want 2 s", d)
	}
	r.works()
}

func TestEnrolmentTakesOneRequest(t *testing.T) {
	r := newRig(t, nil)
	conf, _ := r.hostTLS(wire.ALPNEnroll)
	conn, err := r.dial(conf)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{r: r, conn: conn}
	stream := p.open(message(wire.TypeEnrollRequest, wire.AppendEnrollRequest(nil, wire.EnrollRequest{Token: []byte("x")})))
	typ, payload, err := wire.NewReader(stream, wire.ControlLimits()).Next()
	if err != nil || typ != wire.TypeEnrollReply {
		t.Fatalf("%v, %v", typ, err)
	}
	if reply, err := wire.DecodeEnrollReply(payload); err != nil || reply.Code != wire.CodeTokenUnknown {
		t.Errorf("%+v, %v", reply, err)
	}
	for name, data := range map[string][]byte{"hello": hello(1, 1), "noise": {0xff, 0xff, 0xff}} {
		conn, err := r.dial(conf)
		if err != nil {
			t.Fatal(err)
		}
		p := &peer{r: r, conn: conn}
		p.open(data).Close()
		if code := connCode(t, conn); code == wire.CodeNone {
			t.Errorf("%s: the connection ended without a code", name)
		}
	}
}

func TestBudgetGivesBackWhatItTook(t *testing.T) {
	b := newBudget()
	all := b.units(1 << 40)
	if err := b.take(context.Background(), all); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := fmt.Errorf("gone")
	cancel(cause)
	if err := b.take(ctx, 2); !errors.Is(err, cause) {
		t.Errorf("take from an empty budget: %v, want %v", err, cause)
	}
	b.give(all)
	if err := b.take(context.Background(), all); err != nil || len(b.tokens) != all {
		t.Errorf("take after give: %v, %d of %d", err, len(b.tokens), all)
	}
}
