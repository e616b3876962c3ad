package probe

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sort"
	"time"

	"atalaya/shared/facts"
	"atalaya/shared/metric"
)

const (
	// defaultTimeout bounds one run of a probe.
	defaultTimeout = 20 * time.Second
	// defaultMaxItems bounds the rows of one section, or the samples of one probe and tick.
	defaultMaxItems = 50_000
	// maxSeries bounds the dictionary of an agent. A large host has some 2,000 series.
	maxSeries = 50_000
)

// Result is what one run of some probes gave.
type Result struct {
	Readings []facts.Reading // of the inventory probes, one for each of their sections
	Frame    metric.Frame    // of the metric probes
	Series   []metric.Series // what the sample numbers of Frame mean
	Families Families        // those of Series that others made
	Costs    []Cost          // what each probe took
	Err      error           // the errors of all probes, joined, each with the probe's name
}

// RunOnce runs probes one after the other, with their limits, and returns all that
// they found, for the command line and for tests. What could be read stands beside
// the error.
func RunOnce(ctx context.Context, h *Host, probes ...Probe) Result {
	res := Result{Families: make(Families)}
	dict := metric.NewDictionary(maxSeries, nil)
	p := &pass{dict: dict, prepare: lockThread}
	for _, pr := range probes {
		r := newRunner(pr, h)
		r.host.once = true
		p.list = append(p.list, r)
	}
	res.Frame.At = h.Now().UnixMilli()
	for _, o := range p.run(ctx) {
		if o.runner == nil { // cancelled before its turn
			res.Err = errors.Join(res.Err, ctx.Err())
			continue
		}
		if err := o.fault(); err != nil {
			res.Err = errors.Join(res.Err, fmt.Errorf("probe %s: %w", o.runner.info.Name, err))
		}
		res.Costs = append(res.Costs, o.runner.snapshot())
		res.Readings = append(res.Readings, o.readings(o.runner.info.Sections)...)
		res.Frame.Samples = append(res.Frame.Samples, o.report.Samples()...)
		o.report.describedIn(res.Families)
	}
	res.Frame.Samples = inOrder(res.Frame.Samples)
	res.Series = dict.Series()
	return res
}

// lockThread makes the thread's CPU time that of the goroutine.
func lockThread() (undo func()) {
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}

// inOrder sorts samples by series and keeps the first of each.
func inOrder(samples []metric.Sample) []metric.Sample {
	bySeries := func(a, b metric.Sample) int { return int(a.Series) - int(b.Series) }
	if !slices.IsSortedFunc(samples, bySeries) {
		sort.SliceStable(samples, func(i, j int) bool { return samples[i].Series < samples[j].Series })
	}
	return slices.CompactFunc(samples, func(a, b metric.Sample) bool { return a.Series == b.Series })
}
