package alert

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"atalaya/collector/series"
	"atalaya/collector/store"
	"atalaya/shared/identity"
	"atalaya/shared/metric"
)

// fakeQuery answers every expression with the same hosts.
type fakeQuery struct {
	mu    sync.Mutex
	hosts []string
	id    identity.HostID // of all of them; zero: they have none
	value float64         // 0: 1
	err   error
	asked int
}

func (f *fakeQuery) set(hosts ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hosts = hosts
}

func (f *fakeQuery) Instant(_ context.Context, _ string, at time.Time) (series.Vector, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	var v series.Vector
	for _, h := range f.hosts {
		labels := []metric.Label{{Name: "host", Value: h}}
		if f.id != (identity.HostID{}) {
			labels = append(labels, metric.Label{Name: hostID, Value: f.id.String()})
		}
		v = append(v, series.Sample{Labels: labels, At: at.UnixMilli(), Value: cmp.Or(f.value, 1)})
	}
	return v, f.err
}

// rig is an engine that can be restarted.
type rig struct {
	t     testing.TB
	path  string
	rules string
	now   time.Time
	query *fakeQuery
	hook  *Webhook
	st    *store.Store
	e     *Engine
}

const oneRule = `groups:
- name: g
  rules:
  - alert: Bad
    expr: x
    for: 1m
    annotations: {summary: "{{ $labels.host }} is bad"}
`

func newRig(t testing.TB, rules string) *rig {
	dir := t.TempDir()
	r := &rig{t: t, path: filepath.Join(dir, "state.db"), rules: filepath.Join(dir, "r.yml"), now: scriptStart, query: &fakeQuery{}}
	r.write(rules)
	r.start()
	t.Cleanup(func() { r.st.Close() })
	return r
}

