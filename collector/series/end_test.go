package series

import (
	"testing"
	"time"

	"atalaya/shared/metric"
)

func TestEndEndsTheSeriesOfOneHostUntilItSpeaksAgain(t *testing.T) {
	d := open(t, testConfig(t.TempDir()))
	s, other := d.Session(testHost, "old"), d.Session([8]byte{9}, "b")
	define(t, s, gauge("x"))
	define(t, other, gauge("x"))
	renamed := d.Session(testHost, "new")
	define(t, renamed, gauge("x"))
	for _, from := range []*Session{s, other, renamed} {
		put(t, d, from, testNow.Add(-10*time.Second), 1)
	}
	put(t, d, s, testNow.Add(3*time.Second), 1) // its clock is ahead
	check := func(at time.Time, want float64) {
		t.Helper()
		v, err := d.Instant(t.Context(), "count(x)", at)
		if err != nil || len(v) != 1 || v[0].Value != want {
			t.Errorf("alive at %s: %v, %v, want %v", at.Format(time.TimeOnly), v, err, want)
		}
	}
	end := func(except string, want int) {
		t.Helper()
		if n, err := d.End(t.Context(), testHost, except); n != want || err != nil {
			t.Errorf("ended %d, %v, want %d", n, err, want)
		}
	}
	check(testNow, 3)
	end("new", 1)
	check(testNow.Add(4*time.Second), 2)
	end("", 1)
	check(testNow.Add(4*time.Second), 1)
	end("", 0) // those that ended are left alone
	put(t, d, renamed, testNow.Add(5*time.Second), 1)
	check(testNow.Add(5*time.Second), 2)
	a := d.Begin(t.Context())
	a.AppendOwn(testNow.Add(6*time.Second).UnixMilli(), "x", []metric.Label{{Name: "host_id", Value: testHost.String()}}, 1)
	if err := a.Commit(); err != nil {
		t.Fatal(err)
	}
	end("", 2) // the collector's own too
	check(testNow.Add(7*time.Second), 1)
}
