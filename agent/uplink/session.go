package uplink

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

const (
	welcomeTimeout = 10 * time.Second
	// answerTimeout is how long the collector may be silent after we sent something;
	// at half of it we ask once more. Its QUIC stack answers each packet within 25 ms.
	answerTimeout = 5 * time.Second

	minHeartbeat, maxHeartbeat = time.Second, time.Hour
)

// event is what a reading goroutine has to tell.
type event struct {
	t       wire.Type
	ack     wire.Ack
	resync  wire.Resync
	goodbye wire.Goodbye
	renewal *identity.Credentials // a renewal has ended, with these for the next session
	err     error
}

// session is one connection that was welcomed.
type session struct {
	u       *Uplink
	conn    *connection
	epoch   uint64
	encoder *wire.MetricEncoder
	control *quic.Stream
	batches *quic.Stream
	bulk    *quic.Stream // nil while there is nothing large
	events  chan event
	readers sync.WaitGroup

	flight      []sent // not acknowledged, by number
	flightBytes int
	high        uint64 // number of the last batch sent in its order
	ahead       uint64 // number of the last batch of inventory sent
	looked      uint64 // up to which number there is no other

	heartbeat time.Duration
	count     uint64    // heartbeats sent
	lastSend  time.Time // of anything
	asked     time.Time // when we sent what no packet has come after yet; zero: nothing
	probed    bool      // asked again
	packets   uint64    // received when asked was set
	renewAt   time.Time
	renewing  bool
}

type sent struct {
	seq       uint64
	bytes     int
	bulk      bool // by the bulk stream
	inventory bool
}

// session dials, and holds the session until it ends. It returns the credentials for
// the next one.
func (u *Uplink) session(ctx context.Context, creds *identity.Credentials, try int) (*identity.Credentials, error) {
	if err := identity.CheckTime(creds.Certificate, "host's", u.cfg.Now()); err != nil {
		return creds, &End{Result: ClockWrong, Err: err}
	}
	u.update(func(s *Status) { s.State = Connecting })
	conn, err := u.cfg.Network.dial(ctx, u.cfg.Address, creds.TLS(wire.ALPN, u.cfg.Now), try, u.cfg.Now)
	if err != nil {
		return creds, err
	}
	s := &session{u: u, conn: conn, encoder: wire.NewMetricEncoder(), events: make(chan event, 4), renewAt: u.renewAt(creds)}
	u.mu.Lock()
	u.live = conn
	u.mu.Unlock()
	defer u.count()
	defer func() {
		s.conn.close(wire.CodeNone)
		s.drain()
	}()
	// Writes wait for a collector that slows us down, up to writeTimeout; to stop must not.
	stop := context.AfterFunc(ctx, func() { s.conn.CloseWithError(quic.ApplicationErrorCode(wire.CodeNone), "") })
	defer stop()
	if err := s.open(); err != nil {
		return creds, err
	}
	return s.run(ctx, creds)
}

// drain waits for the readers, which end with the connection.
func (s *session) drain() {
	done := make(chan struct{})
	go func() { defer close(done); s.readers.Wait() }()
	for {
		select {
		case <-s.events:
		case <-done:
			return
		}
	}
}

// count adds what the connection has sent and received to the status.
func (u *Uplink) count() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.status.add(u.live)
	u.live = nil
}

func (s *Status) add(conn *connection) {
	if conn == nil {
		return
	}
	st := conn.ConnectionStats()
	s.BytesOut += st.BytesSent
	s.BytesIn += st.BytesReceived
	s.Packets += st.PacketsSent + st.PacketsReceived
}

// open says Hello and waits for the Welcome.
func (s *session) open() error {
	var err error
	if s.control, err = s.openStream(wire.ClassControl); err != nil {
		return err
	}
	hello := s.u.cfg.Hello
	hello.MinVersion, hello.MaxVersion, hello.At = wire.MinVersion, wire.Version, s.u.cfg.Now().UnixMilli()
	hello.Epoch, hello.NextSeq = s.u.cfg.Spool.Position()
	s.epoch = hello.Epoch
	if err := s.write(s.control, wire.TypeHello, wire.AppendHello(nil, hello)); err != nil {
		return err
	}
	if err := s.control.SetReadDeadline(time.Now().Add(welcomeTimeout)); err != nil {
		return err
	}
	reader := wire.NewReader(s.control, wire.ControlLimits())
	welcome, err := readWelcome(reader)
	if err != nil {
		return err
	}
	if err := s.control.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	if err := s.welcomed(welcome, hello); err != nil {
		return err
	}
	s.readers.Go(func() { s.read(reader) })
	if s.batches, err = s.openStream(wire.ClassBatches); err != nil {
		return err
	}
	s.readers.Go(func() { s.read(wire.NewReader(s.batches, wire.ControlLimits())) })
	return nil
}

