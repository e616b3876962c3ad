package alert

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"atalaya/collector/series"
	"atalaya/shared/metric"
)

const (
	alertName  = "alertname"
	metricName = "__name__"
	// settle is how long after a gap a missing result is not believed: agents redial
	// within a minute (uplink's longest backoff) and then send what they kept.
	settle = 3 * time.Minute
	// markEvery is how often a group is noted as evaluated when nothing changes. A
	// gap may seem this much longer than it was.
	markEvery = time.Minute
)

// runGroup evaluates a group at its interval, at a moment of its own, until ctx ends.
func (e *Engine) runGroup(ctx context.Context, g *group) {
	timer := time.NewTimer(g.phase(e.cfg.Now()))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if err := e.evaluate(ctx, g, e.cfg.Now()); err != nil && ctx.Err() == nil {
			e.cfg.Log.Warn("rules not evaluated", "group", g.name, "err", err)
		}
		timer.Reset(g.phase(e.cfg.Now()))
	}
}

// phase returns the time to the next evaluation. Groups are spread over the interval
// by their names, so that each keeps its moments across restarts.
func (g *group) phase(now time.Time) time.Duration {
	h := fnv.New64a()
	h.Write([]byte(g.key())) // never fails
	offset := int64(h.Sum64() % uint64(g.interval))
	return time.Duration(int64(g.interval) - (now.UnixNano()-offset)%int64(g.interval))
}

// evaluate runs the rules of a group in order. A rule that fails leaves its alerts
// as they are; only the store's failures come back.
func (e *Engine) evaluate(ctx context.Context, g *group, at time.Time) error {
	var errs []error
	mark := false
	for _, r := range g.rules {
		start := time.Now()
		stored, err := e.evaluateRule(ctx, g, r, at)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		e.mu.Lock()
		if failed(err) != failed(r.err) {
			e.logHealth(g, r, err)
		}
		r.err, r.took = err, time.Since(start)
		if err == nil {
			r.lastEval = at
			mark = true
		}
		e.mu.Unlock()
		errs = append(errs, stored)
	}
	if mark && at.Sub(g.marked) >= markEvery {
		errs = append(errs, e.mark(g, at))
	}
	return errors.Join(errs...)
}

// failed reports whether a rule is at fault: not while metrics are still being read.
func failed(err error) bool { return err != nil && !errors.Is(err, series.ErrLoading) }

func (e *Engine) logHealth(g *group, r *rule, err error) {
	if err != nil {
		e.cfg.Log.Warn("rule fails", "group", g.name, "rule", r.alert+r.record, "err", err)
	} else {
		e.cfg.Log.Info("rule works again", "group", g.name, "rule", r.alert+r.record)
	}
}

// evaluateRule returns failures of the store apart from those of the rule.
func (e *Engine) evaluateRule(ctx context.Context, g *group, r *rule, at time.Time) (stored, failed error) {
	ctx, cancel := context.WithTimeout(ctx, evalTimeout)
	defer cancel()
	v, err := e.cfg.Query.Instant(ctx, r.expr, at.Add(-g.offset))
	if err != nil {
		return nil, err
	}
	limit := g.limit
	if limit <= 0 {
		limit = maxPerRule
	}
	if len(v) > limit {
		return nil, fmt.Errorf("%d results, the limit is %d", len(v), limit)
	}
	if r.record != "" {
		return nil, e.record(ctx, r, v, at)
	}
	left, err := e.left(r, v)
	if err != nil {
		return err, err
	}
	v = slices.DeleteFunc(v, func(s series.Sample) bool { return left[hostOf(s.Labels)] })
	holding, err := e.holding(ctx, g, r, v, at)
	if err != nil {
		return nil, err
	}
	if err := e.advance(g, r, outcome{holding, left}, at); err != nil {
		return err, err
	}
	return nil, nil
}

// record stores the result of a recording rule under its name.
func (e *Engine) record(ctx context.Context, r *rule, v series.Vector, at time.Time) error {
	out := make(series.Vector, len(v))
	for i, s := range v {
		ls := labelMap(s)
		maps.Copy(ls, r.labels)
		out[i] = series.Sample{At: at.UnixMilli(), Value: s.Value, Labels: []metric.Label{{Name: metricName, Value: r.record}}}
		for _, name := range slices.Sorted(maps.Keys(ls)) {
			out[i].Labels = append(out[i].Labels, metric.Label{Name: name, Value: ls[name]})
		}
	}
	return e.cfg.Record.Record(ctx, out)
}

// holding returns the alerts for which the rule holds, with labels and texts only, by
// fingerprint. What the last evaluation made of a result holds while that stays the same.
func (e *Engine) holding(ctx context.Context, g *group, r *rule, v series.Vector, at time.Time) (map[string]*Alert, error) {
	out, made := make(map[string]*Alert, len(v)), make(map[string]*Alert, len(v))
	var of []byte
	for _, s := range v {
		of = appendLabels(of[:0], s.Labels)
		a := r.made[string(of)]
		if a == nil || r.asks || math.Float64bits(float64(a.Value)) != math.Float64bits(s.Value) {
			a = e.newAlert(ctx, g, r, s, at)
		}
		if out[a.Fingerprint] != nil {
			return nil, fmt.Errorf("two results have the same labels %s once the rule's are added", labelText(a.Labels))
		}
		out[a.Fingerprint], made[string(of)] = a, a
	}
	r.made = made
	return out, nil
}

