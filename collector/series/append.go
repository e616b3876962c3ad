package series

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"atalaya/shared/metric"
)

// maxAhead is how far in the future a sample may be. Everything is late relative to
// the newest sample of all hosts, so one wrong clock could make all others too late.
// Ten minutes is Prometheus' own bound (scrape: maxAheadTime).
const maxAhead = 10 * time.Minute

// probeSpan is how far ahead an empty span of a host's history is remembered while
// late frames are filled in.
const probeSpan = time.Hour

// lateGroup is how many late samples one engine commit may hold. The engine's cost of
// starting out-of-order chunks grows with the square of their number in a commit
// (tsdb v0.315, collectOOORecords allocates for all markers so far at each one):
// 15,000 at once took 0.5 s and 1.9 GB of garbage.
const lateGroup = 500

// Tally counts what became of samples.
type Tally struct {
	Stored     uint64 // new, or the newest of its series once more
	Duplicates uint64 // late, and known with the same value
	Conflicts  uint64 // known with another value; the first stays
	TooOld     uint64 // older than Config.OutOfOrderWindow
	Future     uint64 // more than ten minutes ahead of our clock
	Refused    uint64 // of series that were refused or never defined
	OverLimit  uint64 // of new series of a host that has too many
}

func (t *Tally) add(o Tally) {
	t.Stored += o.Stored
	t.Duplicates += o.Duplicates
	t.Conflicts += o.Conflicts
	t.TooOld += o.TooOld
	t.Future += o.Future
	t.Refused += o.Refused
	t.OverLimit += o.OverLimit
}

// Lost is how many samples were not stored and are not known either.
func (t Tally) Lost() uint64 {
	return t.Conflicts + t.TooOld + t.Future + t.Refused + t.OverLimit
}

// Appender gathers frames of any number of sessions until Commit. It is not safe
// for concurrent use; several may be open at once.
type Appender struct {
	d          *DB
	ctx        context.Context // of the group: an Appender lives as long as one call of the committer
	app        engineAppender
	generation uint64
	number     uint64
	err        error // sticky; Commit returns it
	tally      Tally
	late       []metric.Sample
	lateTaken  int                // late samples since the engine's last commit
	known      map[uint64]float64 // by label hash, of one late frame
}

// engineAppender is what tsdb's appenders implement.
type engineAppender interface {
	storage.Appender
	storage.GetRef
}

// inOrder makes the engine hand back late samples, which are compared with what is
// known before they are stored.
var inOrder = storage.AppendOptions{DiscardOutOfOrder: true}

// Begin starts a group of frames. Errors show at Commit.
func (d *DB) Begin(ctx context.Context) *Appender {
	a := &Appender{d: d, ctx: ctx}
	a.begin()
	return a
}

func (a *Appender) begin() {
	a.app, a.lateTaken = nil, 0
	if a.err = a.d.look(); a.err == nil {
		a.err = a.d.repair()
	}
	if a.err != nil {
		return
	}
	a.err = a.d.use(func(db *tsdb.DB) error {
		app, ok := db.Appender(a.ctx).(engineAppender)
		if !ok {
			return errors.New("metrics engine: appender without references")
		}
		a.app, a.generation = app, a.d.generation
		return nil
	})
	a.number = a.d.appenders.Add(1)
}

