// Package ingest is the collector's end of the wire: it accepts sessions and
// enrolments on one UDP port, keeps hosts within their limits, and hands batches to
// the stores in groups.
//
// It hides QUIC, framing, group commit, quotas and who is connected. The invariants:
// a batch is acknowledged only after both stores have it durably; a host is named by
// its certificate alone and has one session; nothing that one agent does, short of
// filling the network, takes memory or time from the others without limit. All
// goroutines belong to Run and have ended when it returns. What travels is described
// in docs/protocol.md.
package ingest

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/metric"
	"atalaya/shared/wire"
)

// Delivery is a batch with the host whose certificate brought it.
type Delivery struct {
	Host     identity.HostID
	Batch    *wire.Batch
	Received time.Time
}

// Outcome of one delivery.
type Outcome struct {
	Duplicate bool       // it was taken before; acknowledged again
	Resync    []facts.ID // sections of which we need all rows
	// Err refuses this batch for good: it is acknowledged, so that the agent does not
	// send it for ever, and counted as refused.
	Err error
	// Failed says that the sink could not take this batch while it could take others:
	// its records of the host are damaged. The batch is not acknowledged and the session
	// ends, so that the agent keeps what it has until the records are mended.
	Failed error
}

// Greeting is how a session begins.
type Greeting struct {
	Host  identity.HostID
	Hello wire.Hello
	From  netip.Addr
	At    time.Time
	// Live says that another run of the host's agent has a session and answers on it:
	// two have one key.
	Live bool
}

// Welcome is what the sink answers.
type Welcome struct {
	HighSeq  uint64 // all batches of the epoch up to it are durable
	HighSum  uint32 // its checksum; 0: not known
	Identity string // who the host is taken for, for people
}

// Sink is the store of facts.
type Sink interface {
	// Greet takes what a host says of itself when it begins a session. A *Refusal ends
	// the session with its code, and the one that the host has goes on.
	Greet(g Greeting) (Welcome, error)
	// Apply takes deliveries in one transaction. Outcomes are in their order. With an
	// error nothing was taken, and nothing is acknowledged.
	Apply(ctx context.Context, ds []Delivery) ([]Outcome, error)
	// Seen tells that a host is alive; it must not block.
	Seen(host identity.HostID, at time.Time)
}

// Metrics is the store of samples.
type Metrics interface {
	Session(host identity.HostID, hostname string) MetricSession
	// Ready waits until samples can be taken: after a start the store may still be reading
	// its files. An error means that ctx has ended, or the store.
	Ready(ctx context.Context) error
	// Begin opens a write; one is open at a time.
	Begin(ctx context.Context) Appender
	// Sync makes all that was committed durable.
	Sync() error
}

// MetricSession resolves the series numbers of one connection. Define may be called
// while samples of other numbers are appended; an error refuses the series alone.
type MetricSession interface {
	Define(number uint32, s metric.Series) error
}

// Appender takes frames. What it cannot take (too old, refused series) it counts; it
// fails as a whole only in Commit. Samples that it already has are no fault.
type Appender interface {
	Append(s MetricSession, at int64, samples []metric.Sample)
	Commit() error
	Rollback()
}

// Enroller answers requests for certificates.
type Enroller interface {
	Enroll(ctx context.Context, r wire.EnrollRequest, from netip.Addr) wire.EnrollReply
}

// Verifier says which host a certificate names that our CA has signed. A *Refusal
// ends the connection with its code: the key is revoked, the host is not known.
type Verifier interface {
	Verify(cert *x509.Certificate) (identity.HostID, error)
}

// Refusal is an error that the agent is told.
type Refusal struct {
	Code   wire.Code
	Reason string
	After  time.Duration // before which the agent is not to come back
	Err    error         // what is behind it, when the fault is ours: for our log alone
}

// Damaged is the Refusal for a host of whom the sink's records are damaged. The agent
// keeps what it has, and tries again.
func Damaged(err error) *Refusal {
	return &Refusal{Code: wire.CodeStorage, After: storageRetry, Err: err,
		Reason: "the collector's records of this host are damaged, its log names them: restore the collector's state from a backup"}
}

func (r *Refusal) Error() string { return fmt.Sprintf("refused with code %d: %s", r.Code, r.Reason) }

