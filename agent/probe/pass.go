package probe

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"atalaya/shared/facts"
	"atalaya/shared/metric"
)

// grace is how long after its deadline a probe may still return by itself.
const grace = time.Second

// runner is a probe with what the scheduler keeps of it between runs.
type runner struct {
	probe Probe
	info  Info // with defaults filled in
	host  *Host

	// Of a probe with a period; the loop that runs it alone uses them.
	slot      time.Time     // the period it last ran in; of inventory: its last complete reading
	least     time.Duration // between two complete readings of an inventory probe
	notBefore time.Time     // it found nothing to read, and is left alone until then
	slow      bool          // it has a period of its own, whatever the configuration says

	mu    sync.Mutex // guards what follows
	hung  bool       // a run was abandoned and has not returned
	spare *Report    // of the last run, to be used again
	cost  Cost
}

func newRunner(p Probe, h *Host) *runner {
	info := withDefaults(p.Info())
	return &runner{probe: p, info: info, host: h.forProbe(info), cost: Cost{Probe: info.Name, Metrics: info.Metrics}}
}

func withDefaults(info Info) Info {
	if info.Timeout <= 0 {
		info.Timeout = defaultTimeout
	}
	if info.MaxItems <= 0 {
		info.MaxItems = defaultMaxItems
	}
	return info
}

// outcome is how one run ended.
type outcome struct {
	runner *runner
	report *Report
	at     time.Time
	err    error
}

func (o *outcome) readings(sections []facts.ID) []facts.Reading {
	return o.report.readings(sections, facts.TimeOf(o.at), o.err)
}

// pass runs probes one after the other in a goroutine of its own. One that does not
// return in time is abandoned, and another goroutine goes on with the rest: the others
// are read, late by its timeout. What it holds it keeps until it returns, a thread if a
// system call hangs, or a core if it computes; it is not run again before.
type pass struct {
	list    []*runner
	dict    *metric.Dictionary
	prepare func() (undo func()) // sets up the worker's thread
	out     []outcome            // by index of list

	mu      sync.Mutex // guards what follows
	worker  int        // the worker that may go on; an older one was abandoned
	current int        // index that it runs
	started time.Time  // when it began with current
}

// run returns one outcome for each runner.
func (p *pass) run(ctx context.Context) []outcome {
	p.out = make([]outcome, len(p.list))
	for from := 0; from < len(p.list); {
		done := make(chan struct{})
		p.mu.Lock()
		p.current, p.started = from, time.Now()
		worker := p.worker
		p.mu.Unlock()
		go p.work(ctx, worker, from, done)
		from = p.supervise(ctx, p.list[from].info.Timeout+grace, done)
	}
	return p.out
}

// work runs the probes beginning with the given one, until all are done or this
// worker was abandoned.
func (p *pass) work(ctx context.Context, worker, from int, done chan<- struct{}) {
	defer close(done)
	defer p.prepare()()
	for i := from; i < len(p.list); i++ {
		r := p.list[i]
		report, hung := r.report(p.dict)
		if !p.begin(worker, i, report) {
			return
		}
		if r.info.Foreign {
			p.lend(report, i)
		}
		err := errHung
		if !hung {
			err = r.collect(ctx, report)
		}
		if !p.end(worker, i, err) {
			r.returned()
			return
		}
	}
}

// errHung is the outcome of a probe that is not run, because it still is.
var errHung = errors.New("an earlier reading has not returned yet")

func (p *pass) begin(worker, i int, report *Report) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.worker != worker {
		return false
	}
	p.current, p.started = i, time.Now()
	p.out[i] = outcome{runner: p.list[i], report: report, at: p.list[i].host.Now()}
	return true
}

func (p *pass) end(worker, i int, err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.worker != worker {
		return false
	}
	p.out[i].err = err
	return true
}

// lend tells a report which series the probes before it have given in this pass.
func (p *pass) lend(report *Report, i int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	report.given = append(report.given[:0], make([]bool, len(p.dict.Series()))...)
	for _, o := range p.out[:i] {
		if o.report == nil {
			continue
		}
		for _, s := range o.report.Samples() {
			report.given[s.Series] = true
		}
	}
}

// supervise waits for the worker and returns the index to go on from: behind the last
// when the worker is done, behind the probe that it hangs in otherwise.
func (p *pass) supervise(ctx context.Context, first time.Duration, done <-chan struct{}) int {
	timer := time.NewTimer(first)
	defer timer.Stop()
	stop, stopping := ctx.Done(), false // a context that never ends has no channel
	for {
		select {
		case <-done:
			return len(p.list)
		case <-stop:
			stop, stopping = nil, true
			timer.Reset(grace)
		case <-timer.C:
			left, next := p.abandon(stopping)
			if left <= 0 {
				return next
			}
			timer.Reset(left)
		}
	}
}

// abandon gives up the probe that runs if it is overdue, or anyway when the agent
// stops; left is the time that it still has.
func (p *pass) abandon(stopping bool) (left time.Duration, next int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.list[p.current]
	if left = r.info.Timeout + grace - time.Since(p.started); left > 0 && !stopping {
		return left, 0
	}
	o := &p.out[p.current]
	if o.report == nil { // the worker has not even begun: the machine is that busy
		if !stopping {
			return grace, 0
		}
		p.worker++
		return 0, len(p.list)
	}
	p.worker++
	r.abandon()
	o.report.close()
	o.err = fmt.Errorf("no answer within %v", r.info.Timeout)
	if stopping {
		return 0, len(p.list)
	}
	return 0, p.current + 1
}

// report returns an empty report for the next run, and whether the run before hangs.
func (r *runner) report(dict *metric.Dictionary) (report *Report, hung bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.spare == nil {
		r.spare = NewReport(dict, r.info.MaxItems)
	}
	r.spare.Reset()
	return r.spare, r.hung
}

// abandon notes that the probe does not return; its report stays with it.
func (r *runner) abandon() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hung, r.spare = true, nil
}

// returned notes that an abandoned run ended after all.
func (r *runner) returned() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hung = false
}

// collect runs the probe with its deadline, turns a panic into an error and notes
// what the run cost.
func (r *runner) collect(ctx context.Context, report *Report) (err error) {
	ctx, cancel := context.WithTimeout(ctx, r.info.Timeout)
	defer cancel()
	meter := startMeter(r.host)
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
		err = said(err) // here, where to take long has its end
		r.charge(meter.stop(), report, err)
	}()
	r.host.refused.take() // of the run before
	err = r.probe.Collect(ctx, r.host, report)
	report.refuse(r.host.refused.take())
	return err
}

// PanicError is a panic of a probe. Its text has the value only; the stack is for the log.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Guard reads one section of several: an error or a panic is that section's alone.
func (r *Report) Guard(section facts.ID, read func() error) {
	defer func() {
		if v := recover(); v != nil {
			err := said(&PanicError{Value: v, Stack: debug.Stack()})
			r.Problem(section, err)
			r.mu.Lock()
			defer r.mu.Unlock()
			r.panicked = err
		}
	}()
	r.Problem(section, read())
}

// fault is the error of a run, for the log: of the probe, or the panic of a section.
func (o *outcome) fault() error {
	o.report.mu.Lock()
	defer o.report.mu.Unlock()
	return errors.Join(o.err, o.report.panicked)
}