func (s *session) openStream(class wire.Class) (*quic.Stream, error) {
	stream, err := s.conn.OpenStream()
	if err != nil {
		return nil, err
	}
	if err := stream.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return nil, err
	}
	_, err = stream.Write([]byte{byte(class)})
	return stream, err
}

func readWelcome(r *wire.Reader) (wire.Welcome, error) {
	t, payload, err := r.Next()
	if err != nil {
		return wire.Welcome{}, err
	}
	switch t {
	case wire.TypeWelcome:
		return wire.DecodeWelcome(payload)
	case wire.TypeGoodbye:
		g, err := wire.DecodeGoodbye(payload)
		if err != nil {
			return wire.Welcome{}, err
		}
		return wire.Welcome{}, endOfGoodbye(g)
	}
	return wire.Welcome{}, endf(ProtocolError, "the collector answered Hello with %s", t)
}

func endOfGoodbye(g wire.Goodbye) *End {
	after := time.Duration(min(max(g.AfterMillis, 0), int64(time.Hour/time.Millisecond))) * time.Millisecond
	return endOf(g.Code, g.Reason, after)
}

// welcomed takes over what the Welcome says.
func (s *session) welcomed(w wire.Welcome, hello wire.Hello) error {
	if w.Version < wire.MinVersion || w.Version > wire.Version {
		older := "agent"
		if w.Version < wire.MinVersion {
			older = "collector"
		}
		return endf(VersionRefused, "update the %s (the collector chose version %d, the agent speaks versions %d to %d)", older, w.Version, wire.MinVersion, wire.Version)
	}
	spool := s.u.cfg.Spool
	forked, err := s.forked(w)
	if err != nil {
		return err
	}
	if forked || w.HighSeq >= hello.NextSeq {
		s.u.cfg.Log.Warn("the collector knows batches that this spool has still to make, or has made anew: it was set back, and begins a new epoch",
			"next", hello.NextSeq, "known", w.HighSeq)
		if err := spool.NewEpoch(); err != nil {
			return &End{Result: Failed, Err: err}
		}
		return endf(SetBack, "the spool was set back in time")
	}
	if err := spool.AckUpTo(s.epoch, w.HighSeq); err != nil {
		return &End{Result: Failed, Err: err}
	}
	s.encoder.SetVersion(w.Version)
	s.high, s.ahead, s.looked = w.HighSeq, w.HighSeq, w.HighSeq
	s.heartbeat = min(max(time.Duration(w.HeartbeatMillis)*time.Millisecond, minHeartbeat), maxHeartbeat)
	now := s.u.cfg.Now()
	rtt := s.conn.ConnectionStats().SmoothedRTT
	s.u.update(func(st *Status) {
		st.State, st.Since, st.LastError, st.Result, st.NextTry = Connected, now, "", "", time.Time{}
		st.RTT, st.Sessions, st.Identity = rtt, st.Sessions+1, w.Identity
		st.ClockOffset = now.Sub(time.UnixMilli(w.At)) - rtt/2
	})
	s.u.cfg.Log.Info("session with the collector", "collector", s.conn.RemoteAddr().String())
	return nil
}

// forked reports whether the spool holds another batch than the collector has under
// that number: it was set back, and has gone on since.
func (s *session) forked(w wire.Welcome) (bool, error) {
	if w.HighSeq == 0 || w.HighSum == 0 {
		return false, nil
	}
	b, err := s.u.cfg.Spool.Next(s.epoch, w.HighSeq-1)
	if err != nil {
		return false, &End{Result: Failed, Err: err}
	}
	return b != nil && b.Seq == w.HighSeq && b.Checksum != w.HighSum, nil
}

// read passes on what comes on a stream until it ends.
func (s *session) read(r *wire.Reader) {
	for {
		e := readEvent(r)
		select {
		case s.events <- e:
		case <-s.conn.Context().Done():
			return
		}
		if e.err != nil {
			return
		}
	}
}

func readEvent(r *wire.Reader) (e event) {
	t, payload, err := r.Next()
	if err != nil {
		return event{err: err}
	}
	e.t = t
	switch t {
	case wire.TypeAck:
		e.ack, e.err = wire.DecodeAck(payload)
	case wire.TypeHeartbeat:
		_, e.err = wire.DecodeHeartbeat(payload)
	case wire.TypeResync:
		e.resync, e.err = wire.DecodeResync(payload)
	case wire.TypeGoodbye:
		e.goodbye, e.err = wire.DecodeGoodbye(payload)
	default:
		e.err = endf(ProtocolError, "the collector sent %s", t)
	}
	return e
}

