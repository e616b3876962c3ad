package ingest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// window is how many batches of a session may wait for their commit. The agent's
// own window is as large.
const window = 64

// hostState is what is kept of a host beyond its sessions.
type hostState struct {
	current atomic.Pointer[session]
	bytes   *bucket
	batches *bucket

	// The rest is guarded by Server.mu.
	open    int // connections, those before their Hello too
	swaps   int // live sessions replaced since swapsAt
	swapsAt time.Time
	clone   bool
}

// Two machines with one key replace each other's session again and again. A machine
// that restarts does so once.
const (
	cloneSwaps = 4
	cloneTime  = 10 * time.Minute
)

// session is one connection of one host.
type session struct {
	server  *Server
	conn    *quic.Conn
	host    identity.HostID
	state   *hostState
	run     uint64 // of its agent, as the Hello told; 0: it did not
	metrics MetricSession
	ready   chan struct{} // closed after the Hello
	window  chan struct{} // holds one for each batch that waits for its commit
	control atomic.Pointer[quic.Stream]
	faults  atomic.Int32
	failed  atomic.Bool // what it has delivered is not to be committed any more
	hello   atomic.Bool // one came
	streams sync.WaitGroup
	refused sync.Once // its samples
	leaving sync.Once
	bye     chan struct{} // closed when a Goodbye was sent
}

// verify returns the host that the connection's certificate names.
func (s *Server) verify(conn *quic.Conn) (identity.HostID, error) {
	certs := conn.ConnectionState().TLS.PeerCertificates
	if len(certs) == 0 {
		return identity.HostID{}, &Refusal{Code: wire.CodeUnknownHost, Reason: "no certificate"}
	}
	return s.cfg.Verifier.Verify(certs[0])
}

// serveSession is the life of a session: it takes streams until the connection ends.
func (s *Server) serveSession(ctx context.Context, conn *quic.Conn) {
	host, err := s.verify(conn)
	if err != nil {
		s.refuse(conn, s.refusalOf(err, host))
		return
	}
	se := &session{server: s, conn: conn, host: host, ready: make(chan struct{}), window: make(chan struct{}, window), bye: make(chan struct{})}
	if !s.enter(se) {
		s.refuse(conn, &Refusal{Code: wire.CodeShutdown, Reason: "the collector is going down"})
		return
	}
	defer s.leave(se)
	// A revocation since the first look did not find the session to end it.
	if _, err := s.verify(conn); err != nil {
		s.refuse(conn, s.refusalOf(err, host))
		return
	}
	defer se.streams.Wait()
	timer := time.AfterFunc(helloTimeout, func() {
		if !se.hello.Load() {
			s.refuse(conn, &Refusal{Code: wire.CodeProtocol, Reason: "no Hello came"})
		}
	})
	defer timer.Stop()
	for {
		stream, err := conn.AcceptStream(ctx)
		if err != nil {
			return
		}
		se.streams.Go(func() { se.serveStream(stream) })
	}
}

// enter counts a connection of a host. It becomes the host's session with its Hello.
func (s *Server) enter(se *session) bool {
	now := time.Now() // as the quotas are measured: a clock that is set must not matter
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.sweepLocked(now)
	h := s.hosts[se.host]
	if h == nil {
		h = &hostState{
			bytes:   newBucket(float64(s.cfg.BytesPerSecond), 16*float64(s.cfg.BytesPerSecond), now),
			batches: newBucket(float64(s.cfg.BatchesPerMin)/60, float64(s.cfg.BatchesPerMin), now),
		}
		s.hosts[se.host] = h
	}
	se.state = h
	h.open++
	s.counters.sessions.Add(1)
	s.sessions++
	return true
}

// admit makes se the session of its host; the one before it ends.
func (s *Server) admit(se *session) error {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return &Refusal{Code: wire.CodeShutdown, Reason: "the collector is going down"}
	}
	if old := se.state.current.Swap(se); old != nil {
		s.counters.replaced.Add(1)
		s.cfg.Log.Debug("session replaced by a newer one", "host", se.host.String())
		s.refuse(old.conn, &Refusal{Code: wire.CodeReplaced, Reason: "a newer session of this host has begun"})
		if se.run == 0 || se.run != old.run { // an agent that lost its way to us comes again as itself
			s.noteSwapLocked(se.state, se, old, time.Now())
		}
	}
	s.mu.Unlock()
	// Nor did one since then, or a merge, before it could be found.
	host, err := s.verify(se.conn)
	if err == nil && host != se.host {
		err = &Refusal{Code: wire.CodeShutdown, Reason: "this host was merged or taken apart", After: time.Millisecond}
	}
	return err
}