// repair opens the engine again if the last commit failed and mayReopen allows it.
func (d *DB) repair() error {
	d.mu.RLock()
	whole := !d.broken.Load() || d.closed
	d.mu.RUnlock()
	if whole {
		return nil
	}
	if err := d.mayReopen(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.broken.Load() || d.closed {
		return nil
	}
	return d.reopenLocked()
}

// Append adds the samples that the session's agent took at the given moment (Unix
// ms). Samples that cannot be stored are counted, never an error of the rest; a
// failure of the database shows at Commit. A stale marker ends its series
// (metric.StaleBits). The samples may be changed after return.
func (a *Appender) Append(s *Session, at int64, samples []metric.Sample) Tally {
	if a.err != nil {
		return Tally{}
	}
	var t Tally
	if n := uint64(len(samples)); !a.d.timely(at, n, &t) {
		a.tally.add(t)
		return t
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending == a.number && at <= s.lastAt {
		// This frame may repeat one that the engine cannot show before it is committed.
		if a.flush(); a.err != nil {
			return Tally{}
		}
	}
	if s.generation != a.generation {
		s.forgetRefs(a.generation)
	}
	a.late = a.late[:0]
	a.app.SetOptions(&inOrder)
	for _, sample := range samples {
		a.appendOne(s, at, sample, &t)
	}
	if len(a.late) > 0 {
		a.appendLate(s, at, &t)
	}
	s.lastAt = max(s.lastAt, at)
	s.pending = a.number
	a.tally.add(t)
	return t
}

// timely refuses frames from the future and from beyond the window.
func (d *DB) timely(at int64, n uint64, t *Tally) bool {
	now := d.cfg.Now()
	switch {
	case at > now.Add(maxAhead).UnixMilli():
		t.Future = n
	case at < now.Add(-d.cfg.OutOfOrderWindow).UnixMilli():
		t.TooOld = n
	default:
		return true
	}
	return false
}

func (a *Appender) appendOne(s *Session, at int64, sample metric.Sample, t *Tally) {
	if int(sample.Series) >= len(s.entries) || s.entries[sample.Series].labels.IsEmpty() {
		t.Refused++
		return
	}
	e := &s.entries[sample.Series]
	if e.ref == 0 {
		// The engine's own copy of the labels, when the series exists already.
		if ref, ls := a.app.GetRef(e.labels, e.labels.Hash()); ref != 0 {
			e.ref, e.labels = ref, ls
		} else if a.d.hosts.full(s.hostID) {
			t.OverLimit++
			return
		}
	}
	ref, err := a.app.Append(e.ref, e.labels, at, sample.Value)
	if err == nil {
		e.ref = ref
		t.Stored++
		return
	}
	if errors.Is(err, storage.ErrOutOfOrderSample) {
		a.late = append(a.late, sample)
		return
	}
	t.count(err)
}

// count counts a sample that the engine refused.
func (t *Tally) count(err error) {
	switch {
	case errors.Is(err, storage.ErrDuplicateSampleForTimestamp):
		t.Conflicts++
	case errors.Is(err, storage.ErrTooOldSample), errors.Is(err, storage.ErrOutOfBounds):
		t.TooOld++
	default:
		t.Refused++
	}
}

// appendLate stores a.late, the samples of a frame that are older than the newest
// of their series. The engine would keep a second value beside a known one, so what
// is known at that moment is looked up first.
func (a *Appender) appendLate(s *Session, at int64, t *Tally) {
	known, err := a.knownAt(s, at)
	if err != nil {
		a.err = err
		return
	}
	a.app.SetOptions(nil)
	for _, sample := range a.late {
		e := &s.entries[sample.Series]
		if v, ok := known[e.labels.Hash()]; ok {
			if math.Float64bits(v) == math.Float64bits(sample.Value) {
				t.Duplicates++
			} else {
				t.Conflicts++
			}
			continue
		}
		ref, err := a.app.Append(e.ref, e.labels, at, sample.Value)
		if err != nil {
			t.count(err)
			continue
		}
		e.ref = ref
		t.Stored++
		a.lateTaken++
	}
	if a.lateTaken >= lateGroup {
		a.flush()
	}
}

// knownAt returns the host's stored values at a moment by hash of their labels. A
// spool that catches up fills an empty span in order: it is looked at once an hour
// of history, not once a frame.
func (a *Appender) knownAt(s *Session, at int64) (map[uint64]float64, error) {
	if at > s.lastAt && at <= s.clearTo {
		return nil, nil
	}
	if a.known == nil {
		a.known = map[uint64]float64{}
	}
	clear(a.known)
	s.clearTo = 0
	end := at + probeSpan.Milliseconds()
	any := false
	err := a.d.eachOf(a.ctx, s.hostID, at, end, func(ls labels.Labels, it chunkenc.Iterator) {
		if it.Next() == chunkenc.ValNone {
			return
		}
		any = true
		if t, v := it.At(); t == at {
			a.known[ls.Hash()] = v
		}
	})
	if err == nil && !any {
		s.clearTo = end
	}
	return a.known, err
}

// eachOf calls fn with each stored series of a host that has samples in a span.
func (d *DB) eachOf(ctx context.Context, hostID string, from, to int64, fn func(labels.Labels, chunkenc.Iterator)) error {
	return d.use(func(db *tsdb.DB) error {
		q, err := db.Querier(from, to)
		if err != nil {
			return fmt.Errorf("look up stored samples: %w", err)
		}
		defer q.Close()
		m := labels.MustNewMatcher(labels.MatchEqual, hostIDLabel, hostID)
		set := q.Select(ctx, false, nil, m)
		var it chunkenc.Iterator
		for set.Next() {
			ser := set.At()
			it = ser.Iterator(it)
			fn(ser.Labels(), it)
		}
		if err := set.Err(); err != nil {
			return fmt.Errorf("look up stored samples: %w", err)
		}
		return nil
	})
}

// AppendOwn adds a sample of the collector's own, such as up, or of a recording
// rule. The labels are taken as they are.
func (a *Appender) AppendOwn(at int64, name string, ls []metric.Label, value float64) Tally {
	if a.err != nil {
		return Tally{}
	}
	var t Tally
	if !a.d.timely(at, 1, &t) {
		a.tally.add(t)
		return t
	}
	b := labels.NewScratchBuilder(len(ls) + 1)
	b.Add(nameLabel, name)
	for _, l := range ls {
		if l.Name != nameLabel && l.Value != "" {
			b.Add(l.Name, l.Value)
		}
	}
	b.Sort()
	a.app.SetOptions(nil)
	if _, err := a.app.Append(0, b.Labels(), at, value); err != nil {
		t.count(err)
	} else {
		t.Stored++
	}
	a.tally.add(t)
	return t
}

// Commit writes all frames to the engine's log and makes them visible to queries.
// Nothing of the group may be acknowledged before the next Sync. After an error
// nothing of the group counts as stored: send it again later.
func (a *Appender) Commit() error {
	a.flushOnly()
	err := a.err
	a.err = errors.New("series appender used after its end")
	a.d.noteWrite(err, false)
	if err != nil {
		return fmt.Errorf("commit samples: %w", err)
	}
	a.d.space.fresh.Add(a.tally.Stored)
	a.d.tallyMu.Lock()
	a.d.tally.add(a.tally)
	a.d.tallyMu.Unlock()
	return nil
}

// Rollback drops the group.
func (a *Appender) Rollback() {
	if a.app != nil {
		_ = a.app.Rollback() // nothing was promised
		a.app = nil
	}
	a.err = errors.New("series appender used after its end")
}

// flush commits what is gathered and goes on.
func (a *Appender) flush() {
	if a.flushOnly(); a.err == nil {
		a.begin()
	}
}

func (a *Appender) flushOnly() {
	if a.app == nil {
		return
	}
	app := a.app
	a.app = nil
	if a.err != nil {
		_ = app.Rollback() // a.err tells why
		return
	}
	a.err = a.d.use(func(*tsdb.DB) error {
		if a.generation != a.d.generation {
			return errReopened
		}
		return app.Commit()
	})
	if a.err != nil && !errors.Is(a.err, errReopened) {
		a.d.broken.Store(true)
		if outOfSpace(a.err) {
			a.d.space.mu.Lock()
			a.d.yieldLocked()
			a.d.space.mu.Unlock()
		}
	}
}

// forgetRefs drops all references: they belong to an engine that was replaced. Call
// with s.mu locked.
func (s *Session) forgetRefs(generation uint64) {
	for i := range s.entries {
		s.entries[i].ref = 0
	}
	s.generation = generation
	s.clearTo = 0
}

// Record stores samples of the collector's own, each at its own moment with its own
// labels (metric name included), in one group.
func (d *DB) Record(ctx context.Context, samples Vector) error {
	a := d.Begin(ctx)
	for _, s := range samples {
		name := ""
		for _, l := range s.Labels {
			if l.Name == nameLabel {
				name = l.Value
			}
		}
		a.AppendOwn(s.At, name, s.Labels, s.Value)
	}
	return a.Commit()
}
