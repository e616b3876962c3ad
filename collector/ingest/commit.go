package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/quic-go/quic-go"

	"atalaya/shared/facts"
	"atalaya/shared/wire"
)

// maxGroup is how many batches one commit takes at most: beyond some hundred a
// batch gains nothing more from company.
const maxGroup = 512

// gatherTime lies between the beginnings of two commits at least, unless a whole group
// waits. A commit is two syncs and the writing of some pages, whatever is in it: a batch
// of a quiet fleet is committed at once, those of a busy one five times a second. An agent
// waits for no acknowledgement: 64 batches of it may be on their way.
const gatherTime = 200 * time.Millisecond

// gatherLook is how often it is looked whether a whole group waits.
const gatherLook = 50 * time.Millisecond

// pending is a batch that waits for its commit.
type pending struct {
	session  *session
	stream   *quic.Stream
	batch    *wire.Batch
	received time.Time
	size     int // inflated
	units    int // of the budget
}

// commitAll commits what is queued, in groups, until the queue is closed.
func (s *Server) commitAll(ctx context.Context) {
	var last time.Time // beginning of the last commit
	for first := range s.queue {
		s.gather(ctx, gatherTime-time.Since(last))
		last = time.Now()
		group := []*pending{first}
		for len(group) < maxGroup {
			select {
			case p, ok := <-s.queue:
				if !ok {
					s.commit(ctx, group)
					return
				}
				group = append(group, p)
				continue
			default:
			}
			break
		}
		s.commit(ctx, group)
	}
}

// gather waits while the queue fills.
func (s *Server) gather(ctx context.Context, wait time.Duration) {
	for ; wait > 0 && len(s.queue) < maxGroup-1 && ctx.Err() == nil; wait -= gatherLook {
		_ = pause(ctx, min(wait, gatherLook)) // what was received is committed even so
	}
}

// commit writes a group and acknowledges it.
func (s *Server) commit(ctx context.Context, group []*pending) {
	defer func() {
		for _, p := range group {
			p.done()
		}
	}()
	live := slices.DeleteFunc(slices.Clone(group), func(p *pending) bool { return p.session.failed.Load() })
	if len(live) == 0 {
		return
	}
	outcomes, err := s.write(ctx, live)
	if err != nil && len(live) > 1 && isPanic(err) {
		// One of them breaks the stores' code: alone, it is known which.
		for _, p := range live {
			s.commitOne(ctx, p)
		}
		return
	}
	var refused *metricsError
	if errors.As(err, &refused) {
		s.commitInventory(ctx, live, err)
		return
	}
	s.conclude(live, outcomes, err)
}

// commitInventory commits those of a group that have no samples, which the store of
// metrics does not take now. The others are not acknowledged, so that the agent keeps its
// samples and nothing else; their sessions end when what is on its way beside them, such
// as a large inventory, has come.
func (s *Server) commitInventory(ctx context.Context, group []*pending, refused error) {
	samples, rest := []*pending{}, []*pending{}
	for _, p := range group {
		if len(p.batch.Frames) > 0 {
			samples = append(samples, p)
		} else {
			rest = append(rest, p)
		}
	}
	if len(rest) > 0 {
		outcomes, err := s.write(ctx, rest)
		s.conclude(rest, outcomes, err)
	}
	s.cfg.Log.Debug("samples not committed, agents will send them again", "batches", len(samples), "err", refused) // the store has said it
	r := &Refusal{Code: wire.CodeStorage, Reason: "the collector cannot write metrics (is its disk full?); inventory it takes", After: storageRetry}
	for _, p := range samples {
		p.session.goodbyeSoon(r)
	}
}

// metricsError says that the store of metrics took nothing.
type metricsError struct{ err error }

func (e *metricsError) Error() string { return e.err.Error() }
func (e *metricsError) Unwrap() error { return e.err }

func (s *Server) commitOne(ctx context.Context, p *pending) {
	one := []*pending{p}
	outcomes, err := s.write(ctx, one)
	s.conclude(one, outcomes, err)
}

func (s *Server) conclude(group []*pending, outcomes []Outcome, err error) {
	if err != nil {
		s.fail(group, err)
		return
	}
	s.counters.commits.Add(1)
	s.acknowledge(group, outcomes)
	s.failSessions(group, outcomes)
}

// panicError is a fault in a store's code.
type panicError struct{ value any }

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

func isPanic(err error) bool { _, ok := err.(*panicError); return ok }

