package store

import (
	"slices"
	"testing"
	"time"

	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// TestARevivedHostHasItsFactsAndIsAskedForThem: at once, in doubt, and its next batch asks
// for them whatever is in it: once in a session, because an agent that cannot read a
// section would answer for ever.
func TestARevivedHostHasItsFactsAndIsAskedForThem(t *testing.T) {
	s, _, base := pair(t)
	h, seq := identity.HostID{1}, uint64(1)
	gone, back := t0.Add(time.Hour), t0.Add(2*time.Hour)
	change := func(fn func(tx *Tx) error) {
		t.Helper()
		if err := s.Update(fn); err != nil {
			t.Fatal(err)
		}
	}
	asked := func(want ...facts.ID) {
		t.Helper()
		seq++
		out := apply(t, s, Delivery{h, wire.Batch{Epoch: 1, Seq: seq, Kind: wire.KindMetrics, Checksum: uint32(seq)}, back})
		if out[0].Err != nil || !slices.Equal(out[0].Resync, want) {
			t.Errorf("a batch of metrics: %+v, want it to ask for %v", out[0], want)
		}
	}
	asked()
	change(func(tx *Tx) error { return tx.RemoveHost(h, gone, "sold") })
	change(func(tx *Tx) error { return tx.ReviveHost(h, back) })
	err := s.View(func(tx *Tx) error {
		rec, _, err := tx.Host(h)
		if err != nil {
			return err
		}
		for at, want := range map[time.Time]int{t0.Add(time.Minute): len(base), gone.Add(time.Minute): 0, back: len(base)} {
			then, err := tx.AsOf(at)
			if err != nil {
				return err
			}
			states, err := then.Sections(rec.Index)
			if err != nil || (want > 0) != (len(states) == 1 && states[0].Rows == want && states[0].Status == facts.StatusOK) {
				t.Errorf("at %s: %+v, %v; want %d rows", at, states, err, want)
			}
		}
		states, err := tx.Sections(h)
		if err != nil || len(states) != 1 || !states[0].Doubtful || !states[0].KnownAt.Equal(t0) || states[0].Digest != facts.DigestOf(base) {
			t.Errorf("now %+v, %v; want what was known, read when it was, in doubt", states, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	asked(facts.Users)
	asked()
	if _, err := s.Hello(h, wire.Hello{Hostname: "a", Epoch: 1}, back); err != nil {
		t.Fatal(err)
	}
	asked(facts.Users)
	seq++
	apply(t, s, Delivery{h, batch(seq, update(facts.Users, nil, base)), back})
	if _, err := s.Hello(h, wire.Hello{Hostname: "a", Epoch: 1}, back); err != nil {
		t.Fatal(err)
	}
	asked()
}

// TestWhatTheLogHasForgottenIsAskedFor: a host then comes back without facts, and not not
// at all.
func TestWhatTheLogHasForgottenIsAskedFor(t *testing.T) {
	s, _, base := pair(t)
	s.block = 1 // each change in its own
	h := identity.HostID{1}
	if err := s.Update(func(tx *Tx) error { return tx.RemoveHost(h, t0.Add(time.Hour), "sold") }); err != nil {
		t.Fatal(err)
	}
	apply(t, s, Delivery{identity.HostID{2}, batch(2, update(facts.Users, base, base[:1])), t0.Add(2 * time.Hour)})
	if _, err := s.Prune(t0.Add(90 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(func(tx *Tx) error { return tx.ReviveHost(h, t0.Add(3*time.Hour)) }); err != nil {
		t.Fatal(err)
	}
	out := apply(t, s, Delivery{h, wire.Batch{Epoch: 1, Seq: 2, Kind: wire.KindMetrics, Checksum: 1}, t0.Add(3 * time.Hour)})
	if len(out[0].Resync) != len(facts.Sections()) {
		t.Errorf("asked for %v, want all sections", out[0].Resync)
	}
	if err := s.View(func(tx *Tx) error {
		states, err := tx.Sections(h)
		if len(states) > 0 {
			t.Errorf("it has %+v", states)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
