package alert

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// receiver keeps what it got and answers with the next of its codes, the last one
// for ever.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	codes  []int
	bodies []string
	auth   string
}

func newReceiver(t *testing.T, codes ...int) *receiver {
	r := &receiver{codes: codes}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.auth = req.Header.Get("Authorization")
		r.bodies = append(r.bodies, string(b))
		code := r.codes[0]
		if len(r.codes) > 1 {
			r.codes = r.codes[1:]
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(code)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) messages(t *testing.T) []message {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []message
	for _, b := range r.bodies {
		var m message
		if err := json.Unmarshal([]byte(b), &m); err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

func hookRig(t *testing.T, hook Webhook) *rig {
	r := newRig(t, oneRule)
	r.hook = &hook
	r.restart()
	return r
}

// deliver sends what is due now and returns the pause asked for.
func (r *rig) deliver() time.Duration {
	r.t.Helper()
	wait, err := r.e.outbox.deliver(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return wait
}

func (r *rig) waiting(want uint64) DeliveryStats {
	r.t.Helper()
	st, err := r.e.Delivery()
	if err != nil {
		r.t.Fatal(err)
	}
	if st.Waiting != want {
		r.t.Fatalf("%d events wait, want %d", st.Waiting, want)
	}
	return st
}

func TestWebhookBodyIsAlertmanagers(t *testing.T) {
	rec := newReceiver(t, 200)
	r := hookRig(t, Webhook{URL: rec.URL})
	r.query.set("a", "b")
	r.pass(75 * time.Second)
	if wait := r.deliver(); wait != defaultGroupWait {
		t.Errorf("first message waits %s", wait)
	}
	r.now = r.now.Add(defaultGroupWait)
	r.deliver()
	r.waiting(0)
	hosts := []string{"a", "b"} // events of one moment are in the order of fingerprints
	print := func(host string) string { return fingerprint(map[string]string{"host": host, alertName: "Bad"}) }
	slices.SortFunc(hosts, func(a, b string) int { return strings.Compare(print(a), print(b)) })
	var alerts []string
	for _, h := range hosts {
		alerts = append(alerts, `{"status":"firing","labels":{"alertname":"Bad","host":"`+h+`"},"annotations":{"summary":"`+h+` is bad"},`+
			`"startsAt":"2026-03-01T00:01:15Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://atalaya.example/api/v1/query?query=x","fingerprint":"`+print(h)+`"}`)
	}
	want := `{"receiver":"webhook","status":"firing","alerts":[` + strings.Join(alerts, ",") + `],` +
		`"groupLabels":{"alertname":"Bad"},"commonLabels":{"alertname":"Bad"},"commonAnnotations":{},"externalURL":"http://atalaya.example","version":"4","groupKey":"{}:{alertname=\"Bad\"}","truncatedAlerts":0}`
	if diff := cmp.Diff(want, rec.bodies[0]); diff != "" {
		t.Error(diff)
	}

	r.query.set("b") // a is over; b still fires and is in the message too
	r.pass(defaultGroupInterval)
	r.deliver()
	m := rec.messages(t)[1]
	if m.Status != "firing" || len(m.Alerts) != 2 || m.Alerts[0].Status != "resolved" || m.Alerts[0].EndsAt.IsZero() {
		t.Errorf("second message %+v", m)
	}
}

func TestFailingReceiverGetsEverythingInTheEnd(t *testing.T) {
	rec := newReceiver(t, 500, 429, 408, 503, 200)
	r := hookRig(t, Webhook{URL: rec.URL})
	r.query.set("a")
	r.pass(90 * time.Second)
	var last time.Duration
	for range 4 {
		last = r.deliver()
		r.waiting(1)
		r.deliver() // not before its time
		r.now = r.now.Add(last)
	}
	if last < 4*time.Second || last > 8*time.Second {
		t.Errorf("fourth pause %s", last)
	}
	r.query.set() // resolves meanwhile
	r.pass(15 * time.Second)
	r.waiting(2)
	r.restart() // a crash loses neither
	r.now = r.now.Add(defaultGroupWait)
	r.deliver()
	r.waiting(0)
	m := rec.messages(t)
	if len(m) != 5 || m[4].Status != "resolved" || len(m[4].Alerts) != 1 {
		t.Errorf("messages %+v", m)
	}
}

func TestRefusedMessageIsNotRepeated(t *testing.T) {
	for _, code := range []int{400, 401, 404, 302} {
		rec := newReceiver(t, code)
		r := hookRig(t, Webhook{URL: rec.URL})
		r.query.set("a")
		r.pass(90 * time.Second)
		r.deliver()
		st := r.waiting(0)
		if st.Refused != 1 || st.Retried != 0 || st.Delivered != 0 || len(rec.bodies) != 1 {
			t.Errorf("%d: %+v, %d messages", code, st, len(rec.bodies))
		}
	}
}

func TestMessageLimitCutsNoEvent(t *testing.T) {
	rec := newReceiver(t, 200)
	r := hookRig(t, Webhook{URL: rec.URL, MaxAlerts: 2})
	r.query.set("a", "b", "c", "d", "e")
	told := map[string]bool{}
	r.pass(90 * time.Second)
	for range 3 {
		r.deliver()
		r.pass(defaultGroupInterval)
	}
	r.waiting(0)
	for _, m := range rec.messages(t) {
		if len(m.Alerts) > 2 || len(m.Alerts)+m.TruncatedAlerts != 5 {
			t.Errorf("%d alerts and %d cut", len(m.Alerts), m.TruncatedAlerts)
		}
		for _, a := range m.Alerts {
			told[a.Labels["host"]] = true
		}
	}
	if len(told) != 5 {
		t.Errorf("told of %v", told)
	}
}

func TestResolvedCanBeLeftOut(t *testing.T) {
	rec := newReceiver(t, 200)
	r := hookRig(t, Webhook{URL: rec.URL, NoResolved: true})
	r.query.set("a")
	r.pass(75 * time.Second)
	r.query.set()
	r.pass(15 * time.Second)
	r.waiting(1)
	r.deliver()
	r.pass(2 * time.Minute)
	r.deliver()
	if m := rec.messages(t); len(m) != 1 || m[0].Status != "firing" {
		t.Errorf("%+v", m)
	}
}

func TestWebhookSecretsStaySecret(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	rec := newReceiver(t, 200)
	w := Webhook{URLFile: write("url", rec.URL+"/s3cret\n"), TokenFile: write("token", "t0ken\n")}.withDefaults()
	if err := w.Check(); err != nil {
		t.Fatal(err)
	}
	if err := w.post(t.Context(), rec.Client(), message{}); err != nil || rec.auth != "Bearer t0ken" {
		t.Errorf("%v, authorization %q", err, rec.auth)
	}
	rec.Close()
	err := w.post(t.Context(), rec.Client(), message{})
	if err == nil || strings.Contains(err.Error(), "s3cret") || errors.As(err, new(*refusal)) {
		t.Errorf("unreachable receiver: %v", err)
	}
	for _, bad := range []Webhook{{}, {URL: "a", URLFile: "b"}, {URL: "ftp://s3cret/"}, {URL: "http://%zzs3cret"}, {URLFile: write("bad", "s3cret")}, {URLFile: filepath.Join(dir, "absent")}} {
		if err := bad.Check(); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
