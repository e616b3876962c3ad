// Package uplink carries the spool to the collector: one QUIC session at a time, dialled
// again for as long as the agent runs.
//
// It hides QUIC, enrolment and renewal, the window, heartbeats and back-off. The
// invariants: batches leave in the order of their numbers and stay in the spool until
// they are acknowledged, those of inventory ahead of metrics if need be; no session
// outlives a collector that does not answer. A collector can make the agent forget what it
// acknowledges, send again what is left, number its batches anew, renew its certificate, and
// stay away for an hour; nothing that it sends makes the agent read or run anything.
// A session is one goroutine that decides and one for each stream that reads; all have
// ended when Run returns. What travels is described in docs/protocol.md.
package uplink

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/metric"
	"atalaya/shared/wire"
)

// Spool is where batches come from, see package spool.
type Spool interface {
	// Position returns the epoch and the number of the next batch to be made.
	Position() (epoch, nextSeq uint64)
	// Next returns the oldest batch above a number, nil when there is none, and an
	// error when the epoch has ended.
	Next(epoch, after uint64) (*wire.Batch, error)
	// NextInventory is Next for batches of inventory that may overtake metrics; the one
	// after it is to be looked for behind the number that it returns.
	NextInventory(epoch, after uint64) (b *wire.Batch, behind uint64, err error)
	// Changed receives after batches were appended.
	Changed() <-chan struct{}
	// Series is the dictionary that batches of metrics refer to.
	Series() []metric.Series
	Ack(epoch uint64, seqs []uint64) error
	AckUpTo(epoch, seq uint64) error
	// Drop gives a batch up that cannot be sent.
	Drop(epoch, seq uint64, reason string) error
	// NewEpoch begins the numbering anew.
	NewEpoch() error
}

// Config of an Uplink. Address, Dir and Spool are required.
type Config struct {
	Address string // of the collector, host:port
	Dir     string // state folder with the host's key and certificate
	Spool   Spool
	// Hello is what the host says of itself; versions, epoch, number and time are
	// filled in.
	Hello wire.Hello
	// Resync is called when the collector asks for whole sections, from the session's
	// goroutine. Nil ignores it.
	Resync  func([]facts.ID)
	Network Network
	Now     func() time.Time // Default time.Now
	Log     *slog.Logger     // Default none
}

// Back-off between sessions: a random part of a time that doubles, so that agents
// which lost their collector together do not come back together.
const (
	minBackoff = time.Second
	maxBackoff = 60 * time.Second
	// busyBackoff is for a collector that takes no more at this moment: it does so for
	// seconds, and a try costs it little.
	busyBackoff = 15 * time.Second
	// goodSession is how long a session without an ack must have lasted for the
	// back-off to start anew; with one it always does.
	goodSession = 10 * time.Second
)

// Uplink keeps the session.
type Uplink struct {
	cfg    Config
	jitter float64 // of this host, 0 to 1

	mu     sync.Mutex // guards what follows
	status Status
	live   *connection // of the present session, not yet counted in status
}

// State of an Uplink.
type State string

// The states.
const (
	Connecting State = "connecting"
	Connected  State = "connected"
	Waiting    State = "waiting" // before the next try
)

// Status describes an Uplink for people.
type Status struct {
	State       State         `json:"state"`
	Since       time.Time     `json:"since"` // of the state; waiting and connecting count as one
	Address     string        `json:"address"`
	LastAck     time.Time     `json:"last_ack,omitzero"`
	RTT         time.Duration `json:"rtt,omitempty"`
	ClockOffset time.Duration `json:"clock_offset"`         // this clock less the collector's, to the round trip
	InFlight    int           `json:"in_flight"`            // batches sent and not acknowledged
	Result      string        `json:"result,omitempty"`     // of the last session or try
	LastError   string        `json:"last_error,omitempty"` // of it; empty once connected
	NextTry     time.Time     `json:"next_try,omitzero"`    // when waiting
	CertUntil   time.Time     `json:"cert_until,omitzero"`  // end of the host's certificate
	BytesOut    uint64        `json:"bytes_out"`            // UDP payload, all sessions
	BytesIn     uint64        `json:"bytes_in"`             //
	Packets     uint64        `json:"packets"`              // both ways
	Sessions    uint64        `json:"sessions"`             // that were welcomed
	Identity    string        `json:"identity,omitempty"`   // what the collector concluded of who we are
}

