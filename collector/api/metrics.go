package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"atalaya/collector/api/v1"
)

// Prometheus' own HTTP interface, as far as dashboards and promtool need it
// (https://prometheus.io/docs/prometheus/latest/querying/api/). Answers and errors
// have its form, not ours.

const (
	// maxPoints of one series in a range query, as in Prometheus.
	maxPoints = 11_000
	// engineVersion is the release of Prometheus whose query engine and interface
	// these are; Grafana chooses its requests by it.
	engineVersion = "3.15.0"
	mediaJSON     = "application/json"
	mediaForm     = "application/x-www-form-urlencoded"
)

// promHandler answers one request.
type promHandler func(ctx context.Context, p promParams) (Result, error)

func (a *API) metricRoutes(routes huma.API) {
	a.prom("GET /api/v1/query", a.query)
	a.prom("POST /api/v1/query", a.query)
	a.prom("GET /api/v1/query_range", a.queryRange)
	a.prom("POST /api/v1/query_range", a.queryRange)
	a.prom("GET /api/v1/labels", a.labels)
	a.prom("POST /api/v1/labels", a.labels)
	a.prom("GET /api/v1/label/{name}/values", a.labelValues)
	a.prom("GET /api/v1/series", a.series)
	a.prom("POST /api/v1/series", a.series)
	a.prom("GET /api/v1/metadata", a.metadata)
	a.prom("GET /api/v1/status/buildinfo", a.buildInfo)

	expr, at := param("query", "PromQL expression", true), param("time", "seconds since 1970 or RFC 3339; now when absent", false)
	from, to := param("start", "seconds since 1970 or RFC 3339", false), param("end", "seconds since 1970 or RFC 3339", false)
	step := param("step", "seconds or a duration such as 1m", true)
	match, limit := param("match[]", "series selector; may be repeated", false), param("limit", "at most so many", false)
	name := &huma.Param{Name: "name", In: "path", Required: true, Schema: &huma.Schema{Type: "string"}}
	describe(routes, "/api/v1/query", "query", "Evaluate PromQL at one moment (Prometheus' form)", mediaJSON, expr, at)
	describe(routes, "/api/v1/query_range", "query-range", "Evaluate PromQL over a range (Prometheus' form)", mediaJSON, expr, from, to, step)
	describe(routes, "/api/v1/labels", "list-labels", "Names of labels (Prometheus' form)", mediaJSON, match, from, to, limit)
	describe(routes, "/api/v1/label/{name}/values", "list-label-values", "Values of a label (Prometheus' form)", mediaJSON, name, match, from, to, limit)
	describe(routes, "/api/v1/series", "find-series", "Series that match selectors (Prometheus' form)", mediaJSON, match, from, to, limit)
	describe(routes, "/api/v1/metadata", "list-metadata", "Type and help of metrics (Prometheus' form)", mediaJSON, param("metric", "name", false), limit)
	describe(routes, "/api/v1/status/buildinfo", "get-buildinfo", "Version of the query engine (Prometheus' form)", mediaJSON)
}

func param(name, doc string, required bool) *huma.Param {
	return &huma.Param{Name: name, In: "query", Description: doc, Required: required, Schema: &huma.Schema{Type: "string"}}
}

// prom registers a handler that answers in Prometheus' envelope.
func (a *API) prom(pattern string, handler promHandler) {
	a.guard.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		p, err := readParams(r)
		if err != nil {
			a.promError(w, r, err)
			return
		}
		ctx, cancel, err := p.deadline(r.Context())
		if err != nil {
			a.promError(w, r, err)
			return
		}
		defer cancel()
		result, err := handler(ctx, p)
		if err != nil {
			a.promError(w, r, err)
			return
		}
		writeProm(w, http.StatusOK, v1.PromResponse{Status: "success", Warnings: result.Warnings, Infos: result.Infos}, result.Data)
	})
}

// promErrors gives kinds of errors the types that Prometheus has for them.
var promErrors = []struct {
	kind   error
	status int
	name   string
}{
	{ErrInvalid, http.StatusBadRequest, "bad_data"},
	{ErrNotFound, http.StatusNotFound, "not_found"},
	{ErrBusy, http.StatusServiceUnavailable, v1.CodeUnavailable},
	{context.DeadlineExceeded, http.StatusServiceUnavailable, "timeout"},
	{context.Canceled, http.StatusServiceUnavailable, "canceled"},
	{ErrExecution, http.StatusUnprocessableEntity, "execution"},
}

// ErrExecution: a metric query is well formed and could not be evaluated, for
// instance because it matches too many series on one side.
var ErrExecution = errors.New("query failed")

func (a *API) promError(w http.ResponseWriter, r *http.Request, err error) {
	for _, row := range promErrors {
		if errors.Is(err, row.kind) {
			if row.kind == ErrBusy {
				w.Header().Set("Retry-After", busyTime)
			}
			writeProm(w, row.status, v1.PromResponse{Status: "error", ErrorType: row.name, Error: err.Error()}, nil)
			return
		}
	}
	a.Log.Error("metric request failed", "path", r.URL.Path, "err", err)
	writeProm(w, http.StatusInternalServerError, v1.PromResponse{
		Status: "error", ErrorType: "internal", Error: "the collector could not answer; its log says why",
	}, nil)
}