// Whether the agent of a session is still there is asked twice: what it had sent
// before it ended may come after the first time.
const (
	answerRounds = 2
	answerTime   = 700 * time.Millisecond
	answerLook   = 10 * time.Millisecond
)

// answers reports whether the agent at the other end of a session is there: its QUIC
// stack acknowledges what we send, here a Resync that asks for nothing.
func (se *session) answers(ctx context.Context) bool {
	for range answerRounds {
		before := se.conn.ConnectionStats().PacketsReceived
		if err := se.send(wire.TypeResync, wire.AppendResync(nil, wire.Resync{})); err != nil {
			return false
		}
		for end := time.Now().Add(answerTime); se.conn.ConnectionStats().PacketsReceived == before; {
			if time.Now().After(end) || se.conn.Context().Err() != nil || pause(ctx, answerLook) != nil {
				return false
			}
		}
	}
	return se.conn.Context().Err() == nil
}

// rival reports whether another run of the same agent has a session and answers.
func (se *session) rival(run uint64) bool {
	old := se.state.current.Load()
	return old != nil && run != 0 && old.run != 0 && run != old.run && old.answers(se.conn.Context())
}

func (s *Server) noteSwapLocked(h *hostState, se, old *session, now time.Time) {
	if now.Sub(h.swapsAt) > cloneTime {
		h.swaps, h.swapsAt = 0, now
	}
	h.swaps++
	if h.swaps >= cloneSwaps && !h.clone {
		h.clone = true
		s.cfg.Log.Warn("two machines seem to use one identity: enrol one of them anew", "host", se.host.String(),
			"addresses", []netip.Addr{remoteAddr(old.conn), remoteAddr(se.conn)})
	}
}

// sweepLocked forgets hosts that are away and have no quota to pay off.
func (s *Server) sweepLocked(now time.Time) {
	if now.Before(s.sweepAt) {
		return
	}
	s.sweepAt = now.Add(cloneTime)
	for id, h := range s.hosts {
		if h.open == 0 && !h.clone && now.Sub(h.swapsAt) > cloneTime && h.bytes.full(now) && h.batches.full(now) {
			delete(s.hosts, id)
		}
	}
}

func (s *Server) leave(se *session) {
	se.state.current.CompareAndSwap(se, nil)
	s.mu.Lock()
	s.sessions--
	se.state.open--
	s.mu.Unlock()
	se.conn.CloseWithError(quic.ApplicationErrorCode(wire.CodeNone), "")
}

// greet takes the Hello and answers with the Welcome.
func (se *session) greet(t wire.Type, payload []byte) error {
	s := se.server
	if t != wire.TypeHello {
		return fmt.Errorf("%w: %s before the Hello", wire.ErrMalformed, t)
	}
	hello, err := wire.DecodeHello(payload)
	if err != nil {
		return err
	}
	version, err := versions{wire.MinVersion, wire.Version}.common(versions{hello.MinVersion, hello.MaxVersion})
	if err != nil {
		return err
	}
	now := s.cfg.Now()
	answer, err := s.cfg.Sink.Greet(Greeting{Host: se.host, Hello: hello, From: remoteAddr(se.conn), At: now, Live: se.rival(hello.Run)})
	if err != nil {
		return err
	}
	se.run = hello.Run
	if err := s.admit(se); err != nil {
		return err
	}
	se.metrics = s.cfg.Metrics.Session(se.host, hello.Hostname)
	se.hello.Store(true)
	close(se.ready)
	s.arrived(se.conn)
	return se.send(wire.TypeWelcome, wire.AppendWelcome(nil, wire.Welcome{Version: version, HighSeq: answer.HighSeq, HeartbeatMillis: s.cfg.Heartbeat.Milliseconds(),
		At: now.UnixMilli(), Identity: answer.Identity, HighSum: answer.HighSum}))
}

// versions of the messages that a side speaks.
type versions struct{ oldest, newest uint }