// Config of a Server. Conn, TLS, Sink, Metrics, Enroller and Verifier are required;
// the other zero fields take the defaults.
type Config struct {
	Conn     net.PacketConn // the UDP port; Run closes it
	TLS      *tls.Config    // see identity.Collector
	Sink     Sink
	Metrics  Metrics
	Enroller Enroller
	Verifier Verifier
	// ResetKey lets agents notice at once that the collector was restarted: it is to
	// be the same each time. TokenKey likewise for validated addresses.
	ResetKey, TokenKey [32]byte

	// Heartbeat: an agent sends something at least this often; below idleTimeout. The
	// default of 35 s costs an agent that measures each minute one heartbeat a minute,
	// 0.3 MB a day; one that measures more often sends none.
	Heartbeat      time.Duration
	BytesPerSecond int // of one host, inflated: that is what costs us. Default 1 MiB, 16 MiB at once
	BatchesPerMin  int // of one host. Default 3,000, and as many at once
	HalfOpen       int // agents on their way in from which on addresses are validated first. Default 128

	Now func() time.Time // Default time.Now
	Log *slog.Logger     // Default none
}

// Limits that nobody has needed to change.
const (
	handshakeTimeout = 5 * time.Second  // quic-go's default; the whole handshake may take twice that
	idleTimeout      = 60 * time.Second // more than a heartbeat and its repetitions
	helloTimeout     = 10 * time.Second // from the handshake to the Hello
	frameTimeout     = 30 * time.Second // between two pieces of a message
	maxStreams       = 8                // the protocol has three
	maxStreamFaults  = 8                // broken streams after which the session ends
	maxEnrolments    = 64               // at once
	enrolTimeout     = 15 * time.Second
	lingerTime       = time.Second // for the agent to read a Goodbye and leave
	// samplesGrace is what a session has for its inventory when its samples were refused.
	samplesGrace = 5 * time.Second

	// streamWindow and connWindow are what an agent may send ahead of our reading:
	// with them 10,000 agents cannot make us hold more than 10 GB, and no honest agent
	// comes near (its window is 64 batches, and we read as fast as they come).
	streamWindow, maxStreamWindow = 32 << 10, 512 << 10
	connWindow, maxConnWindow     = 64 << 10, 1 << 20

	// storageRetry is when agents are to come back after we could not write.
	storageRetry = 30 * time.Second
	// shutdownSpread is the time over which agents come back after a restart: 10,000
	// handshakes take 14 s of a core.
	shutdownSpread = 20 * time.Second
)

// Server accepts agents.
type Server struct {
	cfg       Config
	queue     chan *pending
	budget    *budget
	enrolling chan struct{}
	arrivals  arrivals
	counters  counters

	controlReaders, batchReaders sync.Pool // of *reader

	mu       sync.Mutex // guards what follows
	hosts    map[identity.HostID]*hostState
	closing  bool
	sweepAt  time.Time
	sessions int
}

// New returns a server that is not yet running.
func New(cfg Config) *Server {
	cfg.Heartbeat = cmp.Or(cfg.Heartbeat, 35*time.Second)
	cfg.BytesPerSecond = cmp.Or(cfg.BytesPerSecond, 1<<20)
	cfg.BatchesPerMin = cmp.Or(cfg.BatchesPerMin, 3000)
	cfg.HalfOpen = cmp.Or(cfg.HalfOpen, 128)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{
		cfg:       cfg,
		queue:     make(chan *pending, maxGroup),
		budget:    newBudget(),
		enrolling: make(chan struct{}, maxEnrolments),
		hosts:     make(map[identity.HostID]*hostState),

		controlReaders: sync.Pool{New: newReader(wire.ControlLimits())},
		batchReaders:   sync.Pool{New: newReader(wire.BatchLimits())},
	}
}

