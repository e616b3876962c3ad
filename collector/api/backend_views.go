package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"atalaya/collector/alert"
	"atalaya/collector/api/v1"
	"atalaya/collector/cmdb"
	"atalaya/collector/series"
	"atalaya/shared/metric"
)

// cmdbBackend fits package cmdb to CMDB.
type cmdbBackend struct{ Sources }

// CIs implements CMDB.
func (b cmdbBackend) CIs(_ context.Context, q v1.CIQuery) (out v1.CIPage, err error) {
	query := cmdb.ListQuery{Name: q.Name, Host: q.Host, Gone: q.Gone, After: q.Cursor, Limit: q.Limit}
	if q.Class != "" {
		class, ok := cmdb.ClassByName(q.Class)
		if !ok {
			return out, fmt.Errorf("%w: no class is called %q", ErrInvalid, q.Class)
		}
		query.Class = class
	}
	items, more, err := b.CMDB.List(query)
	if err != nil {
		if q.Cursor != "" && errors.Is(err, cmdb.ErrNotFound) {
			return out, errPageCursor
		}
		return out, classify(err)
	}
	for _, it := range items {
		out.CIs = append(out.CIs, ci(it))
	}
	if more {
		out.Next = items[len(items)-1].ID
	}
	return out, nil
}

func ci(it cmdb.Item) v1.CI {
	out := v1.CI{
		ID: it.ID, Class: it.Class.String(), Name: it.Name, Attributes: it.Attributes,
		Present: it.Present, FirstSeen: it.FirstSeen.UTC(), LastSeen: it.LastSeen.UTC(),
	}
	if it.Host != nil {
		out.Host = it.Host.Name
	}
	return out
}

// CI implements CMDB.
func (b cmdbBackend) CI(_ context.Context, id string) (out v1.CIDetail, err error) {
	d, err := b.CMDB.Show(id)
	if err != nil {
		return out, classify(err)
	}
	out.CI = ci(d.Item)
	for _, r := range d.Relations {
		out.Relations = append(out.Relations, v1.Relation{
			Relation: r.Relation, ID: r.Item.ID, Class: r.Item.Class.String(), Name: r.Item.Name, Present: r.Item.Present,
			FirstSeen: r.FirstSeen.UTC(), LastSeen: r.Item.LastSeen.UTC(), Attributes: r.Attributes,
		})
	}
	return out, nil
}

// Impact implements CMDB.
func (b cmdbBackend) Impact(_ context.Context, id string) (out v1.Impact, err error) {
	res, err := b.CMDB.Impact(id, 0)
	if err != nil {
		return out, classify(err)
	}
	out.CI, out.Truncated = ci(res.Item), res.Truncated
	for _, h := range res.Hits {
		hit := v1.Affected{ID: h.Item.ID, Class: h.Item.Class.String(), Name: h.Item.Name, Distance: h.Depth}
		for _, s := range h.Why {
			hit.Why = append(hit.Why, v1.Step(s))
		}
		out.Affected = append(out.Affected, hit)
	}
	return out, nil
}

// alertBackend fits package alert to Alerts.
type alertBackend struct{ Sources }

// Rules implements Alerts.
func (b alertBackend) Rules(context.Context) ([]v1.Rule, error) {
	var out []v1.Rule
	for _, r := range b.Sources.Alerts.Rules() {
		rule := v1.Rule{
			Name: r.Name, Group: r.Group, Expr: r.Expr, ForSeconds: r.For.Seconds(), KeepFiringSeconds: r.KeepFiringFor.Seconds(),
			Labels: r.Labels, Annotations: r.Annotations, State: string(r.State), Alerts: r.Alerts, EvaluatedAt: r.LastEval.UTC(),
		}
		if r.Err != nil {
			rule.Error = r.Err.Error()
		}
		out = append(out, rule)
	}
	return out, nil
}

// CheckRules implements Alerts.
func (b alertBackend) CheckRules(_ context.Context, content string) (out v1.RuleCheck, err error) {
	out.Rules, err = alert.CheckRules("rules", []byte(content))
	out.Problems = lines(err)
	return out, nil
}

// lines splits joined errors.
func lines(err error) []string {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var out []string
		for _, e := range joined.Unwrap() {
			out = append(out, lines(e)...)
		}
		return out
	}
	return []string{err.Error()}
}