// common returns the newest version that this collector and an agent both speak.
func (v versions) common(agent versions) (uint, error) {
	older := "agent"
	if agent.oldest > v.newest {
		older = "collector"
	}
	if newest := min(v.newest, agent.newest); newest >= max(v.oldest, agent.oldest) {
		return newest, nil
	}
	return 0, &Refusal{Code: wire.CodeVersion, After: time.Minute,
		Reason: fmt.Sprintf("update the %s (the agent speaks versions %d to %d, the collector %d to %d)", older, agent.oldest, agent.newest, v.oldest, v.newest)}
}

// send sends a message on the control stream. It never waits: an agent that does not
// read what we send, a few hundred bytes a minute, is not one of ours.
func (se *session) send(t wire.Type, payload []byte) error {
	stream := se.control.Load()
	if stream == nil {
		return nil
	}
	return se.sendOn(stream, t, payload)
}

func (se *session) sendOn(stream *quic.Stream, t wire.Type, payload []byte) error {
	err := stream.TryWriteAll(wire.AppendMessage(nil, t, payload))
	if errors.Is(err, quic.ErrWouldBlock) {
		se.failed.Store(true)
		se.server.refuse(se.conn, &Refusal{Code: wire.CodeProtocol, Reason: "the agent does not read"})
	}
	return err
}

// goodbye ends the session with a reason. The agent is given a moment to read it and
// to leave by itself.
func (se *session) goodbye(r *Refusal) {
	se.leaving.Do(func() {
		se.failed.Store(true)
		se.server.counters.refused(r.Code)
		err := se.send(wire.TypeGoodbye, wire.AppendGoodbye(nil, wire.Goodbye{Code: r.Code, Reason: r.Reason, AfterMillis: r.After.Milliseconds()}))
		if err != nil || se.control.Load() == nil {
			se.conn.CloseWithError(quic.ApplicationErrorCode(r.Code), r.Reason)
			return
		}
		time.AfterFunc(lingerTime, func() { se.conn.CloseWithError(quic.ApplicationErrorCode(r.Code), r.Reason) })
	})
}

// goodbyeSoon is goodbye after samplesGrace; the session goes on until then.
func (se *session) goodbyeSoon(r *Refusal) {
	se.refused.Do(func() {
		time.AfterFunc(samplesGrace, func() {
			if se.conn.Context().Err() == nil {
				se.goodbye(r)
			}
		})
	})
}

// takeBatch decodes a batch and queues it, once the host's quota, the store of metrics, the
// session's window and the memory for waiting batches allow. Until then it does not read on,
// and the agent's flow-control window fills.
func (se *session) takeBatch(stream *quic.Stream, decoder *wire.MetricDecoder, t wire.Type, payload []byte) error {
	if t != wire.TypeBatch {
		return fmt.Errorf("%w: %s on a stream of batches", wire.ErrMalformed, t)
	}
	s, ctx := se.server, se.conn.Context()
	now := time.Now()
	wait := max(se.state.bytes.take(float64(len(payload)), now), se.state.batches.take(1, now))
	if err := pause(ctx, wait); err != nil {
		return err
	}
	batch, err := wire.DecodeBatch(payload, decoder)
	if err != nil {
		return err
	}
	if !batch.Verify() {
		return fmt.Errorf("%w: batch %d has another content than its checksum says", wire.ErrMalformed, batch.Seq)
	}
	if len(batch.Frames) > 0 {
		// Here, not in the committer: inventory of others, and large ones of this host, go on.
		if err := s.cfg.Metrics.Ready(ctx); err != nil {
			return err
		}
	}
	p := &pending{session: se, stream: stream, batch: batch, received: s.cfg.Now(), size: len(payload), units: s.budget.units(2 * len(payload))}
	select {
	case se.window <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := s.budget.take(ctx, p.units); err != nil {
		<-se.window
		return err
	}
	s.queue <- p // the committer always takes
	return nil
}

// done frees what a pending batch held.
func (p *pending) done() {
	p.session.server.budget.give(p.units)
	<-p.session.window
}

// ack tells the agent which batches are durable, and what we need again.
func (se *session) ack(stream *quic.Stream, epoch uint64, seqs []uint64, resync []facts.ID) {
	if se.conn.Context().Err() != nil {
		return
	}
	// An error means that stream or connection have ended: the agent sends again.
	if err := se.sendOn(stream, wire.TypeAck, wire.AppendAck(nil, wire.Ack{Epoch: epoch, Seqs: seqs})); err != nil {
		return
	}
	if len(resync) > 0 {
		_ = se.send(wire.TypeResync, wire.AppendResync(nil, wire.Resync{Sections: resync}))
	}
}
