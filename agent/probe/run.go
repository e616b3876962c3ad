package probe

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
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
	Err      error           // the errors of all probes, joined, each with the probe's name
}

// RunOnce runs probes one after the other, with their limits, and returns all that
// they found, for the command line and for tests. What could be read stands beside
// the error.
func RunOnce(ctx context.Context, h *Host, probes ...Probe) Result {
	var res Result
	dict := metric.NewDictionary(maxSeries, nil)
	res.Frame.At = h.Now().UnixMilli()
	for _, p := range probes {
		info := withDefaults(p.Info())
		r := NewReport(dict, info.MaxItems)
		at := facts.TimeOf(h.Now())
		err := collect(ctx, p, info.Timeout, h.forProbe(info), r)
		if err != nil {
			res.Err = errors.Join(res.Err, fmt.Errorf("probe %s: %w", info.Name, err))
		}
		res.Readings = append(res.Readings, r.readings(info.Sections, at, err)...)
		res.Frame.Samples = append(res.Frame.Samples, r.samples...)
	}
	res.Frame.Samples = inOrder(res.Frame.Samples)
	res.Series = dict.Series()
	return res
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

// collect runs the probe with its deadline and turns a panic into an error.
func collect(ctx context.Context, p Probe, timeout time.Duration, h *Host, r *Report) (err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return p.Collect(ctx, h, r)
}

// PanicError is a panic of a probe. Its text has the value only; the stack is for the log.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// inOrder sorts samples by series and keeps the first of each.
func inOrder(samples []metric.Sample) []metric.Sample {
	byseries := func(a, b metric.Sample) int { return int(a.Series) - int(b.Series) }
	if !slices.IsSortedFunc(samples, byseries) {
		slices.SortStableFunc(samples, byseries)
	}
	return slices.CompactFunc(samples, func(a, b metric.Sample) bool { return a.Series == b.Series })
}
