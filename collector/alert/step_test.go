package alert

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestStepFollowsItsRules drives the state machine with random evaluations and gaps
// and compares each step with what the whole past says.
func TestStepFollowsItsRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seconds := func(label string, from, to int) time.Duration {
			return time.Duration(rapid.IntRange(from, to).Draw(t, label)) * time.Second
		}
		const interval = 15 * time.Second
		tm := timing{now: time.Unix(1e9, 0), hold: seconds("for", 0, 120), keepFiring: seconds("keep", 0, 120)}
		var a *Alert
		var held, absent time.Duration // watched time since it began to hold, and since it last held
		for range rapid.IntRange(1, 60).Draw(t, "evaluations") {
			tm.unseen = 0
			if rapid.IntRange(0, 9).Draw(t, "gap") == 0 {
				tm.unseen = seconds("unseen", 1, 1000)
			}
			tm.now = tm.now.Add(interval + tm.unseen)
			tm.settling = tm.unseen > 0 && rapid.Bool().Draw(t, "settling")
			holds := rapid.Bool().Draw(t, "holds")

			old := Inactive
			if a != nil {
				old = a.State
			}
			held, absent = held+interval, absent+interval
			if old == Inactive {
				held = 0
			}
			if holds {
				absent = 0
			}
			next := step(a, holds, tm)

			want := old
			switch {
			case holds && held >= tm.hold:
				want = Firing
			case holds && old == Inactive:
				want = Pending
			case holds || tm.settling:
			case old == Pending:
				want = Inactive
			case old == Firing && absent >= tm.keepFiring:
				want = Resolved
			}
			got := Inactive
			if next != nil {
				got = next.State
			}
			if got != want {
				t.Fatalf("%s became %s, want %s (holds %t, held %s of %s, absent %s of %s, %+v)", old, got, want, holds, held, tm.hold, absent, tm.keepFiring, tm)
			}
			if next != nil && (next.FiredAt.IsZero() != (got == Pending) || next.ResolvedAt.IsZero() != (got != Resolved)) {
				t.Fatalf("times do not fit the state: %+v", *next)
			}
			if a = next; got == Resolved {
				a = nil
			}
		}
	})
}
