package probe

import (
	"context"
	"errors"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"atalaya/shared/facts"
	"atalaya/shared/metric"
)

// Sink takes what the scheduler gathers. Each method is called by one goroutine at a
// time, the two of them by two. What they are given is theirs.
type Sink interface {
	Metrics(metric.Frame) error
	Inventory([]facts.Reading) error
}

// Config says what a Scheduler runs, and when.
type Config struct {
	Host   *Host
	Probes []Probe
	Sink   Sink
	// Dictionary numbers the series; nil: a new one. It belongs to the scheduler while
	// Run runs; Sink.Metrics may read it during the call.
	Dictionary *metric.Dictionary
	// Interval lies between two readings of the metrics; 0: 10 s.
	Interval time.Duration
	// InventoryInterval lies between two complete readings of the inventory, give or
	// take a tenth; 0: 15 min.
	InventoryInterval time.Duration
	// Name tells this host from others, so that not all read at the same moment.
	Name string
	// Budget bounds what all of it takes.
	Budget Budget
	// Disabled sections are not reported; a probe of no other section is not run.
	Disabled []facts.ID
	Log      *slog.Logger // nil: none
}

const (
	defaultInterval          = 10 * time.Second
	defaultInventoryInterval = 15 * time.Minute
	// inventoryRetry is when readings that the sink did not take are taken again.
	inventoryRetry = time.Minute
	// maxAlign is how late a reading may be and still carry the time of its tick:
	// series with even times take a fifth of the room. Prometheus has the same limit.
	maxAlign = 2 * time.Millisecond
)

// Scheduler runs probes and gives what they find to a Sink. Metric probes run
// together at each tick; inventory probes run together at a longer interval, and
// each alone when a file it watches has changed or when it is asked for. Run owns
// two goroutines, and for each pass over the probes another.
type Scheduler struct {
	cfg       Config
	phase     time.Duration // of the ticks within Interval
	metrics   []*runner     // the watcher is the last of them
	list      []*runner     // those that run at the present tick
	inventory []*runner

	wake chan struct{} // room for one: there are probes in due
	mu   sync.Mutex    // guards due
	due  map[*runner]bool

	problems problems
	governor governor
}

// NewScheduler prepares a scheduler; nothing runs before Run.
func NewScheduler(cfg Config) *Scheduler {
	if cfg.Interval <= 0 {
		cfg.Interval = defaultInterval
	}
	if cfg.InventoryInterval <= 0 {
		cfg.InventoryInterval = defaultInventoryInterval
	}
	if cfg.Dictionary == nil {
		cfg.Dictionary = metric.NewDictionary(maxSeries, nil)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Scheduler{
		cfg:      cfg,
		phase:    phaseOf(cfg.Name, cfg.Interval),
		wake:     make(chan struct{}, 1),
		due:      make(map[*runner]bool),
		problems: problems{log: cfg.Log, last: make(map[string]string)},
		governor: governor{budget: cfg.Budget},
	}
	for _, p := range cfg.Probes {
		r := newRunner(p, cfg.Host)
		r.slow = r.info.Period > 0
		r.info = cfg.Budget.apply(r.info)
		r.cost.PeriodSeconds = r.info.Period.Seconds()
		if !r.info.Metrics {
			r.least = cfg.Budget.Probes[r.info.Name].Period
			r.cost.PeriodSeconds = max(r.cost.PeriodSeconds, r.least.Seconds())
		}
		switch {
		case r.info.Metrics:
			s.metrics = append(s.metrics, r)
		case len(s.enabled(r)) > 0:
			s.inventory = append(s.inventory, r)
		}
	}
	s.metrics = append(s.metrics, newRunner(newWatcher(s.inventory, s.request), cfg.Host))
	return s
}

// phaseOf spreads hosts over the interval by their names.
func phaseOf(name string, interval time.Duration) time.Duration {
	h := fnv.New64a()
	h.Write([]byte(name)) // never fails
	return time.Duration(h.Sum64() % uint64(interval))
}

func (s *Scheduler) enabled(r *runner) []facts.ID {
	return slices.DeleteFunc(slices.Clone(r.info.Sections), func(id facts.ID) bool {
		return slices.Contains(s.cfg.Disabled, id)
	})
}

// Run reads until ctx ends, and once at its start. It returns within two seconds of
// that, whatever the probes do.
func (s *Scheduler) Run(ctx context.Context) {
	var loops sync.WaitGroup
	loops.Go(func() { s.runMetrics(ctx) })
	loops.Go(func() { s.runInventory(ctx) })
	loops.Wait()
}

// request has these probes run soon.
func (s *Scheduler) request(runners ...*runner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range runners {
		s.due[r] = true
	}
	select {
	case s.wake <- struct{}{}:
	default: // it will be seen with the request before
	}
}

// Costs returns the ledger, one entry for each probe, metrics first.
func (s *Scheduler) Costs() []Cost {
	var out []Cost
	level, _ := s.governor.state()
	for _, r := range slices.Concat(s.metrics, s.inventory) {
		c := r.snapshot()
		c.Suspended = level.suspended(r)
		out = append(out, c)
	}
	return out
}

func (s *Scheduler) runMetrics(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for tick := s.cfg.Host.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		s.readMetrics(ctx, tick)
		now := s.cfg.Host.Now()
		tick = nextTick(now, tick, s.cfg.Interval, s.phase)
		timer.Reset(tick.Sub(now))
	}
}

