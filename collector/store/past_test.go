package store

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// TestThePastIsByWhenThingsCameAbout: what a spool brings late takes its place in the
// past, by the host's clock corrected; a clock that is wrong by more than is known of
// it misplaces nothing beyond what was received.
func TestThePastIsByWhenThingsCameAbout(t *testing.T) {
	s := open(t)
	h := identity.HostID{1}
	addHost(t, s, h)
	const fast = time.Hour // the host's clock is ahead by it
	if _, err := s.Hello(h, wire.Hello{Hostname: "a", Epoch: 1, At: t0.Add(fast).UnixMilli()}, t0); err != nil {
		t.Fatal(err)
	}
	seq := uint64(0)
	var base []facts.Item
	report := func(uid int64, observed, received time.Time) {
		t.Helper()
		seq++
		now := []facts.Item{user(t, "ann", uid)}
		u := update(facts.Users, base, now)
		u.At = observed.UnixMilli()
		if out := apply(t, s, Delivery{h, batch(seq, u), received}); len(out[0].Resync) > 0 {
			t.Fatalf("%+v", out)
		}
		base = now
	}
	at := func(minutes int) time.Time { return t0.Add(time.Duration(minutes) * time.Minute) }
	report(1, at(0).Add(fast), at(0))
	report(2, at(10).Add(fast), at(60)) // spooled for 50 minutes
	report(3, at(200), at(61))          // from the future, even corrected
	report(4, at(5), at(62))            // from before the last
	f := func(minutes int, uid int64) {
		t.Helper()
		err := s.View(func(tx *Tx) error {
			then, err := tx.AsOf(at(minutes))
			if err != nil {
				return err
			}
			data, err := then.Row(1, facts.Users, "ann")
			if want := user(t, "ann", uid).Data; uid != 0 && string(data) != string(want) || uid == 0 && data != nil {
				t.Errorf("after %d minutes: %x, want user id %d", minutes, data, uid)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	f(-1, 0)
	f(0, 1)
	f(9, 1)
	f(10, 2)
	f(60, 2)
	f(61, 4)
}

// TestStateOfARemovedHostIsKept: it is gone now, and was there then.
func TestStateOfARemovedHostIsKept(t *testing.T) {
	s, _, base := pair(t)
	h := identity.HostID{1}
	if err := s.Update(func(tx *Tx) error { return tx.RemoveHost(h, t0.Add(time.Hour), "sold") }); err != nil {
		t.Fatal(err)
	}
	if out := apply(t, s, Delivery{h, batch(2, update(facts.Users, base, base)), t0}); out[0].Err == nil {
		t.Error("a removed host was heard")
	}
	count := func(state *State) (hosts, having int) {
		t.Helper()
		err := state.Hosts(func(Host) error { hosts++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		err = state.ItemsNamed(facts.Users, "ann", func(it Item) error {
			n, err := state.Count(it)
			having += n
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return hosts, having
	}
	err := s.View(func(tx *Tx) error {
		then, err := tx.AsOf(t0.Add(time.Minute))
		if err != nil {
			return err
		}
		if hosts, having := count(tx.Now()); hosts != 1 || having != 1 {
			t.Errorf("now %d hosts, %d with ann; want the other alone", hosts, having)
		}
		if hosts, having := count(then); hosts != 2 || having != 2 {
			t.Errorf("before %d hosts, %d with ann; want both", hosts, having)
		}
		rec, ok, err := tx.Host(h)
		if !ok || rec.RemovedAt.IsZero() || rec.RemovedWhy != "sold" {
			t.Errorf("tombstone %+v, %v", rec, ok)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestEarlierLifeOfAHostIsTold: what it lost before it was removed, and has again.
func TestEarlierLifeOfAHostIsTold(t *testing.T) {
	s, _, base := pair(t)
	h := identity.HostID{1}
	more := []facts.Item{base[0], base[1], user(t, "cyd", 1), user(t, "dan", 1)}
	tell := func(minute int, base, now []facts.Item) {
		t.Helper()
		at := t0.Add(time.Duration(minute) * time.Minute)
		u := update(facts.Users, base, now)
		u.At = at.UnixMilli()
		apply(t, s, Delivery{h, batch(uint64(minute+1), u), at})
	}
	tell(1, base, more)
	tell(2, more, base)
	err := s.Update(func(tx *Tx) error {
		if err := tx.RemoveHost(h, t0.Add(3*time.Minute), ""); err != nil {
			return err
		}
		return tx.ReviveHost(h, t0.Add(4*time.Minute))
	})
	if err != nil {
		t.Fatal(err)
	}
	tell(4, nil, more[:3])
	tell(5, more[:3], more)
	for minutes, want := range []int{2, 4, 2, 0, 3, 4} {
		err := s.View(func(tx *Tx) error {
			then, err := tx.AsOf(t0.Add(time.Duration(minutes) * time.Minute))
			if err != nil {
				return err
			}
			n := 0
			for name := range stateRows(t, then) { // compares the index with the rows
				if strings.HasPrefix(name, h.String()) {
					n++
				}
			}
			if n != want {
				t.Errorf("after %d minutes %d rows, want %d", minutes, n, want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestAMomentAskedForAgainIsTheSame: the past is kept for the next who ask, until the
// log grows.
func TestAMomentAskedForAgainIsTheSame(t *testing.T) {
	s, _, base := pair(t)
	count := func(at time.Time) (n int) {
		t.Helper()
		err := s.View(func(tx *Tx) error {
			state, err := tx.AsOf(at)
			if err != nil {
				return err
			}
			return state.Items(facts.Users, "", func(it Item) error {
				hosts, err := state.HostsWith(it)
				n += hosts.Len()
				return err
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for seq := range uint64(6) {
		at := t0.Add(time.Duration(seq+1) * time.Minute)
		u := update(facts.Users, base, base[:1])
		if seq%2 == 1 {
			u = update(facts.Users, base[:1], base)
		}
		u.At = at.UnixMilli()
		apply(t, s, Delivery{identity.HostID{1}, batch(seq+2, u), at})
		for range 2 {
			for past := range seq + 2 {
				want := 4
				if past%2 == 1 {
					want = 3
				}
				if got := count(t0.Add(time.Duration(past)*time.Minute + time.Second)); got != want {
					t.Errorf("after change %d, minute %d: %d rows, want %d", seq, past, got, want)
				}
			}
		}
	}
	if n := len(s.past.list); n != maxPasts {
		t.Errorf("%d pasts are kept, want %d", n, maxPasts)
	}
}

// TestLargePastsPushOthersOut: the newest is kept whatever it takes.
func TestLargePastsPushOthersOut(t *testing.T) {
	var p turnedPasts
	f := func(steps int, want ...uint64) {
		t.Helper()
		p.add(turnedName{last: uint64(len(want))}, &turned{hosts: make([]uint32, steps)})
		var got []uint64
		for _, t := range p.list {
			got = append(got, t.last)
		}
		if !slices.Equal(got, want) {
			t.Errorf("kept are %d, want %d", got, want)
		}
	}
	f(1, 1)
	f(maxTurned/2, 1, 2)
	f(maxTurned/2-1, 1, 2, 3)
	f(maxTurned, 1)
	f(1, 1)
	f(2*maxTurned, 1)
}

// TestAHostIsKnownFromItsFirstFactOn: facts from before the enrolment, which a spool or a
// simulated past tells, make the host known then; and one that a file of an earlier version
// does not date is dated when it is opened.
func TestAHostIsKnownFromItsFirstFactOn(t *testing.T) {
	s := open(t)
	early, late := identity.HostID{1}, identity.HostID{2}
	enrolled := t0.Add(10 * time.Hour)
	if err := s.Update(func(tx *Tx) error {
		return errors.Join(tx.PutHost(Host{ID: early, Name: "early", EnrolledAt: enrolled}), tx.PutHost(Host{ID: late, Name: "late", EnrolledAt: enrolled}))
	}); err != nil {
		t.Fatal(err)
	}
	var ann []facts.Item
	for _, u := range []string{"ann", "ben", "cyd", "dan"} {
		ann = append(ann, user(t, u, 1))
	}
	tell := func(id identity.HostID, observed time.Time) {
		u := update(facts.Users, nil, ann)
		u.At = observed.UnixMilli()
		apply(t, s, Delivery{id, batch(1, u), enrolled.Add(time.Minute)})
	}
	tell(early, t0)
	tell(late, enrolled)
	look := func(what string) {
		t.Helper()
		for hours, want := range map[int]string{-1: "", 0: "early", 9: "early", 10: "early late"} {
			at := t0.Add(time.Duration(hours) * time.Hour)
			err := s.View(func(tx *Tx) error {
				st, err := tx.AsOf(at)
				if err != nil {
					return err
				}
				var names, rows []string
				err = st.Hosts(func(h Host) error {
					names = append(names, h.Name)
					return nil
				})
				for index, name := range []string{"early", "late"} {
					err = errors.Join(err, st.Rows(uint32(index+1), facts.Users, func(key string, _ []byte) error {
						if key == ann[0].Key {
							rows = append(rows, name)
						}
						return nil
					}))
				}
				if got := strings.Join(names, " "); got != want || strings.Join(rows, " ") != want {
					t.Errorf("%s, after %d hours: hosts %q, rows of %q, want %q", what, hours, got, rows, want)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	look("told")
	if err := s.Update(func(tx *Tx) error {
		h, _, err := tx.Host(early)
		h.Tags = []string{"web"}
		return errors.Join(err, tx.PutHost(h))
	}); err != nil {
		t.Fatal(err)
	}
	look("tagged")
	if err := s.Update(func(tx *Tx) error { // as an earlier version left it
		rec, _, err := tx.hostRecord(early)
		rec.FirstAt = 0
		return errors.Join(err, tx.putHostRecord(early, rec), tx.putMeta(metaDated, 0))
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.upgrade(); err != nil {
		t.Fatal(err)
	}
	look("of an earlier version")
}
