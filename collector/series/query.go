package series

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/annotations"

	"atalaya/shared/metric"
)

const (
	// lookback is how long a series without new samples keeps its last value, as in
	// Prometheus (query.lookback-delta).
	lookback = 5 * time.Minute
	// queriesAtOnce bounds the memory of queries together with Config.QuerySamples;
	// more wait. Prometheus has 20 (query.max-concurrency), for larger machines.
	queriesAtOnce = 8
	// maxPoints of a range query per series, as in Prometheus (web/api/v1): 60 s
	// steps for a week.
	maxPoints = 11000
	// subqueryStep is the step of a subquery that names none: Prometheus' default
	// evaluation interval.
	subqueryStep = time.Minute
	// maxWarnings a result carries, and as many notes.
	maxWarnings = 10
)

// ErrorKind is Prometheus' errorType of a failed query.
type ErrorKind string

// The kinds.
const (
	BadData   ErrorKind = "bad_data"    // the question is wrong
	Execution ErrorKind = "execution"   // the question cannot be answered
	NotYet    ErrorKind = "unavailable" // the engine is being opened: ErrLoading
	Canceled  ErrorKind = "canceled"    // the asker went away, or the collector stops
	Timeout   ErrorKind = "timeout"
	Internal  ErrorKind = "internal" // the storage failed
)

// QueryError is the error of all queries.
type QueryError struct {
	Kind ErrorKind
	Err  error
}

func (e *QueryError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *QueryError) Unwrap() error { return e.Err }

func badData(format string, args ...any) error {
	return &QueryError{BadData, fmt.Errorf(format, args...)}
}

// queryError gives any error of a query its kind.
func queryError(err error) error {
	var known *QueryError
	var canceled promql.ErrQueryCanceled
	var timeout promql.ErrQueryTimeout
	var stored promql.ErrStorage
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case errors.As(err, &canceled), errors.Is(err, context.Canceled):
		return &QueryError{Canceled, err}
	case errors.As(err, &timeout), errors.Is(err, context.DeadlineExceeded):
		return &QueryError{Timeout, err}
	case errors.Is(err, ErrLoading):
		return &QueryError{NotYet, err}
	case errors.As(err, &stored), errors.Is(err, ErrClosed):
		return &QueryError{Internal, err}
	}
	return &QueryError{Execution, err}
}

func (d *DB) newEngine() *promql.Engine {
	return promql.NewEngine(promql.EngineOpts{
		Logger:                   d.log,
		MaxSamples:               d.cfg.QuerySamples,
		Timeout:                  d.cfg.QueryTimeout,
		LookbackDelta:            lookback,
		NoStepSubqueryIntervalFn: func(int64) int64 { return subqueryStep.Milliseconds() },
		EnableAtModifier:         true,
		EnableNegativeOffset:     true,
		Parser:                   d.parser,
	})
}

// Sample is one element of an instant result.
type Sample struct {
	Labels []metric.Label // sorted by name; with __name__ where the expression keeps it
	At     int64          // Unix ms
	Value  float64
}

// Vector is an instant result.
type Vector []Sample

// Result is the answer to a query. It stays valid after the database is closed.
type Result struct {
	Warnings []string // at most maxWarnings
	Infos    []string // at most maxWarnings
	value    parser.Value
}

// Vector returns an instant vector, or a scalar as one sample without labels.
func (r *Result) Vector() (Vector, error) {
	switch v := r.value.(type) {
	case promql.Vector:
		out := make(Vector, 0, len(v))
		for _, s := range v {
			if s.H == nil {
				out = append(out, Sample{fromLabels(s.Metric), s.T, s.F})
			}
		}
		return out, nil
	case promql.Scalar:
		return Vector{{At: v.T, Value: v.V}}, nil
	}
	return nil, badData("expression gives a %s, not an instant vector or scalar", r.value.Type())
}