// newAlert makes an alert of a result.
func (e *Engine) newAlert(ctx context.Context, g *group, r *rule, s series.Sample, at time.Time) *Alert {
	x := e.newExpander(ctx, r, s, at)
	ls := labelMap(s)
	maps.Copy(ls, x.all(r.labels))
	ls[alertName] = r.alert
	maps.DeleteFunc(ls, func(_, v string) bool { return v == "" })
	return &Alert{
		Fingerprint: fingerprint(ls), Group: g.key(), Rule: r.alert, RuleID: r.id, Expr: r.expr,
		Labels: ls, Annotations: x.all(r.annotations), Value: Value(s.Value),
	}
}

// appendLabels appends the labels of a result so that others give other bytes.
func appendLabels(dst []byte, ls []metric.Label) []byte {
	for _, l := range ls {
		dst = binary.AppendUvarint(dst, uint64(len(l.Name)))
		dst = append(dst, l.Name...)
		dst = binary.AppendUvarint(dst, uint64(len(l.Value)))
		dst = append(dst, l.Value...)
	}
	return dst
}

// advance steps all alerts of a rule and stores what changed.
func (e *Engine) advance(g *group, r *rule, o outcome, at time.Time) error {
	e.mu.RLock()
	t := timing{now: at, hold: r.hold, keepFiring: r.keepFiring}
	settling := r.settling
	if !r.lastEval.IsZero() {
		// Up to two intervals and the mark's age are no gap.
		if gap := at.Sub(r.lastEval) - g.interval; gap > g.interval+markEvery {
			t.unseen = gap
			settling = at.Add(settle)
		}
	}
	t.settling = at.Before(settling)
	next := make(map[string]*Alert, len(o.holding))
	var changes []Event
	note := func(fingerprint string, old, now *Alert) {
		next[fingerprint] = now
		if c, ok := changeOf(old, now, at); ok {
			changes = append(changes, c)
		}
	}
	for fingerprint, old := range r.alerts {
		if o.holding[fingerprint] != nil {
			continue
		}
		over := t
		if o.left[old.Labels[hostID]] {
			over.settling, over.keepFiring = false, 0
		}
		note(fingerprint, old, step(old, false, over))
	}
	for fingerprint, seen := range o.holding {
		old := r.alerts[fingerprint]
		now := step(old, true, t)
		now.Fingerprint, now.Group, now.Rule, now.RuleID, now.Expr = seen.Fingerprint, seen.Group, seen.Rule, seen.RuleID, seen.Expr
		now.Labels, now.Annotations, now.Value = seen.Labels, seen.Annotations, seen.Value
		note(fingerprint, old, now)
	}
	e.mu.RUnlock()
	slices.SortFunc(changes, func(a, b Event) int {
		return strings.Compare(a.Alert.Fingerprint, b.Alert.Fingerprint)
	})
	// A gap moves HeldFrom of all: store them too.
	var all map[string]*Alert
	if t.unseen > 0 {
		all = next
	}
	if err := e.save(changes, all); err != nil {
		return err
	}
	maps.DeleteFunc(next, func(_ string, a *Alert) bool { return a == nil || a.State == Resolved })
	e.mu.Lock()
	defer e.mu.Unlock()
	r.settling, r.alerts = settling, next
	return nil
}

// changeOf returns the event between two states of an alert, if there is one.
func changeOf(old, now *Alert, at time.Time) (Event, bool) {
	from, to := Inactive, Inactive
	ev := Event{At: at}
	if old != nil {
		from, ev.Alert = old.State, *old
	}
	if now != nil {
		to, ev.Alert = now.State, *now
	} else {
		ev.Alert.State = Inactive
	}
	ev.From, ev.To = from, to
	return ev, from != to
}

func labelMap(s series.Sample) map[string]string {
	m := make(map[string]string, len(s.Labels)+2)
	for _, l := range s.Labels {
		if l.Name != metricName {
			m[l.Name] = l.Value
		}
	}
	return m
}

// fingerprint is Alertmanager's, so that links and silences agree.
func fingerprint(ls map[string]string) string {
	set := make(model.LabelSet, len(ls))
	for k, v := range ls {
		set[model.LabelName(k)] = model.LabelValue(v)
	}
	return set.Fingerprint().String()
}

// labelText writes labels as PromQL does, sorted.
func labelText(ls map[string]string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, k := range slices.Sorted(maps.Keys(ls)) {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(k + "=" + strconv.Quote(ls[k]))
	}
	b.WriteByte('}')
	return b.String()
}
