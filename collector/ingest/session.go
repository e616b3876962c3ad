package ingest

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/metric"
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
	metrics MetricSession
	ready   chan struct{} // closed after the Hello
	window  chan struct{} // holds one for each batch that waits for its commit
	control atomic.Pointer[quic.Stream]
	faults  atomic.Int32
	failed  atomic.Bool // what it has delivered is not to be committed any more
	hello   atomic.Bool // one came
	streams sync.WaitGroup
	leaving sync.Once
	bye     chan struct{} // closed when a Goodbye was sent
}

// serveSession is the life of a session: it takes streams until the connection ends.
func (s *Server) serveSession(ctx context.Context, conn *quic.Conn, certs []*x509.Certificate) {
	if len(certs) == 0 {
		s.refuse(conn, &Refusal{Code: wire.CodeUnknownHost, Reason: "no certificate"})
		return
	}
	host, err := s.cfg.Verifier.Verify(certs[0])
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

// enter makes se the session of its host; the one before it ends.
func (s *Server) enter(se *session) bool {
	now := s.cfg.Now()
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
	if old := h.current.Swap(se); old != nil {
		s.counters.replaced.Add(1)
		s.refuse(old.conn, &Refusal{Code: wire.CodeReplaced, Reason: "a newer session of this host has begun"})
		s.noteSwapLocked(h, se, old, now)
	}
	s.counters.sessions.Add(1)
	s.sessions++
	return true
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
		if h.current.Load() == nil && !h.clone && now.Sub(h.swapsAt) > cloneTime && h.bytes.full(now) && h.batches.full(now) {
			delete(s.hosts, id)
		}
	}
}

func (s *Server) leave(se *session) {
	se.state.current.CompareAndSwap(se, nil)
	s.mu.Lock()
	s.sessions--
	s.mu.Unlock()
	se.conn.CloseWithError(quic.ApplicationErrorCode(wire.CodeNone), "")
}