func fromLabels(ls labels.Labels) []metric.Label {
	out := make([]metric.Label, 0, ls.Len())
	ls.Range(func(l labels.Label) { out = append(out, metric.Label{Name: l.Name, Value: l.Value}) })
	return out
}

// CheckExpr returns what is wrong with an expression, nil if nothing is.
func (d *DB) CheckExpr(expr string) error {
	_, err := d.parseExpr(expr)
	return err
}

// Query evaluates a PromQL expression at one moment.
func (d *DB) Query(ctx context.Context, expr string, at time.Time) (*Result, error) {
	if err := d.check(expr); err != nil {
		return nil, err
	}
	return d.run(ctx, func(ctx context.Context, q storage.Queryable) (promql.Query, error) {
		return d.engine.NewInstantQuery(ctx, q, nil, expr, at)
	})
}

// Instant is Query for callers that need the samples, such as rules.
func (d *DB) Instant(ctx context.Context, expr string, at time.Time) (Vector, error) {
	r, err := d.Query(ctx, expr, at)
	if err != nil {
		return nil, err
	}
	return r.Vector()
}

// QueryRange evaluates a PromQL expression at each step of a span, both ends included.
func (d *DB) QueryRange(ctx context.Context, expr string, from, to time.Time, step time.Duration) (*Result, error) {
	switch {
	case step < time.Millisecond:
		return nil, badData("step %s is too small, use a positive one of at least 1ms", step)
	case to.Before(from):
		return nil, badData("end %s is before start %s", to.UTC().Format(time.RFC3339), from.UTC().Format(time.RFC3339))
	case to.Sub(from)/step > maxPoints:
		return nil, badData("more than %d points per series, use a larger step than %s", maxPoints, step)
	}
	if err := d.check(expr); err != nil {
		return nil, err
	}
	return d.run(ctx, func(ctx context.Context, q storage.Queryable) (promql.Query, error) {
		return d.engine.NewRangeQuery(ctx, q, nil, expr, from, to, step)
	})
}

func (d *DB) run(ctx context.Context, prepare func(context.Context, storage.Queryable) (promql.Query, error)) (*Result, error) {
	var r *Result
	err := d.ask(ctx, func(ctx context.Context, db *tsdb.DB) error {
		q, err := prepare(ctx, db)
		if err != nil {
			return &QueryError{BadData, err}
		}
		defer q.Close()
		res := q.Exec(ctx)
		if res.Err != nil {
			return res.Err
		}
		r = &Result{value: detach(res.Value)}
		r.Warnings, r.Infos = res.Warnings.AsStrings(q.String(), maxWarnings, maxWarnings)
		return nil
	})
	return r, err
}

// ask waits for a slot and calls fn with the engine and a context that ends at Close.
func (d *DB) ask(ctx context.Context, fn func(context.Context, *tsdb.DB) error) error {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.QueryTimeout)
	defer cancel()
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-d.stop:
		return queryError(ErrClosed)
	case <-ctx.Done():
		return queryError(fmt.Errorf("query waited for others: %w", ctx.Err()))
	}
	if err := d.reopening(); err != nil {
		return queryError(err)
	}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-d.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := d.use(func(db *tsdb.DB) error { return fn(ctx, db) })
	cancel()
	<-watched
	return queryError(err)
}

// detach copies what the engine takes back at Query.Close: the points of a matrix.
func detach(v parser.Value) parser.Value {
	m, ok := v.(promql.Matrix)
	if !ok {
		return v
	}
	out := make(promql.Matrix, len(m))
	for i, s := range m {
		out[i] = promql.Series{
			Metric:     s.Metric,
			Floats:     slices.Clone(s.Floats),
			Histograms: slices.Clone(s.Histograms),
		}
	}
	return out
}

// Selection bounds a search for series: any of Match (series selectors; none: all),
// within a span (zero times: all), at most Limit results (0: all).
type Selection struct {
	Match    []string
	From, To time.Time
	Limit    int
}

