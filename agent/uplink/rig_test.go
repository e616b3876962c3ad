package uplink

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"go.uber.org/goleak"

	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/metric"
	"atalaya/shared/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority is a CA.
type authority struct {
	t    testing.TB
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, key: newKey(t)}
	a.cert = a.certify(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, a.key, 1000*time.Hour)
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) certify(c *x509.Certificate, key *ecdsa.PrivateKey, life time.Duration) *x509.Certificate {
	a.t.Helper()
	c.SerialNumber, c.NotBefore = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour)
	c.NotAfter = c.NotBefore.Add(life)
	parent := a.cert
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

// hostLife is the life of a host's certificate, one hour of which is over.
const hostLife = 169 * time.Hour

// enrolled returns the state folder of a new host.
func (a *authority) enrolled() (dir string, c *identity.Credentials) {
	a.t.Helper()
	dir = a.t.TempDir()
	key := newKey(a.t)
	cert := a.certify(&x509.Certificate{URIs: []*url.URL{identity.HostURI(identity.NewHostID())}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, key, hostLife)
	c, err := identity.NewCredentials(key, cert.Raw, [][]byte{a.cert.Raw})
	if err == nil {
		err = c.Save(dir)
	}
	if err != nil {
		a.t.Fatal(err)
	}
	return dir, c
}

func (a *authority) tls() *tls.Config {
	key := newKey(a.t)
	leaf := a.certify(&x509.Certificate{DNSNames: []string{identity.ServerName}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, key, hostLife)
	cert := &tls.Certificate{Certificate: [][]byte{leaf.Raw, a.cert.Raw}, PrivateKey: key, Leaf: leaf}
	return identity.Collector{Session: wire.ALPN, Enroll: wire.ALPNEnroll, CAs: []*x509.Certificate{a.cert}, Now: time.Now,
		Certificate: func() (*tls.Certificate, error) { return cert, nil }}.TLS()
}

// memory is a Spool that remembers what was asked of it.
type memory struct {
	changed chan struct{}

	mu      sync.Mutex // guards what follows
	epoch   uint64
	batches []wire.Batch // by number from 1; those that are gone have no kind
	acked   []uint64
	dropped []uint64
	series  []metric.Series
}

func newMemory(batches ...wire.Batch) *memory {
	m := &memory{changed: make(chan struct{}, 1), epoch: 7}
	for _, b := range batches {
		m.add(b)
	}
	return m
}

func (m *memory) add(b wire.Batch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b.Epoch, b.Seq = m.epoch, uint64(len(m.batches)+1)
	b.Checksum = b.Sum()
	m.batches = append(m.batches, b)
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

func (m *memory) waiting() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range m.batches {
		if b.Kind != 0 {
			n++
		}
	}
	return n
}

func (m *memory) Position() (epoch, nextSeq uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.epoch, uint64(len(m.batches) + 1)
}

func (m *memory) Next(_, after uint64) (*wire.Batch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := after; i < uint64(len(m.batches)); i++ {
		if b := m.batches[i]; b.Kind != 0 {
			return &b, nil
		}
	}
	return nil, nil
}

func (m *memory) NextInventory(_, after uint64) (*wire.Batch, uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := after; i < uint64(len(m.batches)); i++ {
		if b := m.batches[i]; b.Kind == wire.KindInventory {
			return &b, b.Seq, nil
		}
	}
	return nil, uint64(len(m.batches)), nil
}

func (m *memory) remove(seqs ...uint64) {
	for _, seq := range seqs {
		m.batches[seq-1] = wire.Batch{}
	}
}

func (m *memory) Ack(_ uint64, seqs []uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remove(seqs...)
	m.acked = append(m.acked, seqs...)
	return nil
}

func (m *memory) AckUpTo(_, seq uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for s := uint64(1); s <= seq; s++ {
		m.remove(s)
	}
	return nil
}

func (m *memory) Drop(_, seq uint64, _ string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remove(seq)
	m.dropped = append(m.dropped, seq)
	return nil
}

func (m *memory) NewEpoch() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.epoch++
	return nil
}

func (m *memory) Changed() <-chan struct{} { return m.changed }
func (m *memory) Series() []metric.Series  { return m.series }

// small is a batch of some 20 bytes, large one of a MiB less something, as it travels.
func small() wire.Batch { return wire.Batch{Kind: wire.KindInventory, At: 1} }

func large() wire.Batch {
	u := wire.SectionUpdate{Section: facts.Users, Status: facts.StatusOK, Full: true}
	for range 18 {
		row := make([]byte, 50<<10)
		rand.Read(row)
		u.Put = append(u.Put, row)
	}
	return wire.Batch{Kind: wire.KindInventory, At: 1, Updates: []wire.SectionUpdate{u}}
}

// script is a collector that does what a test wants.
type script struct {
	t    testing.TB
	ln   *quic.Listener
	auth *authority
}

func newScript(t testing.TB) *script {
	t.Helper()
	s := &script{t: t, auth: newAuthority(t)}
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tr := &quic.Transport{Conn: socket}
	t.Cleanup(func() { // also of connections that nobody accepted
		tr.Close()
		socket.Close()
	})
	if s.ln, err = tr.Listen(s.auth.tls(), &quic.Config{MaxIncomingStreams: 8}); err != nil {
		t.Fatal(err)
	}
	return s
}

// agent runs an uplink to the script until the test ends.
func (s *script) agent(m *memory, change func(*Config)) *Uplink {
	s.t.Helper()
	dir, _ := s.auth.enrolled()
	cfg := Config{Address: s.ln.Addr().String(), Dir: dir, Spool: m, Hello: wire.Hello{Hostname: "h"}}
	if change != nil {
		change(&cfg)
	}
	return run(s.t, cfg)
}

// run runs an uplink until the test ends.
func run(t testing.TB, cfg Config) *Uplink {
	u := New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return u
}

// served is a session as the script sees it.
type served struct {
	t       testing.TB
	conn    *quic.Conn
	control *quic.Stream
	hello   wire.Hello
	batches map[wire.Class]*quic.Stream
	readers map[wire.Class]*wire.Reader
}

const patience = 10 * time.Second

// accept takes the next session up to its Hello.
func (s *script) accept() *served {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := s.ln.Accept(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.CloseWithError(0, "") })
	p := &served{t: s.t, conn: conn, batches: map[wire.Class]*quic.Stream{}, readers: map[wire.Class]*wire.Reader{}}
	var class wire.Class
	class, p.control = p.stream()
	t, payload, err := wire.NewReader(p.control, wire.ControlLimits()).Next()
	if err != nil || class != wire.ClassControl || t != wire.TypeHello {
		s.t.Fatalf("stream of class %d, %v, %v; want Hello on the control stream", class, t, err)
	}
	if p.hello, err = wire.DecodeHello(payload); err != nil {
		s.t.Fatal(err)
	}
	return p
}

