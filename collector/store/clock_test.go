package store

import (
	"bytes"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"atalaya/shared/facts"
	"atalaya/shared/identity"
)

// TestAClockThatWasYearsAheadHoldsNothingUp: after it was set right what came before counts,
// hosts are where they were, and what is old is taken out of the log.
func TestAClockThatWasYearsAheadHoldsNothingUp(t *testing.T) {
	var logged bytes.Buffer
	s, err := Open(Config{Path: filepath.Join(t.TempDir(), FileName), NoSync: true, Log: slog.New(slog.NewTextHandler(&logged, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	stays, goes := identity.HostID{1}, identity.HostID{2}
	wrong := t0.AddDate(70, 0, 0)
	tell := func(id identity.HostID, seq uint64, at time.Time, now ...facts.Item) {
		t.Helper()
		u := update(facts.Users, nil, now)
		u.At = at.UnixMilli()
		apply(t, s, Delivery{id, batch(seq, u), at})
	}
	enrol := func(id identity.HostID) error {
		return s.Update(func(tx *Tx) error { return tx.PutHost(Host{ID: id, Name: id.String(), EnrolledAt: wrong}) })
	}
	if err := errors.Join(enrol(stays), enrol(goes)); err != nil {
		t.Fatal(err)
	}
	ann, ben, cyd := user(t, "ann", 1), user(t, "ben", 2), user(t, "cyd", 3)
	tell(stays, 1, wrong, ann, ben, cyd)
	tell(goes, 1, wrong.Add(time.Minute), ann)
	if err := s.Update(func(tx *Tx) error { return tx.RemoveHost(goes, wrong.Add(2*time.Minute), "sold") }); err != nil {
		t.Fatal(err)
	}
	tell(stays, 2, t0, ann, ben)
	tell(stays, 3, t0.Add(time.Hour), ann)
	if n := strings.Count(logged.String(), "clock was set back"); n != 1 {
		t.Errorf("told %d times that the clock was set back: %s", n, logged.String())
	}
	look := func(at time.Time, hosts int, want ...string) {
		t.Helper()
		err := s.View(func(tx *Tx) error {
			then, err := tx.AsOf(at)
			if err = errors.Join(err, tx.Reaches(at)); err != nil {
				return err
			}
			n, rows := 0, []string{}
			err = then.Hosts(func(Host) error { n++; return nil })
			for name := range stateRows(t, then) { // compares the index with the rows
				rows = append(rows, name[strings.LastIndex(name, "/")+1:])
			}
			if slices.Sort(rows); n != hosts || !slices.Equal(rows, want) {
				t.Errorf("as of %s: %d hosts, %q; want %d, %q", at, n, rows, hosts, want)
			}
			return err
		})
		if err != nil {
			t.Errorf("as of %s: %v", at, err)
		}
	}
	look(t0, 1, "ann", "ben")
	look(t0.Add(time.Hour-1), 1, "ann", "ben")
	look(t0.Add(time.Hour), 1, "ann")
	if err := s.View(func(tx *Tx) error { return tx.Reaches(t0.Add(-time.Minute)) }); !errors.Is(err, ErrHistory) {
		t.Errorf("before the clock was right: %v, want ErrHistory", err)
	}
	if n, err := s.Prune(t0.Add(time.Minute)); err != nil || n == 0 {
		t.Errorf("%d changes were taken out, %v", n, err)
	}
	look(t0.Add(time.Minute), 1, "ann", "ben")
	look(t0.Add(time.Hour), 1, "ann")
}

// TestSmallStepsOfTheClockAreNone: those who serve hosts side by side come with moments that
// cross, and the log remembers so many times that its clock was set back and no more.
func TestSmallStepsOfTheClockAreNone(t *testing.T) {
	s := open(t)
	received := func(steps ...time.Duration) (last facts.Time, backs []setBack) {
		t.Helper()
		err := s.Update(func(tx *Tx) (err error) {
			for _, step := range steps {
				if _, err := tx.logGroup(group{host: 1, received: facts.TimeOf(t0.Add(step)), entries: []entry{{section: facts.Users, kind: StatusChanged}}}); err != nil {
					return err
				}
			}
			last = tx.groups[len(tx.groups)-1].received
			backs, err = tx.setBacks()
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return last, backs
	}
	if last, backs := received(time.Minute, time.Minute-clockJitter); last != facts.TimeOf(t0.Add(time.Minute)) || len(backs) > 0 {
		t.Errorf("after a small step %s, %v", last.Time(), backs)
	}
	if last, backs := received(0); last != facts.TimeOf(t0) || len(backs) != 1 || backs[0] != (setBack{3, last}) {
		t.Errorf("after a minute %s, %v", last.Time(), backs)
	}
	var steps []time.Duration
	for i := range maxSetBacks + 5 {
		steps = append(steps, time.Duration(i+2)*time.Hour, time.Duration(i+1)*time.Hour)
	}
	if _, backs := received(steps...); len(backs) != maxSetBacks || backs[0].at != facts.TimeOf(t0.Add(6*time.Hour)) {
		t.Errorf("%d are remembered, the first %v", len(backs), backs[0])
	}
	if _, backs := received(-time.Hour); len(backs) != 1 {
		t.Errorf("one to before all others leaves %v", backs)
	}
}