// write makes the group durable: samples first, so that a batch which counts as taken
// has all of its samples. Samples written twice after a crash in between are no fault.
// Nor are the samples of a batch that the sink then refuses or fails: who has a session
// was known to the sink at its Hello, its quota bounds what it writes, and the series
// are those that the host may write anyway. Of a host that is removed meanwhile at most
// its window of batches still comes.
func (s *Server) write(ctx context.Context, group []*pending) (outcomes []Outcome, err error) {
	defer func() {
		if r := recover(); r != nil {
			s.counters.panics.Add(1)
			err = &panicError{value: r}
		}
	}()
	if err := s.writeMetrics(ctx, group); err != nil {
		return nil, err
	}
	ds := make([]Delivery, len(group))
	for i, p := range group {
		ds[i] = Delivery{Host: p.session.host, Batch: p.batch, Received: p.received}
	}
	outcomes, err = s.cfg.Sink.Apply(ctx, ds)
	if err == nil && len(outcomes) != len(group) {
		err = fmt.Errorf("store gave %d outcomes for %d batches", len(outcomes), len(group))
	}
	return outcomes, err
}

func (s *Server) writeMetrics(ctx context.Context, group []*pending) error {
	if !slices.ContainsFunc(group, func(p *pending) bool { return len(p.batch.Frames) > 0 }) {
		return nil
	}
	app := s.cfg.Metrics.Begin(ctx)
	committed := false
	defer func() {
		if !committed {
			app.Rollback()
		}
	}()
	for _, p := range group {
		for _, f := range p.batch.Frames {
			app.Append(p.session.metrics, f.At, f.Samples)
		}
	}
	committed = true
	if err := app.Commit(); err != nil {
		return &metricsError{fmt.Errorf("commit samples: %w", err)}
	}
	if err := s.cfg.Metrics.Sync(); err != nil {
		return &metricsError{fmt.Errorf("sync samples: %w", err)}
	}
	return nil
}

// fail ends the sessions of a group that could not be written: nothing of it is
// acknowledged, and the agents keep it.
func (s *Server) fail(group []*pending, err error) {
	r := &Refusal{Code: wire.CodeStorage, Reason: "the collector cannot write (is its disk full?)", After: storageRetry}
	if isPanic(err) {
		r = &Refusal{Code: wire.CodeInternal, Reason: "the collector failed to take a batch", After: storageRetry}
	}
	s.cfg.Log.Error("batches not committed, agents will send them again", "batches", len(group), "err", err)
	for _, p := range group {
		p.session.goodbye(r)
	}
}

// failSessions ends the sessions of what the sink could not take of single hosts; the
// agents keep it.
func (s *Server) failSessions(group []*pending, outcomes []Outcome) {
	for i, p := range group {
		if outcomes[i].Failed == nil || p.session.failed.Load() {
			continue // said once for a session
		}
		s.cfg.Log.Error("batch not taken, the agent keeps it", "host", p.session.host.String(), "seq", p.batch.Seq, "err", outcomes[i].Failed)
		p.session.goodbye(Damaged(outcomes[i].Failed))
	}
}

// acknowledge sends each stream of the group one Ack, for all that was taken.
func (s *Server) acknowledge(group []*pending, outcomes []Outcome) {
	type key struct {
		stream *quic.Stream
		epoch  uint64
	}
	type answer struct {
		session *session
		seqs    []uint64
		resync  []facts.ID
	}
	answers := make(map[key]*answer, len(group))
	for i, p := range group {
		if outcomes[i].Failed != nil {
			continue
		}
		s.countOutcome(p, outcomes[i])
		k := key{p.stream, p.batch.Epoch}
		a := answers[k]
		if a == nil {
			a = &answer{session: p.session}
			answers[k] = a
		}
		a.seqs = append(a.seqs, p.batch.Seq)
		a.resync = append(a.resync, outcomes[i].Resync...)
	}
	for k, a := range answers {
		slices.Sort(a.seqs)
		slices.Sort(a.resync)
		a.session.ack(k.stream, k.epoch, slices.Compact(a.seqs), slices.Compact(a.resync))
	}
}

func (s *Server) countOutcome(p *pending, o Outcome) {
	s.counters.batches.Add(1)
	s.counters.bytes.Add(uint64(p.size))
	if o.Duplicate {
		s.counters.duplicates.Add(1)
	}
	if o.Err != nil {
		s.counters.rejected.Add(1)
		s.cfg.Log.Warn("batch refused", "host", p.session.host.String(), "seq", p.batch.Seq, "err", o.Err)
	}
}