// Alerts implements Alerts.
func (b alertBackend) Alerts(_ context.Context, q v1.AlertQuery) (out v1.AlertPage, err error) {
	part, next, err := cut(b.Sources.Alerts.List(alert.Filter{State: alert.State(q.State)}), q.Page)
	for _, a := range part {
		out.Alerts = append(out.Alerts, alertOf(a))
	}
	out.Next = next
	return out, err
}

func alertOf(a alert.Alert) v1.Alert {
	out := v1.Alert{
		ID: a.Fingerprint, Name: a.Rule, State: string(a.State), Severity: a.Labels["severity"], Host: a.Labels["host"],
		Summary: a.Annotations["summary"], Labels: a.Labels, Annotations: a.Annotations,
		ActiveAt: a.ActiveAt.UTC(), FiredAt: a.FiredAt.UTC(), ResolvedAt: a.ResolvedAt.UTC(),
	}
	if v := float64(a.Value); !math.IsNaN(v) && !math.IsInf(v, 0) {
		out.Value = &v
	}
	return out
}

// Alert implements Alerts.
func (b alertBackend) Alert(_ context.Context, id string) (out v1.AlertDetail, err error) {
	a, events, err := b.Sources.Alerts.Show(id)
	if err != nil {
		return out, classify(err)
	}
	out.Alert = alertOf(a)
	for _, e := range slices.Backward(events) {
		out.History = append(out.History, v1.AlertEvent{At: e.At.UTC(), State: string(e.To)})
	}
	return out, nil
}

// metricsBackend fits package series to Metrics.
type metricsBackend struct{ Sources }

// Query implements Metrics.
func (b metricsBackend) Query(ctx context.Context, expr string, at time.Time) (Result, error) {
	return metricResult(b.Sources.Series.Query(ctx, expr, at))
}

// QueryRange implements Metrics.
func (b metricsBackend) QueryRange(ctx context.Context, expr string, r Range) (Result, error) {
	return metricResult(b.Sources.Series.QueryRange(ctx, expr, r.From, r.To, r.Step))
}

func metricResult(r *series.Result, err error) (Result, error) {
	if err != nil {
		return Result{}, queryError(err)
	}
	data, err := r.AppendJSON(nil)
	return Result{Data: data, Warnings: r.Warnings, Infos: r.Infos}, err
}

// queryKinds maps the engine's kinds of errors to ours.
var queryKinds = map[series.ErrorKind]error{
	series.BadData:   ErrInvalid,
	series.Execution: ErrExecution,
	series.Canceled:  context.Canceled,
	series.Timeout:   context.DeadlineExceeded,
}

func queryError(err error) error {
	var q *series.QueryError
	if errors.As(err, &q) {
		if kind, ok := queryKinds[q.Kind]; ok {
			return kindred{err, kind}
		}
	}
	return classify(err)
}

// LabelNames implements Metrics.
func (b metricsBackend) LabelNames(ctx context.Context, s Selection) ([]string, error) {
	names, err := b.Sources.Series.LabelNames(ctx, series.Selection(s))
	return names, queryError(err)
}

// LabelValues implements Metrics.
func (b metricsBackend) LabelValues(ctx context.Context, label string, s Selection) ([]string, error) {
	values, err := b.Sources.Series.LabelValues(ctx, label, series.Selection(s))
	return values, queryError(err)
}

// Series implements Metrics.
func (b metricsBackend) Series(ctx context.Context, s Selection) ([]map[string]string, error) {
	found, err := b.Sources.Series.Series(ctx, series.Selection(s))
	out := make([]map[string]string, len(found))
	for i, labels := range found {
		out[i] = labelMap(labels)
	}
	return out, queryError(err)
}

func labelMap(labels []metric.Label) map[string]string {
	out := make(map[string]string, len(labels))
	for _, l := range labels {
		out[l.Name] = l.Value
	}
	return out
}

// Loading implements Metrics.
func (b metricsBackend) Loading() error { return b.Sources.Series.Loading() }

// Metadata implements Metrics.
func (b metricsBackend) Metadata(context.Context) (map[string]v1.Metadata, error) {
	out := map[string]v1.Metadata{}
	all := b.Sources.Series.Metadata("")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if len(all[name]) > 0 {
			out[name] = v1.Metadata(all[name][0])
		}
	}
	return out, nil
}