func (d *DB) search(ctx context.Context, sel Selection, fn func(context.Context, storage.Querier, [][]*labels.Matcher) error) error {
	sets, err := d.parseSelectors(sel.Match)
	if err != nil {
		return err
	}
	from, to := d.span(sel)
	return d.ask(ctx, func(ctx context.Context, db *tsdb.DB) error {
		q, err := db.Querier(from, to)
		if err != nil {
			return &QueryError{Internal, err}
		}
		defer q.Close()
		return fn(ctx, q, sets)
	})
}

// span returns a selection's bounds in Unix ms.
func (d *DB) span(sel Selection) (from, to int64) {
	to = d.cfg.Now().Add(maxAhead).UnixMilli()
	if !sel.From.IsZero() {
		from = sel.From.UnixMilli()
	}
	if !sel.To.IsZero() {
		to = sel.To.UnixMilli()
	}
	return from, to
}

// LabelNames returns the names of all labels, sorted.
func (d *DB) LabelNames(ctx context.Context, sel Selection) ([]string, error) {
	return d.strings(ctx, sel, func(ctx context.Context, q storage.Querier, h *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
		return q.LabelNames(ctx, h, ms...)
	})
}

// LabelValues returns the values of a label, sorted.
func (d *DB) LabelValues(ctx context.Context, name string, sel Selection) ([]string, error) {
	return d.strings(ctx, sel, func(ctx context.Context, q storage.Querier, h *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
		return q.LabelValues(ctx, name, h, ms...)
	})
}

type stringsOf func(context.Context, storage.Querier, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error)

// strings returns the union of what get finds for each selector.
func (d *DB) strings(ctx context.Context, sel Selection, get stringsOf) ([]string, error) {
	all := []string{}
	err := d.search(ctx, sel, func(ctx context.Context, q storage.Querier, sets [][]*labels.Matcher) error {
		if len(sets) == 0 {
			sets = [][]*labels.Matcher{nil}
		}
		for _, ms := range sets {
			found, _, err := get(ctx, q, &storage.LabelHints{Limit: sel.Limit}, ms...)
			if err != nil {
				return err
			}
			for _, s := range found {
				all = append(all, string([]byte(s))) // found may lie in a mapped block
			}
		}
		return nil
	})
	slices.Sort(all)
	all = slices.Compact(all)
	if sel.Limit > 0 && len(all) > sel.Limit {
		all = all[:sel.Limit]
	}
	return all, err
}

// Series returns the label sets of the series that match, sorted. At least one
// selector is needed.
func (d *DB) Series(ctx context.Context, sel Selection) ([][]metric.Label, error) {
	if len(sel.Match) == 0 {
		return nil, badData("no match[] parameter provided")
	}
	out := [][]metric.Label{}
	from, to := d.span(sel)
	err := d.search(ctx, sel, func(ctx context.Context, q storage.Querier, sets [][]*labels.Matcher) error {
		found := make([]storage.SeriesSet, len(sets))
		for i, ms := range sets {
			hints := &storage.SelectHints{Start: from, End: to, Func: "series", Limit: sel.Limit} // "series": labels only
			found[i] = q.Select(ctx, true, hints, ms...)
		}
		set := storage.NewMergeSeriesSet(found, 0, storage.ChainedSeriesMerge)
		for set.Next() && (sel.Limit <= 0 || len(out) < sel.Limit) {
			out = append(out, fromLabels(set.At().Labels().Copy()))
		}
		return set.Err()
	})
	return out, err
}

// Metadata is what is known of a metric name.
type Metadata struct {
	Type string `json:"type"`
	Help string `json:"help"`
	Unit string `json:"unit"`
}

// Metadata returns the catalogue's entries by name, all or of the one given, in the
// form of Prometheus' API.
func (d *DB) Metadata(name string) map[string][]Metadata {
	out := map[string][]Metadata{}
	for _, desc := range d.cfg.Catalogue {
		if name == "" || name == desc.Name {
			out[desc.Name] = []Metadata{{Type: desc.Kind.String(), Help: desc.Help}}
		}
	}
	return out
}
