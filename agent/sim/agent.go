package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"atalaya/agent/uplink"
	"atalaya/shared/facts"
	"atalaya/shared/metric"
	"atalaya/shared/wire"
)

const (
	// maxPending bounds the batches of one agent that are made and not acknowledged:
	// a fleet's memory is mostly these. What is owed beyond is a few bytes each.
	maxPending = 8
	// maxDue bounds what is owed while the collector is away; the oldest go, counted.
	maxDue = 10_000
)

// owed is something that an agent has to report, not yet made.
type owed struct {
	kind duty
	at   int64 // ms since 1970
}

type duty uint8

const (
	dutyMetrics   duty = iota
	dutyChange         // the host changes
	dutyUnchanged      // an inventory that finds nothing new
)

// batch is one that is on its way, with what the ledger will say of it.
type batch struct {
	*wire.Batch
	entry Entry
}

// agent is a simulated agent. It implements uplink.Spool: batches are made when the
// session asks for them, and kept until they are acknowledged.
type agent struct {
	fleet  *Fleet
	ledger *Ledger
	id     string
	since  int64         // time of the first inventory
	notify chan struct{} // room for one

	mu      sync.Mutex           // guards what follows
	status  func() uplink.Status // of its uplink; nil before it runs
	host    *Host
	epoch   uint64
	next    uint64
	pending []batch
	due     []owed
	whole   []facts.ID // sections that are to be sent whole
	dropped uint64
}

func newAgent(f *Fleet, l *Ledger, host *Host, id string, since int64) *agent {
	return &agent{
		fleet: f, ledger: l, host: host, id: id, since: since, notify: make(chan struct{}, 1),
		epoch: rand.Uint64() | 1, next: 1, whole: Sections(),
	}
}

// owe adds duties, in order of their times.
func (a *agent) owe(list ...owed) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.due = append(a.due, list...)
	if over := len(a.due) - maxDue; over > 0 {
		a.due = slices.Delete(a.due, 0, over)
		a.dropped += uint64(over)
	}
	a.wake()
}

func (a *agent) wake() {
	select {
	case a.notify <- struct{}{}:
	default: // the session has not looked yet
	}
}

// resync has sections sent whole.
func (a *agent) resync(ids []facts.ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range ids {
		if slices.Contains(Sections(), id) && !slices.Contains(a.whole, id) {
			a.whole = append(a.whole, id)
		}
	}
	a.wake()
}

// idle reports whether all that was owed is acknowledged.
func (a *agent) idle() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.pending) == 0 && len(a.due) == 0 && len(a.whole) == 0
}

// refused says why the collector will not have this host any more, empty when it will, and
// what to do. Waiting does not help then.
func (a *agent) refused() string {
	a.mu.Lock()
	status := a.status
	a.mu.Unlock()
	if status == nil {
		return ""
	}
	switch s := status(); s.Result {
	case uplink.Revoked.String():
		return fmt.Sprintf("its certificate is refused, it was removed or revoked at the collector: `atalaya host revive %s` takes a removal back", a.id)
	case uplink.UnknownHost.String():
		return "the collector does not know it: was its state set up anew? begin a new --state"
	case uplink.Copied.String():
		return fmt.Sprintf("the collector takes it for a copy of another host: `atalaya host why-same %s`", a.id)
	case uplink.WrongCollector.String(), uplink.VersionRefused.String(), uplink.Refused.String():
		return s.LastError
	}
	return ""
}

// Position implements uplink.Spool.
func (a *agent) Position() (epoch, nextSeq uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.epoch, a.next
}

// Changed implements uplink.Spool.
func (a *agent) Changed() <-chan struct{} { return a.notify }

// Series implements uplink.Spool.
func (a *agent) Series() []metric.Series { return a.fleet.Series() }

// Next implements uplink.Spool.
func (a *agent) Next(epoch, after uint64) (*wire.Batch, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if epoch != a.epoch {
		return nil, fmt.Errorf("epoch %d has ended", epoch)
	}
	for _, b := range a.pending {
		if b.Seq > after {
			return b.Batch, nil
		}
	}
	if len(a.pending) >= maxPending {
		return nil, nil
	}
	return a.makeLocked(), nil
}

// NextInventory implements uplink.Spool.
func (a *agent) NextInventory(epoch, after uint64) (*wire.Batch, uint64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if epoch != a.epoch {
		return nil, after, fmt.Errorf("epoch %d has ended", epoch)
	}
	for _, b := range a.pending {
		if b.Seq > after && b.Kind == wire.KindInventory {
			return b.Batch, b.Seq, nil
		}
	}
	return nil, after, nil
}