// run is the life of a welcomed session.
func (s *session) run(ctx context.Context, creds *identity.Credentials) (*identity.Credentials, error) {
	s.lastSend = time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if err := s.fill(); err != nil {
			return creds, s.cause(err)
		}
		timer.Reset(time.Until(s.wakeAt()))
		select {
		case <-ctx.Done():
			return creds, ctx.Err()
		case <-s.conn.Context().Done():
			return creds, s.cause(context.Cause(s.conn.Context()))
		case <-s.u.cfg.Spool.Changed():
		case e := <-s.events:
			if e.renewal != nil {
				creds = e.renewal
				s.renewed(creds)
				continue
			}
			if err := s.handle(e); err != nil {
				return creds, s.cause(err)
			}
		case <-timer.C:
			if err := s.tick(ctx, creds); err != nil {
				return creds, s.cause(err)
			}
		}
	}
}

// cause prefers what ended the connection to what a stream says of it.
func (s *session) cause(err error) error {
	var end *End
	if errors.As(err, &end) {
		return err
	}
	if why := context.Cause(s.conn.Context()); why != nil {
		return why
	}
	return err
}

// handle deals with what the collector sent.
func (s *session) handle(e event) error {
	if e.err != nil {
		return e.err
	}
	s.asked, s.probed = time.Time{}, false
	switch e.t {
	case wire.TypeAck:
		return s.acked(e.ack)
	case wire.TypeResync:
		if s.u.cfg.Resync != nil {
			s.u.cfg.Resync(e.resync.Sections)
		}
	case wire.TypeGoodbye:
		return endOfGoodbye(e.goodbye)
	}
	return nil
}

// wakeAt is when there is something to do if nothing happens before.
func (s *session) wakeAt() time.Time {
	at := s.lastSend.Add(s.heartbeat)
	if !s.asked.IsZero() {
		answer := s.asked.Add(answerTimeout)
		if !s.probed {
			answer = s.asked.Add(answerTimeout / 2)
		}
		at = earlier(at, answer)
	}
	if !s.renewing {
		at = earlier(at, time.Now().Add(s.renewAt.Sub(s.u.cfg.Now())))
	}
	return at
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// tick does what is due: ask a silent collector again, give it up, send a heartbeat,
// renew the certificate.
func (s *session) tick(ctx context.Context, creds *identity.Credentials) error {
	now := time.Now()
	if !s.asked.IsZero() && s.conn.ConnectionStats().PacketsReceived > s.packets {
		s.asked, s.probed = time.Time{}, false // its QUIC stack has answered
	}
	switch silent := now.Sub(s.asked); {
	case s.asked.IsZero():
	case silent >= answerTimeout:
		return endf(Lost, "the collector at %s has stopped to answer", s.u.cfg.Address)
	case silent >= answerTimeout/2 && !s.probed:
		s.probed = true
		if err := s.sendHeartbeat(); err != nil {
			return err
		}
	}
	if now.Sub(s.lastSend) >= s.heartbeat {
		if err := s.sendHeartbeat(); err != nil {
			return err
		}
	}
	if !s.renewing && !s.u.cfg.Now().Before(s.renewAt) {
		s.startRenewal(ctx, creds)
	}
	return nil
}

func (s *session) sendHeartbeat() error {
	s.count++
	return s.write(s.control, wire.TypeHeartbeat, wire.AppendHeartbeat(nil, wire.Heartbeat{Count: s.count, At: s.u.cfg.Now().UnixMilli()}))
}

// renewalRetry is when a renewal that failed is tried again; there are two days left.
const renewalRetry = time.Hour

// startRenewal renews the certificate beside the session, which goes on with the old
// one.
func (s *session) startRenewal(ctx context.Context, creds *identity.Credentials) {
	s.renewing = true
	s.readers.Go(func() {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stop := context.AfterFunc(s.conn.Context(), cancel)
		defer stop()
		fresh, err := s.u.renew(ctx, creds)
		if err != nil {
			fresh = creds // renew has logged what stands in the way, or the next session will
		}
		select {
		case s.events <- event{renewal: fresh}:
		case <-s.conn.Context().Done():
		}
	})
}

// renewed takes note that a renewal has ended, well or not.
func (s *session) renewed(creds *identity.Credentials) {
	s.renewing = false
	now := s.u.cfg.Now()
	if s.renewAt = s.u.renewAt(creds); !s.renewAt.After(now) {
		s.renewAt = now.Add(renewalRetry)
	}
	s.u.update(func(st *Status) { st.CertUntil = creds.Certificate.NotAfter })
}