func (p *served) stream() (wire.Class, *quic.Stream) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	stream, err := p.conn.AcceptStream(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	var class [1]byte
	if _, err := io.ReadFull(stream, class[:]); err != nil {
		p.t.Fatal(err)
	}
	return wire.Class(class[0]), stream
}

func (p *served) say(t wire.Type, payload []byte) {
	p.t.Helper()
	if _, err := p.control.Write(wire.AppendMessage(nil, t, payload)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *served) welcome(w wire.Welcome) {
	p.t.Helper()
	if w.HeartbeatMillis == 0 {
		w.HeartbeatMillis = time.Hour.Milliseconds()
	}
	p.say(wire.TypeWelcome, wire.AppendWelcome(nil, w))
}

func (p *served) goodbye(g wire.Goodbye) { p.say(wire.TypeGoodbye, wire.AppendGoodbye(nil, g)) }

// take takes the numbers of n batches off the stream of a class, and looks for one
// more for a moment when that is not to come.
func (p *served) take(class wire.Class, n int, last bool) (seqs []uint64) {
	p.t.Helper()
	for p.readers[class] == nil {
		c, stream := p.stream()
		p.batches[c], p.readers[c] = stream, wire.NewReader(stream, wire.BatchLimits())
	}
	p.batches[class].SetReadDeadline(time.Now().Add(patience))
	for range n {
		t, payload, err := p.readers[class].Next()
		if err != nil || t != wire.TypeBatch {
			p.t.Fatalf("after %d batches: %v, %v", len(seqs), t, err)
		}
		b, err := wire.DecodeBatch(payload, nil)
		if err != nil {
			p.t.Fatal(err)
		}
		seqs = append(seqs, b.Seq)
	}
	if last {
		p.batches[class].SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if t, _, err := p.readers[class].Next(); err == nil {
			p.t.Errorf("%v after batch %d, want none", t, seqs[len(seqs)-1])
		}
		delete(p.readers, class) // an error spends a reader
		p.readers[class] = wire.NewReader(p.batches[class], wire.BatchLimits())
	}
	return seqs
}

func (p *served) ack(class wire.Class, epoch uint64, seqs ...uint64) {
	p.t.Helper()
	slices.Sort(seqs)
	if _, err := p.batches[class].Write(wire.AppendMessage(nil, wire.TypeAck, wire.AppendAck(nil, wire.Ack{Epoch: epoch, Seqs: seqs}))); err != nil {
		p.t.Fatal(err)
	}
}

// eventually waits for a status.
func eventually(t testing.TB, u *Uplink, what string, holds func(Status) bool) Status {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		st := u.Status()
		if holds(st) {
			return st
		}
		if time.Now().After(end) {
			t.Fatalf("%s did not come: %+v", what, st)
		}
	}
}

func noAddress(context.Context, string) ([]net.Addr, error) {
	return nil, &net.DNSError{Err: "no such host", Name: "collector.test"}
}
