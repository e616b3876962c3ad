package series

import (
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunks"
)

// hostSeries counts the series that each host has in the engine's memory. The engine
// calls it at each creation and removal, so the count is right also after a restart
// and after old series left. Sessions ask it before they create one; the collector's
// own series of a host (up) are counted but never refused, or an agent could keep
// itself from being found silent.
type hostSeries struct {
	limit int

	mu    sync.Mutex // guards count
	count map[string]int
}

func newHostSeries(limit int) *hostSeries {
	return &hostSeries{limit: limit, count: map[string]int{}}
}

// reset forgets all counts, before an engine is opened.
func (h *hostSeries) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.count)
}

// full reports whether a host may have no more series.
func (h *hostSeries) full(hostID string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count[hostID] >= h.limit
}

// PreCreation implements tsdb.SeriesLifecycleCallback.
func (h *hostSeries) PreCreation(labels.Labels) error { return nil }

// PostCreation implements tsdb.SeriesLifecycleCallback.
func (h *hostSeries) PostCreation(ls labels.Labels) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count[strings.Clone(ls.Get(hostIDLabel))]++
}

// PostDeletion implements tsdb.SeriesLifecycleCallback.
func (h *hostSeries) PostDeletion(gone map[chunks.HeadSeriesRef]labels.Labels) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, ls := range gone {
		id := ls.Get(hostIDLabel)
		if h.count[id]--; h.count[id] <= 0 {
			delete(h.count, id)
		}
	}
}

// wblFailures is the engine's counter of failed writes to the log of late samples.
const wblFailures = "prometheus_tsdb_out_of_order_wbl_writes_failed_total"

// failureCounter is a registry that keeps one of the engine's counters and drops
// the rest. It is needed because Commit returns nil when the log of late samples
// could not be written (tsdb, head_append.go, Commit): only this counter tells.
type failureCounter struct {
	name string

	mu        sync.Mutex // guards all below
	collector prometheus.Collector
	seen      float64
}

func (f *failureCounter) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.collector, f.seen = nil, 0
}

// Register implements prometheus.Registerer.
func (f *failureCounter) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc)
	go func() {
		c.Describe(descs)
		close(descs)
	}()
	found := false
	for d := range descs {
		found = found || strings.Contains(d.String(), `"`+f.name+`"`)
	}
	if found {
		f.mu.Lock()
		f.collector = c
		f.mu.Unlock()
	}
	return nil
}

// MustRegister implements prometheus.Registerer.
func (f *failureCounter) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		_ = f.Register(c) // never fails
	}
}

// Unregister implements prometheus.Registerer.
func (f *failureCounter) Unregister(prometheus.Collector) bool { return true }

// grew reports whether the counter grew since the last call.
func (f *failureCounter) grew() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.collector == nil {
		return false
	}
	out := make(chan prometheus.Metric, 1)
	f.collector.Collect(out)
	var m dto.Metric
	if err := (<-out).Write(&m); err != nil {
		return true // cannot tell: not durable
	}
	before := f.seen
	f.seen = m.GetCounter().GetValue()
	return f.seen > before
}