func (r *rig) write(rules string) {
	r.t.Helper()
	if err := os.WriteFile(r.rules, []byte(rules), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) start() {
	r.t.Helper()
	r.st = openStore(r.t, r.path)
	var err error
	r.e, err = Open(Config{
		Store: r.st, Query: r.query, Files: []string{r.rules}, NoDefaults: true, Webhook: r.hook,
		ExternalURL: "http://atalaya.example", Now: func() time.Time { return r.now }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) restart() {
	r.t.Helper()
	if err := r.st.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.start()
}

// pass evaluates every 15 s until d has passed.
func (r *rig) pass(d time.Duration) {
	r.t.Helper()
	for end := r.now.Add(d); r.now.Before(end); {
		r.now = r.now.Add(DefaultInterval)
		r.eval()
	}
}

func (r *rig) eval() {
	r.t.Helper()
	for _, g := range r.e.groups {
		if err := r.e.evaluate(r.t.Context(), g, r.now); err != nil {
			r.t.Fatal(err)
		}
	}
}

// states checks "host state" of all active alerts.
func (r *rig) states(want ...string) {
	r.t.Helper()
	got := []string{}
	for _, a := range r.e.List(Filter{}) {
		got = append(got, a.Labels["host"]+" "+string(a.State))
	}
	if len(got) != len(want) {
		r.t.Fatalf("alerts %q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			r.t.Fatalf("alerts %q, want %q", got, want)
		}
	}
}

// events checks the history of the only alert of host a, oldest first.
func (r *rig) events(want ...State) {
	r.t.Helper()
	_, events, err := r.e.Show(fingerprint(map[string]string{"host": "a", alertName: "Bad"}))
	if err != nil {
		r.t.Fatal(err)
	}
	var got []State
	for i := len(events) - 1; i >= 0; i-- {
		got = append(got, events[i].To)
	}
	if len(got) != len(want) {
		r.t.Fatalf("history %q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			r.t.Fatalf("history %q, want %q", got, want)
		}
	}
}

func TestTimersSurviveARestart(t *testing.T) {
	r := newRig(t, oneRule)
	r.query.set("a")
	r.pass(30 * time.Second)
	r.states("a pending")
	since := r.e.List(Filter{})[0].ActiveAt
	r.restart()
	r.states("a pending")
	r.pass(30 * time.Second)
	r.states("a pending")
	r.pass(15 * time.Second)
	r.states("a firing")
	if got := r.e.List(Filter{})[0]; !got.ActiveAt.Equal(since) {
		t.Errorf("active since %s, want %s", got.ActiveAt, since)
	}
	r.restart()
	r.pass(time.Minute)
	r.states("a firing")
	r.query.set()
	r.pass(15 * time.Second)
	r.states()
	r.restart()
	r.events(Pending, Firing, Resolved)
}

// TestAlertsOfAHostThatLeftResolveAtOnce: an expression over a span sees what it sent before.
func TestAlertsOfAHostThatLeftResolveAtOnce(t *testing.T) {
	r := newRig(t, strings.Replace(oneRule, "for: 1m", "for: 1m\n    keep_firing_for: 1h", 1))
	r.query.id = identity.HostID{7}
	change := func(fn func(tx *store.Tx) error) {
		t.Helper()
		if err := r.st.Update(fn); err != nil {
			t.Fatal(err)
		}
	}
	change(func(tx *store.Tx) error { return tx.PutHost(store.Host{ID: r.query.id, Name: "a"}) })
	r.query.set("a")
	r.pass(75 * time.Second)
	r.states("a firing")
	r.now = r.now.Add(time.Hour) // down: what is missing after that is not believed at once
	r.restart()
	change(func(tx *store.Tx) error { return tx.RemoveHost(r.query.id, r.now, "sold") })
	r.pass(15 * time.Second)
	r.states()
	change(func(tx *store.Tx) error { return tx.ReviveHost(r.query.id, r.now) })
	r.pass(15 * time.Second)
	r.states("a pending")
}

func TestDownTimeNeitherCountsNorResolves(t *testing.T) {
	r := newRig(t, oneRule)
	r.query.set("a")
	r.pass(75 * time.Second)
	r.query.set("a", "b")
	r.pass(15 * time.Second)
	r.states("a firing", "b pending")

	r.now = r.now.Add(time.Hour) // down
	r.restart()
	r.query.set() // agents have not sent yet
	r.pass(time.Minute)
	r.states("a firing", "b pending")
	r.query.set("a", "b")
	r.pass(15 * time.Second)
	r.states("a firing", "b firing")
	r.events(Pending, Firing)

	r.now = r.now.Add(time.Hour)
	r.restart()
	r.query.set("b")
	r.pass(settle)
	r.states("a firing", "b firing")
	r.pass(15 * time.Second)
	r.states("b firing")
	r.events(Pending, Firing, Resolved)
}

func TestPendingWaitsOutDownTime(t *testing.T) {
	r := newRig(t, oneRule)
	r.query.set("a")
	r.pass(15 * time.Second)
	r.now = r.now.Add(time.Hour)
	r.restart()
	r.pass(15 * time.Second)
	r.states("a pending")
	r.pass(45 * time.Second)
	r.states("a firing")
}

func TestFailedQueryChangesNothing(t *testing.T) {
	r := newRig(t, oneRule)
	r.query.set("a")
	r.pass(75 * time.Second)
	r.query.err = errors.New("no answer")
	r.pass(5 * time.Minute)
	r.states("a firing")
	if got := r.e.Rules()[0]; got.Err == nil || got.State != Firing || got.Alerts != 1 {
		t.Errorf("rule %+v", got)
	}
	r.query.err = nil
	r.pass(15 * time.Second)
	if got := r.e.Rules()[0]; got.Err != nil || !got.LastEval.Equal(r.now) {
		t.Errorf("rule %+v", got)
	}
	r.events(Pending, Firing)
}

// TestMetricsThatAreStillBeingReadAreNoFaultAndNoAbsence: the collector was down for a
// moment, and its metrics come a while after it.
func TestMetricsThatAreStillBeingReadAreNoFaultAndNoAbsence(t *testing.T) {
	r := newRig(t, oneRule)
	r.query.set("a", "b")
	r.pass(75 * time.Second)
	r.query.set("a", "b", "c")
	r.pass(15 * time.Second)
	r.restart()
	r.query.err, r.query.hosts = errors.Join(series.ErrLoading, errors.New("1 of 3")), nil
	var log strings.Builder
	r.e.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	r.pass(5 * time.Minute)
	r.states("a firing", "b firing", "c pending")
	if got := r.e.Rules()[0]; got.Err == nil || !strings.Contains(got.Err.Error(), "1 of 3") {
		t.Errorf("rule %+v, want what it waits for", got)
	}
	r.query.err = nil
	r.query.set("a", "c") // b has not sent yet what it kept
	r.pass(15 * time.Second)
	r.states("a firing", "b firing", "c pending")
	if got := r.e.Rules()[0]; got.Err != nil {
		t.Errorf("rule %+v", got)
	}
	if log.Len() > 0 {
		t.Errorf("log %q, want nothing: no rule was at fault", log.String())
	}
	r.events(Pending, Firing)
}

func TestAlertOfARemovedRuleIsResolved(t *testing.T) {
	r := newRig(t, oneRule)
	r.query.set("a")
	r.pass(75 * time.Second)
	r.write("groups: []\n")
	r.restart()
	r.states()
	r.events(Pending, Firing, Resolved)
}

func TestRulesOfOneNameAreKeptApart(t *testing.T) {
	r := newRig(t, `groups:
- name: g
  rules:
  - {alert: Bad, expr: x, labels: {severity: warning}}
  - {alert: Bad, expr: y, labels: {severity: critical}}
  - {alert: Bad, expr: z, labels: {severity: critical}}
`)
	r.query.set("a")
	r.pass(30 * time.Second)
	r.states("a firing", "a firing", "a firing")
	for _, rule := range r.e.Rules() {
		if rule.Alerts != 1 {
			t.Errorf("%s %v: %d alerts", rule.Name, rule.Labels, rule.Alerts)
		}
	}
}

func TestLimitsAndClashesAreErrorsOfTheRule(t *testing.T) {
	f := func(rules string) {
		t.Helper()
		r := newRig(t, rules)
		r.query.set("a", "b")
		r.pass(15 * time.Second)
		r.states()
		if r.e.Rules()[0].Err == nil {
			t.Error("no error")
		}
	}
	f("groups:\n- name: g\n  limit: 1\n  rules:\n  - {alert: A, expr: x}\n")
	f("groups:\n- name: g\n  rules:\n  - {alert: A, expr: x, labels: {host: same}}\n")
}

func TestRecordingRulesNeedARecorder(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "r.yml")
	if err := os.WriteFile(file, []byte("groups:\n- name: g\n  rules:\n  - {record: a, expr: x}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	st := openStore(t, filepath.Join(dir, "state.db"))
	defer st.Close()
	if _, err := Open(Config{Store: st, Query: &fakeQuery{}, Files: []string{file}}); err == nil {
		t.Error("taken without a recorder")
	}
}

func TestHistoryIsBounded(t *testing.T) {
	r := newRig(t, oneRule)
	err := r.st.Update(func(tx *store.Tx) error {
		for range maxHistory + 5 {
			if err := appendHistory(tx, Event{}); err != nil {
				return err
			}
		}
		n, err := tx.Table(historyTable).Count()
		if n != maxHistory {
			t.Errorf("%d events, want %d", n, maxHistory)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestShowOfUnknownAlert(t *testing.T) {
	r := newRig(t, oneRule)
	if _, _, err := r.e.Show("0123456789abcdef"); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
}

func TestRunEvaluatesEachGroupOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, oneRule)
		r.e.cfg.Now = time.Now
		r.query.set("a")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.e.Run(ctx) }()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := r.query.asked; n != 40 {
			t.Errorf("%d evaluations in 10 minutes, want 40", n)
		}
		r.states("a firing")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestTextsFollowTheResultAndWhatTheyAsk(t *testing.T) {
	r := newRig(t, `groups:
- name: g
  rules:
  - {alert: Bad, expr: x, labels: {level: "l{{ $value }}"}, annotations: {summary: "{{ $labels.host }} has {{ $value }}"}}
  - {alert: Asks, expr: x, annotations: {summary: '{{ with query "y" }}{{ len . }}{{ end }} at {{ now }}'}}
`)
	text := func(rule string) string {
		t.Helper()
		list := r.e.List(Filter{Match: map[string]string{alertName: rule, "host": "a"}})
		if len(list) != 1 {
			t.Fatalf("%d alerts %s", len(list), rule)
		}
		return list[0].Labels["level"] + list[0].Annotations["summary"]
	}
	r.query.set("a")
	r.pass(30 * time.Second)
	bad, asks := text("Bad"), text("Asks")
	if bad != "l1a has 1" || !strings.HasPrefix(asks, "1 at ") {
		t.Errorf("%q, %q", bad, asks)
	}
	r.query.set("a", "b")
	r.pass(15 * time.Second)
	if got := text("Asks"); !strings.HasPrefix(got, "2 at ") || got[2:] == asks[2:] {
		t.Errorf("%q after %q", got, asks)
	}
	r.query.value = 3
	r.pass(15 * time.Second)
	if got := text("Bad"); got != "l3a has 3" {
		t.Errorf("%q after %q", got, bad)
	}
	r.query.set("c")
	r.pass(15 * time.Second)
	if list := r.e.List(Filter{}); len(list) != 2 || list[0].Annotations["summary"] == bad {
		t.Errorf("%+v", list)
	}
}

func TestAlertsThatGoOnWriteNothing(t *testing.T) {
	r := newRig(t, oneRule)
	r.query.set("a", "b")
	r.pass(75 * time.Second)
	var before, after []byte
	read := func(into *[]byte) {
		t.Helper()
		err := r.st.View(func(tx *store.Tx) error {
			return tx.Table(activeTable).Scan(nil, func(_, v []byte) error {
				*into = append(*into, v...)
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	read(&before)
	r.pass(10 * time.Minute)
	read(&after)
	if len(before) == 0 || string(before) != string(after) {
		t.Errorf("stored %s, then %s", before, after)
	}
	if got := r.e.List(Filter{})[0]; !got.SeenAt.Equal(r.now) {
		t.Errorf("seen at %s, it is %s", got.SeenAt, r.now)
	}
}
