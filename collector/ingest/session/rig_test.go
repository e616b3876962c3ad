// Package session tests agent and collector together over QUIC: spool and uplink on
// the one side, ingest on the other, with stores that keep a ledger.
package session

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"atalaya/agent/spool"
	"atalaya/agent/uplink"
	"atalaya/collector/ingest"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/metric"
	"atalaya/shared/wire"
)

// authority is a CA that remembers keys, as package enroll does.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	leaf atomic.Pointer[tls.Certificate]

	mu      sync.Mutex
	hosts   map[[32]byte]identity.HostID
	revoked map[[32]byte]bool
	tokens  map[string]*[32]byte // secret -> key that used it
	life    time.Duration        // of host certificates
	skew    atomic.Int64         // of the collector's clock, a time.Duration
}

func (a *authority) now() time.Time { return time.Now().Add(time.Duration(a.skew.Load())) }

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{hosts: map[[32]byte]identity.HostID{}, revoked: map[[32]byte]bool{}, tokens: map[string]*[32]byte{}, life: 7 * 24 * time.Hour}
	var err error
	if a.key, err = identity.NewKey(); err != nil {
		t.Fatal(err)
	}
	a.cert = a.sign(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, Subject: pkix.Name{CommonName: "test CA"}}, a.key, 10*365*24*time.Hour)
	a.newLeaf(t)
	return a
}