// nextTick is the first moment after now that lies in the phase of the interval. The
// clock on the wall decides, so that a restarted agent keeps its rhythm; however far
// it was set, and however long the machine slept, there is one tick within one
// interval. The tick before is not given again when the timer came a little early.
func nextTick(now, last time.Time, interval, phase time.Duration) time.Time {
	if ahead := last.Sub(now); ahead > 0 && ahead < interval/2 {
		now = last
	}
	tick := now.Truncate(interval).Add(phase)
	if !tick.After(now) {
		tick = tick.Add(interval)
	}
	return tick.Round(0) // without the reading of the monotonic clock
}

func (s *Scheduler) readMetrics(ctx context.Context, tick time.Time) {
	at := s.cfg.Host.Now()
	if late := at.Sub(tick).Abs(); late <= maxAlign {
		at = tick
	}
	p := pass{list: s.dueMetrics(tick), dict: s.cfg.Dictionary, prepare: lockThread}
	frame := metric.Frame{At: at.UnixMilli()}
	for _, o := range p.run(ctx) {
		if o.runner == nil {
			return // the agent stops: what is missing did not vanish
		}
		if ctx.Err() == nil { // a reading that the end cut short did not fail
			s.problems.note("probe "+o.runner.info.Name, o.err)
		}
		frame.Samples = append(frame.Samples, o.report.Samples()...)
		frame.Samples = s.success(frame.Samples, &o)
		o.runner.absent(tick, o.err)
	}
	if ctx.Err() != nil {
		return
	}
	frame.Samples = inOrder(s.degraded(frame.Samples))
	s.problems.note("metrics", s.cfg.Sink.Metrics(frame))
}

// unsupportedRetry is when a slow probe that found no source looks for it again.
const unsupportedRetry = 10 * time.Minute

// dueMetrics returns the metric probes that run at a tick: those without a period,
// and the others at the first tick of each of their periods, so that all slow ones
// run in one wake.
func (s *Scheduler) dueMetrics(tick time.Time) []*runner {
	s.list = s.list[:0]
	level := s.look(tick)
	for _, r := range s.metrics {
		if !level.suspended(r) && r.due(tick) {
			s.list = append(s.list, r)
		}
	}
	return s.list
}

// due reports whether a metric probe runs at a tick, and notes that it does.
func (r *runner) due(tick time.Time) bool {
	if r.info.Period <= 0 {
		return true
	}
	slot := tick.Truncate(r.info.Period)
	if slot.Equal(r.slot) || tick.Before(r.notBefore) && tick.After(r.notBefore.Add(-unsupportedRetry)) {
		return false
	}
	r.slot = slot
	return true
}