// serveStream handles one stream; a fault in it ends this stream alone.
func (se *session) serveStream(stream *quic.Stream) {
	s := se.server
	defer func() {
		if r := recover(); r != nil {
			s.counters.panics.Add(1)
			s.cfg.Log.Error("stream failed", "host", se.host.String(), "panic", fmt.Sprint(r))
			se.breakStream(stream, &Refusal{Code: wire.CodeInternal, Reason: "the collector failed to handle a message"})
		}
	}()
	err := se.readStream(stream)
	switch {
	case err == nil || errors.Is(err, io.EOF):
		stream.Close()
	case se.conn.Context().Err() != nil:
	case isTimeout(err):
		se.breakStream(stream, &Refusal{Code: wire.CodeProtocol, Reason: "a message did not come to its end"})
	case isCancelled(err):
		stream.CancelWrite(quic.StreamErrorCode(wire.CodeNone))
	default:
		se.breakStream(stream, s.refusalOf(err, se.host))
	}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

func isCancelled(err error) bool {
	var e *quic.StreamError
	return errors.As(err, &e) && e.Remote
}

// breakStream ends a stream whose peer broke the rules, and the session when that
// happens often. What cannot go on without the stream (the Hello) ends at once.
func (se *session) breakStream(stream *quic.Stream, r *Refusal) {
	se.server.cfg.Log.Warn("stream refused", "host", se.host.String(), "code", uint64(r.Code), "reason", r.Reason)
	select {
	case <-se.ready:
	default:
		se.goodbye(r)
		return
	}
	se.server.counters.refused(r.Code)
	stream.CancelRead(quic.StreamErrorCode(r.Code))
	stream.CancelWrite(quic.StreamErrorCode(r.Code))
	if se.faults.Add(1) >= maxStreamFaults {
		se.goodbye(&Refusal{Code: wire.CodeProtocol, Reason: "too many broken streams"})
	}
}

// readStream reads the class of the stream and what belongs to it.
func (se *session) readStream(stream *quic.Stream) error {
	if err := stream.SetReadDeadline(time.Now().Add(helloTimeout)); err != nil {
		return err
	}
	var class [1]byte
	if _, err := io.ReadFull(stream, class[:]); err != nil {
		return err
	}
	switch wire.Class(class[0]) {
	case wire.ClassControl:
		return se.readControl(stream)
	case wire.ClassBatches, wire.ClassBulk:
		return se.readBatches(stream)
	}
	return fmt.Errorf("%w: unknown class of stream %d", wire.ErrMalformed, class[0])
}

// frames reads messages such that waiting for one may take for ever, but not a
// message that has begun.
type frames struct {
	stream *quic.Stream
	begun  bool
}

func (f *frames) Read(p []byte) (int, error) {
	if f.begun {
		if err := f.stream.SetReadDeadline(time.Now().Add(frameTimeout)); err != nil {
			return 0, err
		}
	}
	n, err := f.stream.Read(p)
	f.begun = f.begun || n > 0
	return n, err
}

// idle is to be called between messages.
func (f *frames) idle() error {
	f.begun = false
	return f.stream.SetReadDeadline(time.Time{})
}

// readControl handles the control stream: the Hello, then heartbeats.
func (se *session) readControl(stream *quic.Stream) error {
	if !se.control.CompareAndSwap(nil, stream) {
		return fmt.Errorf("%w: a second control stream", wire.ErrMalformed)
	}
	in := &frames{stream: stream, begun: true}
	r := wire.NewReader(in, wire.ControlLimits())
	if err := se.greet(r, stream); err != nil {
		return err
	}
	for {
		if err := in.idle(); err != nil {
			return err
		}
		t, payload, err := r.Next()
		if err != nil {
			return err
		}
		switch t {
		case wire.TypeHeartbeat:
			// The acknowledgement of the packet is the answer.
			if _, err := wire.DecodeHeartbeat(payload); err != nil {
				return err
			}
			se.server.cfg.Sink.Seen(se.host, se.server.cfg.Now())
		case wire.TypeGoodbye:
			if _, err := wire.DecodeGoodbye(payload); err != nil {
				return err
			}
			se.conn.CloseWithError(quic.ApplicationErrorCode(wire.CodeNone), "")
			return nil
		default:
			return fmt.Errorf("%w: %s on the control stream", wire.ErrMalformed, t)
		}
	}
}

// greet takes the Hello and answers with the Welcome.
func (se *session) greet(r *wire.Reader, stream *quic.Stream) error {
	s := se.server
	t, payload, err := r.Next()
	if err != nil {
		return err
	}
	if t != wire.TypeHello {
		return fmt.Errorf("%w: %s before the Hello", wire.ErrMalformed, t)
	}
	hello, err := wire.DecodeHello(payload)
	if err != nil {
		return err
	}
	version := min(hello.MaxVersion, wire.Version)
	if version < max(hello.MinVersion, wire.MinVersion) {
		return &Refusal{Code: wire.CodeVersion, After: time.Minute,
			Reason: fmt.Sprintf("this collector speaks versions %d to %d, the agent %d to %d", wire.MinVersion, wire.Version, hello.MinVersion, hello.MaxVersion)}
	}
	now := s.cfg.Now()
	high, err := s.cfg.Sink.Hello(se.host, hello, now)
	if err != nil {
		return err
	}
	se.metrics = s.cfg.Metrics.Session(se.host, hello.Hostname)
	se.hello.Store(true)
	close(se.ready)
	return se.send(wire.TypeWelcome, wire.AppendWelcome(nil, wire.Welcome{Version: version, HighSeq: high, HeartbeatMillis: s.cfg.Heartbeat.Milliseconds(), At: now.UnixMilli()}))
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

// readBatches takes batches off a stream and queues them for the next commit.
func (se *session) readBatches(stream *quic.Stream) error {
	select {
	case <-se.ready:
	case <-se.conn.Context().Done():
		return nil
	}
	in := &frames{stream: stream}
	r := wire.NewReader(in, wire.BatchLimits())
	decoder := wire.NewMetricDecoder(func(number uint32, series metric.Series) {
		if err := se.metrics.Define(number, series); err != nil {
			se.server.cfg.Log.Debug("series refused", "host", se.host.String(), "series", series.Name, "err", err)
		}
	})
	for {
		if err := in.idle(); err != nil {
			return err
		}
		t, payload, err := r.Next()
		if err != nil {
			return err
		}
		if t != wire.TypeBatch {
			return fmt.Errorf("%w: %s on a stream of batches", wire.ErrMalformed, t)
		}
		if err := se.take(stream, decoder, payload); err != nil {
			return err
		}
	}
}

// take decodes a batch and queues it, once the host's quota, the session's window and
// the memory for waiting batches allow. Until then it does not read on, and the
// agent's flow-control window fills.
func (se *session) take(stream *quic.Stream, decoder *wire.MetricDecoder, payload []byte) error {
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