// New returns an uplink that is not yet running.
func New(cfg Config) *Uplink {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	u := &Uplink{cfg: cfg, jitter: rand.Float64()}
	u.status = Status{State: Connecting, Since: cfg.Now(), Address: cfg.Address}
	return u
}

// Status returns the present state.
func (u *Uplink) Status() Status {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.status
	s.add(u.live)
	return s
}

func (u *Uplink) update(fn func(*Status)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	fn(&u.status)
}

// Run keeps a session until ctx ends. It returns early only when the host is not
// enrolled: everything else may heal.
func (u *Uplink) Run(ctx context.Context) error {
	creds, err := identity.LoadCredentials(u.cfg.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return notEnrolled(err)
	}
	if err != nil {
		return &End{Result: Failed, Err: err}
	}
	p := pause{backoff: minBackoff}
	for try := 0; ; try++ {
		began := u.cfg.Now()
		var end *End
		creds, end = u.attempt(ctx, creds, try)
		if ctx.Err() != nil {
			return nil
		}
		good := u.cfg.Now().Sub(began) >= goodSession || u.Status().LastAck.After(began)
		wait := p.after(end, good)
		u.ended(end, wait)
		if !sleep(ctx, wait) {
			return nil
		}
	}
}

// attempt renews the certificate when it is time, and holds one session.
func (u *Uplink) attempt(ctx context.Context, creds *identity.Credentials, try int) (*identity.Credentials, *End) {
	fresh, err := u.renew(ctx, creds)
	if err == nil {
		creds = fresh
		u.update(func(s *Status) { s.CertUntil = creds.Certificate.NotAfter })
		creds, err = u.session(ctx, creds, try)
	}
	return creds, peer{address: u.cfg.Address, established: true, own: creds.Certificate, now: u.cfg.Now()}.explain(err)
}

// pause tells how long to stay away between sessions.
type pause struct {
	backoff time.Duration
	last    Result // of the session before
}

// after is the pause after a session. A new epoch makes a spool that was set back fit, so
// that there is none: once. A collector that says so again and again gets the usual pauses,
// whatever it acknowledges.
func (p *pause) after(end *End, good bool) time.Duration {
	again := p.last == SetBack
	p.last = end.Result
	if good && end.Result != SetBack {
		p.backoff = minBackoff
	}
	if end.Result == SetBack && !again {
		return 0
	}
	wait := waitAfter(end, p.backoff)
	p.backoff = min(2*p.backoff, maxBackoff)
	return wait
}

// waitAfter is how long to stay away after a session.
func waitAfter(end *End, backoff time.Duration) time.Duration {
	switch end.Result {
	case Replaced, Revoked, UnknownHost, VersionRefused, WrongCollector, Copied:
		backoff = maxBackoff // an administrator has to do something first
	case Overloaded:
		backoff = min(backoff, busyBackoff)
	}
	if end.After > 0 {
		return min(end.After, 10*maxBackoff) + rand.N(minBackoff)
	}
	return rand.N(backoff)
}

// ended notes the end of a session; it is logged when it is another than the last.
func (u *Uplink) ended(end *End, wait time.Duration) {
	now := u.cfg.Now()
	changed := false
	u.update(func(s *Status) {
		changed = s.Result != end.Result.String() || s.State == Connected
		if s.State == Connected {
			s.Since = now
		}
		s.State, s.Result, s.LastError, s.NextTry, s.InFlight = Waiting, end.Result.String(), end.Error(), now.Add(wait), 0
	})
	if changed && end.Result != SetBack {
		u.cfg.Log.Warn("no session with the collector", "result", end.Result.String(), "err", end.Err, "retry_in", wait.Round(time.Second/10))
	}
}

// sleep waits; it returns false when ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
