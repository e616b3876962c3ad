package store

import (
	"maps"
	"testing"
	"time"

	"atalaya/shared/facts"
	"atalaya/shared/identity"
)

// TestWhatIsKeptOfTellingsIsWhatACountGives: through readings, failures, a removal and a
// return, and in the past as it was counted then.
func TestWhatIsKeptOfTellingsIsWhatACountGives(t *testing.T) {
	s := open(t)
	a, b, c := identity.HostID{1}, identity.HostID{2}, identity.HostID{3}
	now := t0
	var then []Telling
	var at []time.Time
	look := func(what string, want map[facts.Status]int) {
		t.Helper()
		err := s.View(func(tx *Tx) error {
			got, err := tx.Now().Telling(facts.Users, nil)
			if err == nil && !maps.Equal(got.ByStatus, want) {
				t.Errorf("%s: %v, want %v", what, got.ByStatus, want)
			}
			all := HostSetOf(1, 2, 3, 77)
			some, err2 := tx.Now().Telling(facts.Users, &all)
			if err2 == nil && (some.Hosts != got.Hosts || !maps.Equal(some.ByStatus, want)) {
				t.Errorf("%s, host by host: %v, want %v", what, some, want)
			}
			then, at = append(then, got), append(at, now)
			if err == nil {
				err = err2
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Hour)
	}
	seq := uint64(0)
	tell := func(id identity.HostID, section facts.ID, status facts.Status, was, is []facts.Item) {
		t.Helper()
		seq++
		u := update(section, was, is)
		u.Status, u.Full, u.At = status, carriesRows(status), now.UnixMilli()
		apply(t, s, Delivery{id, batch(seq, u), now})
	}
	do := func(fn func(*Tx) error) {
		t.Helper()
		if err := s.Update(fn); err != nil {
			t.Fatal(err)
		}
	}
	put := func(id identity.HostID) {
		do(func(tx *Tx) error { return tx.PutHost(Host{ID: id, Name: "h", EnrolledAt: now}) })
	}
	type by = map[facts.Status]int
	put(a)
	put(b)
	look("enrolled", by{facts.StatusUnknown: 2})
	ann := []facts.Item{user(t, "ann", 1)}
	tell(a, facts.Users, facts.StatusOK, nil, ann)
	look("one reading", by{facts.StatusUnknown: 1, facts.StatusOK: 1})
	tell(b, facts.Users, facts.StatusFailed, nil, nil)
	look("a failure", by{facts.StatusFailed: 1, facts.StatusOK: 1})
	tell(a, facts.Users, facts.StatusOK, ann, []facts.Item{user(t, "ann", 2)})
	look("a row changed", by{facts.StatusFailed: 1, facts.StatusOK: 1})
	tell(a, facts.Groups, facts.StatusDenied, nil, nil)
	look("another section", by{facts.StatusFailed: 1, facts.StatusOK: 1})
	put(c)
	look("a new host", by{facts.StatusFailed: 1, facts.StatusOK: 1, facts.StatusUnknown: 1})
	do(func(tx *Tx) error { return tx.RemoveHost(c, now, "never told anything") })
	look("it left", by{facts.StatusFailed: 1, facts.StatusOK: 1})
	tell(b, facts.Users, facts.StatusPartial, nil, ann)
	look("half a reading", by{facts.StatusPartial: 1, facts.StatusOK: 1})
	do(func(tx *Tx) error { return tx.RemoveHost(a, now, "sold") })
	look("one left", by{facts.StatusPartial: 1})

	for i, was := range then {
		err := s.View(func(tx *Tx) error {
			st, err := tx.AsOf(at[i])
			if err != nil {
				return err
			}
			some := HostSetOf(1, 2, 3)
			each, err := st.Telling(facts.Users, &some)
			if err != nil {
				return err
			}
			all, err := st.Telling(facts.Users, nil)
			if all.Hosts != was.Hosts || !maps.Equal(all.ByStatus, was.ByStatus) || each.Hosts != was.Hosts || !maps.Equal(each.ByStatus, was.ByStatus) {
				t.Errorf("look %d, later: %v, host by host %v, want %v", i, all, each, was)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