// makeLocked makes the next batch that is owed, nil when there is none.
func (a *agent) makeLocked() *wire.Batch {
	b := batch{Batch: &wire.Batch{Kind: wire.KindInventory}}
	switch {
	case len(a.whole) > 0:
		b.At = a.wholeTimeLocked()
		b.Updates = a.host.Whole(b.At, a.whole...)
		a.whole = nil
	case len(a.due) > 0:
		a.fillLocked(&b, a.due[0])
		a.due = slices.Delete(a.due, 0, 1)
	default:
		return nil
	}
	b.Epoch, b.Seq, b.Checksum = a.epoch, a.next, b.Sum()
	a.next++
	b.entry.Number, b.entry.ID, b.entry.Kind, b.entry.Step, b.entry.At = a.host.number, a.id, b.Kind, a.host.step, b.At
	a.pending = append(a.pending, b)
	return b.Batch
}

// wholeTimeLocked is when sections that are sent whole were read: not after what is
// owed next.
func (a *agent) wholeTimeLocked() int64 {
	at := time.Now().UnixMilli()
	if a.host.step == 0 {
		at = a.since
	}
	if len(a.due) > 0 {
		at = min(at, a.due[0].at)
	}
	return at
}

func (a *agent) fillLocked(b *batch, d owed) {
	b.At = d.at
	switch d.kind {
	case dutyMetrics:
		b.Kind = wire.KindMetrics
		b.Frames = []metric.Frame{a.fleet.Frame(a.host.number, d.at)}
		b.entry.Samples = len(b.Frames[0].Samples)
	case dutyChange:
		u, rows := a.host.Change(d.at)
		b.Updates, b.entry.Rows = []wire.SectionUpdate{u}, rows
	case dutyUnchanged:
		b.Updates = a.host.Unchanged(d.at)
	}
}

// Ack implements uplink.Spool.
func (a *agent) Ack(epoch uint64, seqs []uint64) error {
	return a.acked(epoch, func(seq uint64) bool { return slices.Contains(seqs, seq) })
}

// AckUpTo implements uplink.Spool.
func (a *agent) AckUpTo(epoch, seq uint64) error {
	return a.acked(epoch, func(s uint64) bool { return s <= seq })
}

func (a *agent) acked(epoch uint64, is func(seq uint64) bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if epoch != a.epoch {
		return nil
	}
	var err error
	a.pending = slices.DeleteFunc(a.pending, func(b batch) bool {
		if !is(b.Seq) || err != nil {
			return false
		}
		err = a.ledger.add(b.entry)
		return err == nil
	})
	if len(a.due) > 0 || len(a.whole) > 0 {
		a.wake()
	}
	return err
}

// Drop implements uplink.Spool. Nothing that is made here is too large.
func (a *agent) Drop(_, seq uint64, reason string) error {
	return fmt.Errorf("batch %d cannot be sent: %s", seq, reason)
}

// NewEpoch implements uplink.Spool: what is pending is numbered anew.
func (a *agent) NewEpoch() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.epoch, a.next = rand.Uint64()|1, 1
	for i := range a.pending {
		b := *a.pending[i].Batch
		b.Epoch, b.Seq = a.epoch, a.next
		a.pending[i].Batch = &b
		a.next++
	}
	return nil
}

// run keeps the session, and owes metrics and changes at their times until ctx ends.
func (a *agent) run(ctx, session context.Context, cfg Config, dir string) error {
	up := uplink.New(uplink.Config{
		Address: cfg.Address, Dir: dir, Spool: a, Network: cfg.Faults.network(a.host.number), Resync: a.resync,
		Hello: wire.Hello{
			AgentVersion: "sim", Hostname: a.host.Name(), OS: "linux", Arch: "amd64",
			MachineID: fmt.Sprintf("%016x", a.host.machine()), IntervalMillis: cfg.Interval.Milliseconds(),
		},
	})
	a.mu.Lock()
	a.status = up.Status
	a.mu.Unlock()
	var loop sync.WaitGroup
	loop.Go(func() { a.live(ctx, session, cfg) })
	defer loop.Wait()
	return up.Run(session)
}

// live owes what the present brings until ctx or the session ends.
func (a *agent) live(ctx, session context.Context, cfg Config) {
	r := a.host.random(-1)
	metrics, change, inventory := newBeat(r, cfg.Interval), newBeat(r, cfg.ChangeEvery), newBeat(r, cfg.InventoryEvery)
	defer metrics.stop()
	defer change.stop()
	defer inventory.stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-session.Done():
			return
		case t := <-metrics.c:
			a.owe(owed{dutyMetrics, t.UnixMilli()})
			metrics.again()
		case t := <-change.c:
			a.owe(owed{dutyChange, t.UnixMilli()})
			change.again()
		case t := <-inventory.c:
			a.owe(owed{dutyUnchanged, t.UnixMilli()})
			inventory.again()
		}
	}
}

// beat is a timer that begins somewhere in its period; one without a period never comes.
type beat struct {
	c      <-chan time.Time
	timer  *time.Timer
	period time.Duration
}

func newBeat(r *rand.Rand, period time.Duration) beat {
	if period <= 0 {
		return beat{}
	}
	t := time.NewTimer(time.Duration(r.Int64N(int64(period))))
	return beat{t.C, t, period}
}

func (b beat) again() { b.timer.Reset(b.period) }

func (b beat) stop() {
	if b.timer != nil {
		b.timer.Stop()
	}
}