// absent puts a slow probe off that this machine has no source for.
func (r *runner) absent(tick time.Time, err error) {
	if r.info.Period > 0 && errors.Is(err, errors.ErrUnsupported) {
		r.notBefore = tick.Add(unsupportedRetry)
	}
}

// success tells the collector whether a metric probe worked: otherwise a series that
// cannot be read would look like one that is gone. A probe that this system does not
// support says nothing.
func (s *Scheduler) success(samples []metric.Sample, o *outcome) []metric.Sample {
	if len(samples) == 0 && errors.Is(o.err, errors.ErrUnsupported) {
		return samples
	}
	id, ok := s.cfg.Dictionary.ID(&metric.ProbeSuccess, o.runner.info.Name)
	if !ok {
		return samples
	}
	v := 1.0
	if o.err != nil {
		v = 0
	}
	return append(samples, metric.Sample{Series: id, Value: v})
}

func (s *Scheduler) runInventory(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var list []*runner
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			s.takeDue() // all of them run now
			list = s.dueInventory()
			timer.Reset(jitter(s.inventoryInterval()))
		case <-s.wake:
			list = s.takeDue()
		}
		if err := s.readInventory(ctx, list); err != nil {
			for _, r := range list {
				r.slot = time.Time{} // nobody has its reading
			}
			timer.Reset(jitter(min(inventoryRetry, s.cfg.InventoryInterval)))
		}
	}
}

// inventoryInterval is longer when the agent has to save.
func (s *Scheduler) inventoryInterval() time.Duration {
	if level, _ := s.governor.state(); level >= SlowInventory {
		return inventoryStretch * s.cfg.InventoryInterval
	}
	return s.cfg.InventoryInterval
}

// dueInventory returns the probes of a complete reading: all but those that have been
// read within a period of their own.
func (s *Scheduler) dueInventory() []*runner {
	now := s.cfg.Host.Now()
	var list []*runner
	for _, r := range s.inventory {
		if since := now.Sub(r.slot); !r.slot.IsZero() && since >= 0 && since < r.least {
			continue
		}
		r.slot = now
		list = append(list, r)
	}
	return list
}

// takeDue returns the probes that were requested, in the order of the configuration.
func (s *Scheduler) takeDue() []*runner {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*runner
	for _, r := range s.inventory {
		if s.due[r] {
			list = append(list, r)
		}
	}
	clear(s.due)
	return list
}

func (s *Scheduler) readInventory(ctx context.Context, list []*runner) error {
	if len(list) == 0 {
		return nil
	}
	p := pass{list: list, prepare: lowPriority}
	var readings []facts.Reading
	for _, o := range p.run(ctx) {
		if o.runner == nil {
			break
		}
		if ctx.Err() == nil { // a reading that the end cut short did not fail
			s.problems.note("probe "+o.runner.info.Name, o.fault())
		}
		readings = append(readings, o.readings(s.enabled(o.runner))...)
	}
	if ctx.Err() != nil {
		return nil // what a stopping agent could not read did not fail
	}
	err := s.cfg.Sink.Inventory(readings)
	s.problems.note("inventory", err)
	return err
}

// jitter returns d, give or take a tenth.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + time.Duration(rand.Int64N(int64(d)/5+1))
}

// problems logs the changes of state of probes and sinks.
type problems struct {
	log  *slog.Logger
	mu   sync.Mutex        // guards last
	last map[string]string // reason by subject; absent: it works
}

func (p *problems) note(subject string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before, was := p.last[subject]
	switch {
	case err == nil && was:
		delete(p.last, subject)
		p.log.Info("works again", "subject", subject)
	case err == nil || errors.Is(err, errors.ErrUnsupported):
	case !was || before != reason(err):
		p.last[subject] = reason(err)
		attrs := []any{"subject", subject, "err", reason(err)}
		if panicked := (*PanicError)(nil); errors.As(err, &panicked) {
			attrs = append(attrs, "stack", string(panicked.Stack))
		}
		p.log.Warn("not complete", attrs...)
	}
}