// Run serves until ctx ends, then tells the agents, lets what was received be
// committed, and returns.
func (s *Server) Run(ctx context.Context) (err error) {
	tr := &quic.Transport{
		Conn:                s.cfg.Conn,
		StatelessResetKey:   (*quic.StatelessResetKey)(&s.cfg.ResetKey),
		TokenGeneratorKey:   (*quic.TokenGeneratorKey)(&s.cfg.TokenKey),
		VerifySourceAddress: s.doubted,
		ConnContext:         s.arriving,
	}
	defer func() { err = errors.Join(err, tr.Close(), ignoreClosed(s.cfg.Conn.Close())) }()
	ln, err := tr.Listen(s.cfg.TLS, &quic.Config{
		HandshakeIdleTimeout:           handshakeTimeout,
		MaxIdleTimeout:                 idleTimeout,
		InitialStreamReceiveWindow:     streamWindow,
		MaxStreamReceiveWindow:         maxStreamWindow,
		InitialConnectionReceiveWindow: connWindow,
		MaxConnectionReceiveWindow:     maxConnWindow,
		MaxIncomingStreams:             maxStreams,
		MaxIncomingUniStreams:          -1,
		DisablePathMTUDiscovery:        true, // we send hundreds of bytes a minute: its probes are all cost
	})
	if err != nil {
		return fmt.Errorf("listen for agents: %w", err)
	}
	// Commits and the writing of what has been received outlast ctx: they end when the
	// sessions have.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	committed := make(chan struct{})
	go func() { defer close(committed); s.commitAll(work) }()

	var sessions sync.WaitGroup
	for {
		conn, err := ln.Accept(ctx)
		if err != nil {
			break
		}
		sessions.Go(func() { s.serve(ctx, work, conn) })
	}
	err = ln.Close()
	s.shutdown()
	sessions.Wait()
	close(s.queue)
	<-committed
	return err
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// serve is the life of a connection; work outlasts ctx, so that a session ends in
// order. Whatever an agent sends, a fault in the code that handles it ends this
// connection and nothing else.
func (s *Server) serve(ctx, work context.Context, conn *quic.Conn) {
	defer s.recovered(conn)
	switch protocol(conn) {
	case wire.ALPNEnroll:
		s.serveEnrolment(ctx, conn)
	case wire.ALPN:
		s.serveSession(work, conn)
	default:
		s.refuse(conn, &Refusal{Code: wire.CodeVersion, Reason: "unknown protocol"})
	}
}

// protocol returns the ALPN name. Nothing of the connection's state, a large struct, is
// to stay on the stack of serve, see stream.go; hence not inlined.
//
//go:noinline
func protocol(conn *quic.Conn) string { return conn.ConnectionState().TLS.NegotiatedProtocol }

func (s *Server) recovered(conn *quic.Conn) {
	if r := recover(); r != nil {
		s.counters.panics.Add(1)
		s.cfg.Log.Error("session failed", "remote", conn.RemoteAddr().String(), "panic", fmt.Sprint(r))
		s.refuse(conn, &Refusal{Code: wire.CodeInternal, Reason: "the collector failed to handle a message"})
	}
}

// refuse ends a connection with a code and counts it.
func (s *Server) refuse(conn *quic.Conn, r *Refusal) {
	s.counters.refused(r.Code)
	conn.CloseWithError(quic.ApplicationErrorCode(r.Code), r.Reason)
}

// refusalOf returns what the agent is told of an error, and logs a fault of ours; what
// the agent is not to know becomes CodeInternal.
func (s *Server) refusalOf(err error, host identity.HostID) *Refusal {
	var r *Refusal
	switch {
	case errors.As(err, &r):
	case errors.Is(err, wire.ErrTooLarge):
		return &Refusal{Code: wire.CodeTooLarge, Reason: err.Error()}
	case errors.Is(err, wire.ErrMalformed):
		return &Refusal{Code: wire.CodeProtocol, Reason: err.Error()}
	default:
		r = &Refusal{Code: wire.CodeInternal, Reason: "the collector failed to serve this host: its log says why", After: storageRetry, Err: err}
	}
	if r.Err != nil {
		s.cfg.Log.Error("session failed", "host", host.String(), "code", uint64(r.Code), "err", r.Err)
	}
	return r
}

// Revoke ends the host's session now. The Verifier keeps it from coming back.
func (s *Server) Revoke(host identity.HostID) {
	if cur := s.session(host); cur != nil {
		s.refuse(cur.conn, &Refusal{Code: wire.CodeRevoked, Reason: "the key of this host was revoked"})
	}
}

// Restart ends the host's session now and has it begin anew, because the host is
// another from now on.
func (s *Server) Restart(host identity.HostID) {
	if cur := s.session(host); cur != nil {
		cur.goodbye(&Refusal{Code: wire.CodeShutdown, Reason: "this host was merged or taken apart", After: time.Millisecond})
	}
}

// Connected reports whether a host has a session.
func (s *Server) Connected(host identity.HostID) bool { return s.session(host) != nil }

func (s *Server) session(host identity.HostID) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.hosts[host]; h != nil {
		return h.current.Load()
	}
	return nil
}

// shutdown tells every agent when to come back.
func (s *Server) shutdown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	for _, h := range s.hosts {
		if cur := h.current.Load(); cur != nil {
			cur.goodbye(&Refusal{Code: wire.CodeShutdown, Reason: "the collector is going down", After: time.Second + rand.N(shutdownSpread)})
		}
	}
}