// writeProm writes the envelope around data, which may be large and is not encoded again.
func writeProm(w http.ResponseWriter, status int, doc v1.PromResponse, data []byte) {
	envelope, err := v1.Encode(doc, "")
	if err != nil { // it holds strings only
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", mediaJSON)
	w.WriteHeader(status)
	if data != nil {
		// The envelope of a success begins with its status; the data goes behind it.
		const head = `{"status":"success"`
		io.WriteString(w, head+`,"data":`) // a client that went away needs no answer, here and below
		w.Write(v1.Escape(data))
		envelope = envelope[len(head):]
	}
	w.Write(envelope)
}

// encoded is a handler's answer that is not encoded yet.
func encoded(v any, err error) (Result, error) {
	if err != nil {
		return Result{}, err
	}
	data, err := json.Marshal(v)
	return Result{Data: data}, err
}

// promParams are the parameters of a request, from its query and its form.
type promParams struct {
	form url.Values
	name string // of the label in the path
}

func readParams(r *http.Request) (promParams, error) {
	if err := r.ParseForm(); err != nil {
		return promParams{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return promParams{form: r.Form, name: r.PathValue("name")}, nil
}

// deadline applies the parameter timeout, which can only shorten the usual one.
func (p promParams) deadline(ctx context.Context) (context.Context, context.CancelFunc, error) {
	text := p.form.Get("timeout")
	if text == "" {
		return ctx, func() {}, nil
	}
	d, err := parseStep(text)
	if err != nil {
		return nil, nil, fmt.Errorf("parameter \"timeout\": %w", err)
	}
	if d <= 0 {
		return nil, nil, fmt.Errorf("%w: timeout %q is not more than nothing", ErrInvalid, text)
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	return ctx, cancel, nil
}

// time reads a parameter that is a time; fallback stands for an absent one.
func (p promParams) time(name string, fallback time.Time) (time.Time, error) {
	text := p.form.Get(name)
	if text == "" {
		return fallback, nil
	}
	t, err := parseTime(text)
	if err != nil {
		return t, fmt.Errorf("parameter %q: %w", name, err)
	}
	return t, nil
}

func (p promParams) limit() (int, error) {
	text := p.form.Get("limit")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%w: limit %q is not a count", ErrInvalid, text)
	}
	return n, nil
}

func (p promParams) selection() (s Selection, err error) {
	s.Match = p.form["match[]"]
	if s.Limit, err = p.limit(); err != nil {
		return s, err
	}
	if s.From, err = p.time("start", time.Time{}); err != nil {
		return s, err
	}
	if s.To, err = p.time("end", time.Time{}); err != nil {
		return s, err
	}
	return s, checkOrder(s.From, s.To)
}

func (p promParams) steps() (r Range, err error) {
	for _, name := range []string{"start", "end", "step"} {
		if p.form.Get(name) == "" {
			return r, fmt.Errorf("%w: parameter %q is missing", ErrInvalid, name)
		}
	}
	if r.From, err = p.time("start", time.Time{}); err != nil {
		return r, err
	}
	if r.To, err = p.time("end", time.Time{}); err != nil {
		return r, err
	}
	if r.Step, err = parseStep(p.form.Get("step")); err != nil {
		return r, err
	}
	switch {
	case r.Step < time.Millisecond:
		return r, fmt.Errorf("%w: the step must be a millisecond at least", ErrInvalid)
	case r.To.Before(r.From):
		return r, fmt.Errorf("%w: end is before start", ErrInvalid)
	case r.To.Sub(r.From)/r.Step > maxPoints:
		return r, fmt.Errorf("%w: more than %d points for each series: use a greater step", ErrInvalid, maxPoints)
	}
	return r, nil
}

func (a *API) query(ctx context.Context, p promParams) (Result, error) {
	at, err := p.time("time", a.now())
	if err != nil {
		return Result{}, err
	}
	return a.Metrics.Query(ctx, p.form.Get("query"), at)
}

func (a *API) queryRange(ctx context.Context, p promParams) (Result, error) {
	steps, err := p.steps()
	if err != nil {
		return Result{}, err
	}
	return a.Metrics.QueryRange(ctx, p.form.Get("query"), steps)
}

func (a *API) labels(ctx context.Context, p promParams) (Result, error) {
	s, err := p.selection()
	if err != nil {
		return Result{}, err
	}
	names, err := a.Metrics.LabelNames(ctx, s)
	return encoded(nonNil(names), err)
}

func (a *API) labelValues(ctx context.Context, p promParams) (Result, error) {
	s, err := p.selection()
	if err != nil {
		return Result{}, err
	}
	values, err := a.Metrics.LabelValues(ctx, p.name, s)
	return encoded(nonNil(values), err)
}

func (a *API) series(ctx context.Context, p promParams) (Result, error) {
	s, err := p.selection()
	if err != nil {
		return Result{}, err
	}
	if len(s.Match) == 0 {
		return Result{}, fmt.Errorf("%w: no match[] parameter provided", ErrInvalid)
	}
	series, err := a.Metrics.Series(ctx, s)
	return encoded(nonNil(series), err)
}

// metadata answers with a list for each name, as Prometheus does, whose targets may
// disagree; our agents do not.
func (a *API) metadata(ctx context.Context, p promParams) (Result, error) {
	limit, err := p.limit()
	if err != nil {
		return Result{}, err
	}
	all, err := a.Metrics.Metadata(ctx)
	if err != nil {
		return Result{}, err
	}
	names := slices.Sorted(maps.Keys(all))
	if only := p.form.Get("metric"); only != "" {
		names = slices.DeleteFunc(names, func(name string) bool { return name != only })
	}
	if limit > 0 && len(names) > limit {
		names = names[:limit]
	}
	out := make(map[string][]v1.Metadata, len(names))
	for _, name := range names {
		out[name] = []v1.Metadata{all[name]}
	}
	return encoded(out, nil)
}

func (a *API) buildInfo(context.Context, promParams) (Result, error) {
	return encoded(map[string]string{
		"version": engineVersion, "revision": "atalaya " + cmp.Or(a.Version, "unknown"), "branch": "",
		"buildUser": "", "buildDate": "", "goVersion": runtime.Version(),
	}, nil)
}