// newLeaf makes the collector's own certificate, as each start does.
func (a *authority) newLeaf(t testing.TB) {
	t.Helper()
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	leaf := a.sign(t, &x509.Certificate{DNSNames: []string{identity.ServerName}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, key, 365*24*time.Hour)
	a.leaf.Store(&tls.Certificate{Certificate: [][]byte{leaf.Raw, a.cert.Raw}, PrivateKey: key, Leaf: leaf})
}

func (a *authority) sign(t testing.TB, c *x509.Certificate, key *ecdsa.PrivateKey, life time.Duration) *x509.Certificate {
	t.Helper()
	der, err := a.certify(c, &key.PublicKey, life)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func (a *authority) certify(c *x509.Certificate, key *ecdsa.PublicKey, life time.Duration) ([]byte, error) {
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	c.NotBefore, c.NotAfter = a.now().Add(-time.Hour), a.now().Add(life)
	parent := a.cert
	if parent == nil {
		parent = c
	}
	return x509.CreateCertificate(rand.Reader, c, parent, key, a.key)
}

func (a *authority) tls() *tls.Config {
	return identity.Collector{Session: wire.ALPN, Enroll: wire.ALPNEnroll, CAs: []*x509.Certificate{a.cert}, Now: a.now,
		Certificate: func() (*tls.Certificate, error) { return a.leaf.Load(), nil }}.TLS()
}

func (a *authority) token() identity.Token {
	token := identity.Token{Address: "collector.test:7443"}
	token.CAPin, _ = identity.KeyHash(&a.key.PublicKey)
	rand.Read(token.Secret[:])
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tokens[string(token.Secret[:])] = nil
	return token
}

// Enroll implements ingest.Enroller.
func (a *authority) Enroll(_ context.Context, r wire.EnrollRequest, _ netip.Addr) wire.EnrollReply {
	csr, err := x509.ParseCertificateRequest(r.CSR)
	if err != nil || csr.CheckSignature() != nil {
		return wire.EnrollReply{Code: wire.CodeProtocol, Reason: "bad request"}
	}
	hash, _ := identity.KeyHash(csr.PublicKey)
	a.mu.Lock()
	defer a.mu.Unlock()
	host, known := a.hosts[hash]
	if len(r.Token) > 0 {
		used, exists := a.tokens[string(r.Token)]
		switch {
		case !exists:
			return wire.EnrollReply{Code: wire.CodeTokenUnknown}
		case used != nil && *used != hash:
			return wire.EnrollReply{Code: wire.CodeTokenUsed}
		}
		a.tokens[string(r.Token)] = &hash
		if !known {
			host = identity.NewHostID()
			a.hosts[hash] = host
		}
	} else if !known {
		return wire.EnrollReply{Code: wire.CodeNotEnrolled}
	}
	if a.revoked[hash] {
		return wire.EnrollReply{Code: wire.CodeRevoked}
	}
	der, err := a.certify(&x509.Certificate{URIs: []*url.URL{identity.HostURI(host)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, csr.PublicKey.(*ecdsa.PublicKey), a.life)
	if err != nil {
		return wire.EnrollReply{Code: wire.CodeInternal}
	}
	return wire.EnrollReply{HostID: host.String(), Certificate: der, CAs: [][]byte{a.cert.Raw}}
}

// Verify implements ingest.Verifier.
func (a *authority) Verify(cert *x509.Certificate) (identity.HostID, error) {
	hash, err := identity.KeyHash(cert.PublicKey)
	if err != nil {
		return identity.HostID{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	host, known := a.hosts[hash]
	switch {
	case a.revoked[hash]:
		return host, &ingest.Refusal{Code: wire.CodeRevoked}
	case !known:
		return host, &ingest.Refusal{Code: wire.CodeUnknownHost}
	}
	return host, nil
}

func (a *authority) revoke(host identity.HostID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for hash, h := range a.hosts {
		if h == host {
			a.revoked[hash] = true
		}
	}
}

type batchName struct {
	host       identity.HostID
	epoch, seq uint64
}

// ledger is both stores of a collector, in memory. It can be told to fail.
type ledger struct {
	mu      sync.Mutex
	err     error
	full    error         // of the store of metrics alone
	loading chan struct{} // the store of metrics takes nothing before it is closed; nil: it takes
	panicOn wire.Kind
	taken   map[batchName]uint32 // checksums
	twice   int                  // deliveries of a batch that was there
	frames  map[int64]int        // by time, how often appended
	values  map[string]float64   // last value of each series
	names   map[identity.HostID]map[uint32]string
	live    []bool // of the greetings
	hellos  []wire.Hello
	losses  []wire.Loss
	seen    int
	resync  []facts.ID
	highSum uint32
	highSeq uint64 // answer to Hello when not 0
}

func newLedger() *ledger {
	return &ledger{taken: map[batchName]uint32{}, frames: map[int64]int{}, values: map[string]float64{}, names: map[identity.HostID]map[uint32]string{}}
}

func (l *ledger) set(fn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fn()
}

func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.taken)
}

// Greet implements ingest.Sink.
func (l *ledger) Greet(g ingest.Greeting) (ingest.Welcome, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hellos = append(l.hellos, g.Hello)
	l.live = append(l.live, g.Live)
	if l.highSeq != 0 {
		return ingest.Welcome{HighSeq: l.highSeq, HighSum: l.highSum}, nil
	}
	high := uint64(0)
	for ; ; high++ {
		if _, ok := l.taken[batchName{g.Host, g.Hello.Epoch, high + 1}]; !ok {
			return ingest.Welcome{HighSeq: high}, nil
		}
	}
}

// Apply implements ingest.Sink.
func (l *ledger) Apply(_ context.Context, ds []ingest.Delivery) ([]ingest.Outcome, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil, l.err
	}
	out := make([]ingest.Outcome, len(ds))
	for _, d := range ds {
		if d.Batch.Kind == l.panicOn {
			panic("told to")
		}
	}
	for i, d := range ds {
		name := batchName{d.Host, d.Batch.Epoch, d.Batch.Seq}
		if _, there := l.taken[name]; there {
			l.twice++
			out[i].Duplicate = true
			continue
		}
		l.taken[name] = d.Batch.Checksum
		l.losses = append(l.losses, d.Batch.Losses...)
		if d.Batch.Kind == wire.KindInventory {
			out[i].Resync, l.resync = l.resync, nil
		}
	}
	return out, nil
}

// Seen implements ingest.Sink.
func (l *ledger) Seen(identity.HostID, time.Time) { l.set(func() { l.seen++ }) }

// Session implements ingest.Metrics.
func (l *ledger) Session(host identity.HostID, _ string) ingest.MetricSession {
	return &ledgerSession{l, map[uint32]string{}}
}

type ledgerSession struct {
	l     *ledger
	names map[uint32]string
}

// Define implements ingest.MetricSession.
func (s *ledgerSession) Define(number uint32, def metric.Series) error {
	s.l.set(func() { s.names[number] = fmt.Sprint(def.Name, def.Labels) })
	return nil
}

// Ready implements ingest.Metrics.
func (l *ledger) Ready(ctx context.Context) error {
	if l.loading == nil {
		return nil
	}
	select {
	case <-l.loading:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Begin implements ingest.Metrics.
func (l *ledger) Begin(context.Context) ingest.Appender { return &ledgerAppender{l: l} }

// Sync implements ingest.Metrics.
func (l *ledger) Sync() error { return nil }

type ledgerAppender struct {
	l    *ledger
	todo []func()
}

// Append implements ingest.Appender.
func (a *ledgerAppender) Append(s ingest.MetricSession, at int64, samples []metric.Sample) {
	a.todo = append(a.todo, func() {
		a.l.frames[at]++
		for _, sample := range samples {
			name, defined := s.(*ledgerSession).names[sample.Series]
			if !defined {
				panic("sample of a series that was never defined")
			}
			a.l.values[name] = sample.Value
		}
	})
}

// Commit implements ingest.Appender.
func (a *ledgerAppender) Commit() error {
	a.l.mu.Lock()
	defer a.l.mu.Unlock()
	if a.l.full != nil {
		return a.l.full
	}
	for _, fn := range a.todo {
		fn()
	}
	return nil
}

// Rollback implements ingest.Appender.
func (a *ledgerAppender) Rollback() {}

// collector is a running server.
type collector struct {
	*ingest.Server
	stop func()
}

func startCollector(t testing.TB, conn net.PacketConn, a *authority, store *ledger, change func(*ingest.Config)) *collector {
	t.Helper()
	cfg := ingest.Config{Conn: conn, TLS: a.tls(), Sink: store, Metrics: store, Enroller: a, Verifier: a, Now: a.now, ResetKey: [32]byte{1}, TokenKey: [32]byte{2}}
	if change != nil {
		change(&cfg)
	}
	c := &collector{Server: ingest.New(cfg)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	c.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("collector: %v", err)
		}
	})
	return c
}

// agent is a host with spool and uplink.
type agent struct {
	t     testing.TB
	dir   string
	spool *spool.Spool
	up    *uplink.Uplink
	run   uint64 // that its Hello tells
	net   uplink.Network
	stop  func()
	sent  map[batchName]uint32 // what the spool was given
	host  identity.HostID
	now   func() time.Time                // nil: right
	wrap  func(*spool.Spool) uplink.Spool // nil: as it is
}

var desc = metric.Desc{Name: "node_test", Decimals: 2, Labels: []string{"n"}}

// newAgent enrols a host and opens its spool; it does not run yet.
func newAgent(t testing.TB, a *authority, n uplink.Network) *agent {
	t.Helper()
	g := &agent{t: t, dir: t.TempDir(), net: n, sent: map[batchName]uint32{}}
	token := a.token()
	creds, err := uplink.Enroll(context.Background(), uplink.Enrolment{Dir: g.dir, Token: &token, Hostname: "test", Network: n})
	if err != nil {
		t.Fatalf("Enroll: %v", err)
	}
	if g.host, err = creds.HostID(); err != nil {
		t.Fatal(err)
	}
	if g.spool, err = spool.Open(g.dir, spool.Config{}); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *agent) start() {
	var source uplink.Spool = g.spool
	if g.wrap != nil {
		source = g.wrap(g.spool)
	}
	g.up = uplink.New(uplink.Config{Address: "collector.test:7443", Dir: g.dir, Spool: source, Network: g.net, Now: g.now, Hello: wire.Hello{Run: g.run},
		Resync: func(ids []facts.ID) {
			if err := g.spool.Resync(ids); err != nil {
				g.t.Errorf("Resync: %v", err)
			}
		}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.up.Run(ctx) }()
	g.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			g.t.Errorf("uplink: %v", err)
		}
	})
}

func (g *agent) close() {
	if g.stop != nil {
		g.stop()
	}
	if err := g.spool.Close(); err != nil {
		g.t.Errorf("spool: %v", err)
	}
}

// append gives the spool a frame of n samples, and notes its name.
func (g *agent) append(at int64, n int) {
	g.t.Helper()
	f := testFrame(g.spool, at, n)
	epoch, next := g.spool.Position()
	if err := g.spool.AppendMetrics([]metric.Frame{f}); err != nil {
		g.t.Fatalf("AppendMetrics: %v", err)
	}
	b := wire.Batch{Kind: wire.KindMetrics, At: at, Frames: []metric.Frame{f}}
	g.sent[batchName{g.host, epoch, next}] = b.Sum()
}

// testFrame makes a frame of n samples that change slowly, in hundredths.
func testFrame(s *spool.Spool, at int64, n int) metric.Frame {
	f := metric.Frame{At: at}
	for i := range n {
		id, _ := s.Dictionary().ID(&desc, fmt.Sprint(i))
		f.Samples = append(f.Samples, metric.Sample{Series: id, Value: float64((at/1000+int64(i)*7)%100000) / 100})
	}
	return f
}

// inventory gives the spool a reading of n users with long names.
func (g *agent) inventory(at int64, n, long int) {
	g.t.Helper()
	r := facts.Reading{Section: facts.Users, Status: facts.StatusOK, At: facts.Time(at)}
	for i := range n {
		gecos := make([]byte, long)
		rand.Read(gecos)
		r.Rows = append(r.Rows, &facts.UserRow{Name: fmt.Sprintf("u%05d", i), UID: at, Gecos: fmt.Sprintf("%x", gecos)})
	}
	epoch, next := g.spool.Position()
	if err := g.spool.AppendInventory([]facts.Reading{r}); err != nil {
		g.t.Fatalf("AppendInventory: %v", err)
	}
	for _, end := g.spool.Position(); next < end; next++ {
		g.sent[batchName{g.host, epoch, next}] = 0
	}
}

// waitFor polls until what holds; in a bubble that costs nothing.
func waitFor(t testing.TB, limit time.Duration, what string, holds func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !holds() {
		if time.Since(start) > limit {
			t.Fatalf("%s did not happen within %v", what, limit)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(start)
}

func (g *agent) waitDrained(limit time.Duration) time.Duration {
	g.t.Helper()
	return waitFor(g.t, limit, "the spool's end", func() bool { return g.spool.Stats().Batches == 0 })
}

// checkLedger compares what the store has with what the spool was given.
func checkLedger(t testing.TB, l *ledger, agents ...*agent) {
	t.Helper()
	want := map[batchName]uint32{}
	for _, g := range agents {
		maps.Copy(want, g.sent)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, sum := range want {
		if got, ok := l.taken[name]; !ok {
			t.Errorf("batch %d is missing", name.seq)
		} else if sum != 0 && got != sum {
			t.Errorf("batch %d has another content", name.seq)
		}
	}
	if len(l.taken) != len(want) {
		t.Errorf("store has %d batches, want %d", len(l.taken), len(want))
	}
}

var errTold = errors.New("no space left on device")
