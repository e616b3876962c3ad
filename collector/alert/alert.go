// Package alert evaluates rules over the metrics, keeps what they say across
// restarts, and tells a receiver.
//
// Rules are Prometheus rule files, read strictly; the default rules are part of the
// program (rules/default.yml). An alert is one label set of one rule. It is pending
// while its rule's `for` runs, then firing, then resolved.
//
// Invariants: each step of an alert is one store transaction together with its
// history and its notification, so nothing is told twice because of a restart and
// nothing is forgotten. Time in which rules were not evaluated (the collector was
// down, the store failed) neither counts for `for` nor resolves anything.
// Notifications leave the store only after the receiver took them: after a crash a
// receiver may get one twice, never none.
//
// Tables in the store: alert.active, alert.groups, alert.history, alert.outbox, all
// with JSON records. Run owns one goroutine per rule group and one for delivery.
package alert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"atalaya/collector/series"
	"atalaya/collector/store"
)

// State of an alert.
type State string

// The states.
const (
	Inactive State = "inactive" // the rule does not hold, and nothing was told
	Pending  State = "pending"  // the rule holds, not yet for long enough
	Firing   State = "firing"
	Resolved State = "resolved" // was firing
)

// Alert is one label set for which a rule holds or held.
type Alert struct {
	Fingerprint string            `json:"fingerprint"` // of the labels, as in Alertmanager
	Group       string            `json:"group"`
	Rule        string            `json:"rule"`    // also the label alertname
	RuleID      string            `json:"rule_id"` // tells rules of one name in a group apart
	State       State             `json:"state"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	Expr        string            `json:"expr"`
	Value       Value             `json:"value"`
	ActiveAt    time.Time         `json:"active_at"`            // since when the rule holds
	FiredAt     time.Time         `json:"fired_at,omitzero"`    // zero: not yet
	ResolvedAt  time.Time         `json:"resolved_at,omitzero"` // zero: not yet

	// HeldFrom is ActiveAt, and SeenAt the last evaluation in which the rule held, both
	// moved by the time in which nothing was evaluated: they drive the timers.
	HeldFrom time.Time `json:"held_from"`
	SeenAt   time.Time `json:"seen_at"`
}

// Value is a sample's value; in JSON a string, which also has a form for NaN.
type Value float64

// MarshalText implements encoding.TextMarshaler.
func (v Value) MarshalText() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(v), 'g', -1, 64), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *Value) UnmarshalText(b []byte) error {
	f, err := strconv.ParseFloat(string(b), 64)
	*v = Value(f)
	return err
}

// Event is a step of an alert that history keeps.
type Event struct {
	Seq   uint64    `json:"seq"`
	At    time.Time `json:"at"`
	From  State     `json:"from"`
	To    State     `json:"to"`
	Alert Alert     `json:"alert"` // after the step
}

// Querier answers PromQL at one moment.
type Querier interface {
	Instant(ctx context.Context, expr string, at time.Time) (series.Vector, error)
}

// Recorder stores the results of recording rules.
type Recorder interface {
	Record(ctx context.Context, samples series.Vector) error
}

const (
	// DefaultInterval is how often a group is evaluated that names no interval. Half
	// of Prometheus' minute default would do for `for: 1m`; 15 s is the agents'
	// heartbeat, so a silent host is seen as soon as it can be.
	DefaultInterval = 15 * time.Second
	// maxPerRule bounds the alerts of a rule in a group without limit.
	maxPerRule = 10_000
	// maxHistory is how many events are kept, about 10 MB.
	maxHistory = 10_000
	// evalTimeout bounds one evaluation of a rule.
	evalTimeout = 30 * time.Second
)

// Config of an Engine.
type Config struct {
	Store       *store.Store
	Query       Querier
	Record      Recorder      // nil: files with recording rules are refused
	Files       []string      // rule files
	NoDefaults  bool          // leave the default rules out
	Interval    time.Duration // default DefaultInterval
	Webhook     *Webhook      // nil: nobody is told
	ExternalURL string        // of the API, for links in notifications; no slash at its end
	Now         func() time.Time
	Log         *slog.Logger
}

// Engine holds the rules and their alerts. Its methods may be called concurrently.
type Engine struct {
	cfg    Config
	groups []*group
	outbox *outbox

	mu sync.RWMutex // guards the alerts and the results of the rules
}

// Open reads the rules and the alerts that are stored. Alerts whose rule is gone are
// resolved.
func Open(cfg Config) (*Engine, error) {
	if cfg.Interval <= 0 {
		cfg.Interval = DefaultInterval
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	e := &Engine{cfg: cfg}
	if err := e.loadRules(); err != nil {
		return nil, err
	}
	var err error
	if e.outbox, err = newOutbox(cfg, e.firing); err != nil {
		return nil, err
	}
	if err := e.restore(); err != nil {
		return nil, fmt.Errorf("restore alerts: %w", err)
	}
	return e, nil
}

// Run evaluates and delivers until ctx ends.
func (e *Engine) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, g := range e.groups {
		wg.Go(func() { e.runGroup(ctx, g) })
	}
	wg.Go(func() { e.outbox.run(ctx) })
	wg.Wait()
	return nil
}

// Filter selects alerts; the zero Filter selects all that are pending or firing.
type Filter struct {
	State State             // empty: pending and firing
	Match map[string]string // labels that must have these values
}

// List returns alerts: firing ones first, then by rule and labels.
func (e *Engine) List(f Filter) []Alert {
	type placed struct {
		place string
		alert Alert
	}
	var found []placed
	e.mu.RLock()
	for r := range e.rules() {
		for _, a := range r.alerts {
			if (f.State == "" || a.State == f.State) && matches(a.Labels, f.Match) {
				// "firing" is before "pending"
				found = append(found, placed{string(a.State) + "\x00" + a.Rule + "\x00" + labelText(a.Labels), *a})
			}
		}
	}
	e.mu.RUnlock()
	slices.SortFunc(found, func(a, b placed) int { return strings.Compare(a.place, b.place) })
	var out []Alert
	for _, p := range found {
		out = append(out, p.alert)
	}
	return out
}

// Count returns how many alerts are firing and pending.
func (e *Engine) Count() (firing, pending int) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	for r := range e.rules() {
		for _, a := range r.alerts {
			if a.State == Firing {
				firing++
			} else {
				pending++
			}
		}
	}
	return firing, pending
}

func matches(ls, want map[string]string) bool {
	for k, v := range want {
		if ls[k] != v {
			return false
		}
	}
	return true
}

// ErrUnknown: no alert has that fingerprint, now or in the history.
var ErrUnknown = errors.New("no such alert")

// Show returns an alert by fingerprint, or its last state if it is over, and its
// history, newest first.
func (e *Engine) Show(fingerprint string) (Alert, []Event, error) {
	events, err := e.history(fingerprint)
	if err != nil {
		return Alert{}, nil, err
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	for r := range e.rules() {
		if a := r.alerts[fingerprint]; a != nil {
			return *a, events, nil
		}
	}
	if len(events) == 0 {
		return Alert{}, nil, fmt.Errorf("%w: %q", ErrUnknown, fingerprint)
	}
	return events[0].Alert, events, nil
}

// firing returns the firing alerts of a name, for notifications.
func (e *Engine) firing(rule string) []Alert {
	return e.List(Filter{State: Firing, Match: map[string]string{alertName: rule}})
}
