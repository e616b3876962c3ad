package inventory

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	who "atalaya/collector/identity"
	"atalaya/collector/identity/ledger"
	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"

	"github.com/google/go-cmp/cmp"
)

// enrolled is a host with a record, as enrolment leaves it.
func (f *fleet) enrolled(n byte, name string) identity.HostID {
	f.t.Helper()
	id := identity.HostID{n}
	f.update(func(tx *store.Tx) error {
		if err := tx.PutHost(store.Host{ID: id, Name: name, EnrolledAt: f.Now}); err != nil {
			return err
		}
		return ledger.Note(tx, id, who.Event{At: f.Now, Kind: who.Enrolled, Text: "a host of its own"})
	})
	return id
}

func (f *fleet) update(fn func(tx *store.Tx) error) {
	f.t.Helper()
	if err := f.Store.Update(fn); err != nil {
		f.t.Fatal(err)
	}
	f.Now = f.Now.Add(time.Second)
}

func (f *fleet) remove(id identity.HostID, why string) {
	f.t.Helper()
	f.update(func(tx *store.Tx) error {
		if err := tx.RemoveHost(id, f.Now, why); err != nil {
			return err
		}
		return ledger.Note(tx, id, who.Event{At: f.Now, Kind: who.Removed, By: "ann", Text: "taken out: " + why})
	})
}

func (f *fleet) revive(id identity.HostID) {
	f.t.Helper()
	f.update(func(tx *store.Tx) error {
		if err := tx.ReviveHost(id, f.Now); err != nil {
			return err
		}
		return ledger.Note(tx, id, who.Event{At: f.Now, Kind: who.Revived, By: "ann", Text: "brought back"})
	})
}

// merge makes two hosts one, by a clock that is finer than the log's.
func (f *fleet) merge(keep, other identity.HostID) (m ledger.Merge) {
	f.t.Helper()
	f.update(func(tx *store.Tx) error {
		x, _, err1 := tx.Host(keep)
		y, _, err2 := tx.Host(other)
		p, err3 := ledger.Propose(tx, x, y, ledger.Alive{Connected: func(identity.HostID) bool { return false }, Now: f.Now})
		if err := errors.Join(err1, err2, err3); err != nil {
			return err
		}
		var err error
		m, err = ledger.Apply(tx, p, "ann", f.Now.Add(700*time.Microsecond))
		return err
	})
	return m
}

func (f *fleet) seen(id identity.HostID) {
	f.t.Helper()
	f.update(func(tx *store.Tx) error {
		h, _, err := tx.Host(id)
		h.LastSeen = f.Now
		return errors.Join(err, tx.PutHost(h))
	})
}

func (f *fleet) inventory(id identity.HostID, version string) {
	f.t.Helper()
	f.Report(id, facts.Packages, deb("bash", version), deb("dash", version), deb("zsh", version))
	f.Report(id, facts.OS, &facts.OSRow{ID: "debian", Name: "Debian", Family: "linux"})
}

func (f *fleet) history(id identity.HostID, q HistoryQuery) (got []string) {
	f.t.Helper()
	for {
		p, err := f.view.History(id.String(), q)
		if err != nil {
			f.t.Fatal(err)
		}
		if q.Limit > 0 && len(p.Events) > q.Limit {
			f.t.Fatalf("a page of %d events, want at most %d", len(p.Events), q.Limit)
		}
		for _, e := range p.Events {
			got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s: %s", e.Section, e.Kind, e.Item, e.Text)))
		}
		if q.Cursor = p.Next; q.Cursor == "" {
			return got
		}
	}
}

// eventful is a host that was removed, came back, was merged with another and parted again.
func eventful(t *testing.T) (f *fleet, a, b identity.HostID) {
	f = newFleet(t)
	a, b = f.enrolled(1, "web1"), f.enrolled(2, "web1-new")
	f.inventory(a, "1")
	f.inventory(b, "2")
	f.remove(a, "sold")
	f.revive(a)
	f.inventory(a, "1")
	f.seen(b) // its facts become those of both
	m := f.merge(a, b)
	f.Report(a, facts.Packages, deb("bash", "3"), deb("dash", "2"), deb("zsh", "2"))
	f.update(func(tx *store.Tx) error { return ledger.Undo(tx, m, "ann", f.Now) })
	return f, a, b
}

func TestHistoryTellsAnEventInOneLine(t *testing.T) {
	f, a, b := eventful(t)
	want := []string{
		"host unmerged : merge 1 (merged at 2026-09-21 14:13:31) was undone: web1-new (0200000000000000) is a host of its own, and this one what it was before (by ann; 1 section, 3 rows)",
		"packages changed dpkg bash amd64: version 2 -> 3",
		"host merged : web1-new (0200000000000000) was merged into it: no fact of the hardware can be compared (by ann; 1 section, 3 rows)",
		"host revived : brought back (by ann; 2 sections, 4 rows)",
		"host removed : taken out: sold (by ann; 2 sections, 4 rows)",
		"os first-reading : first reading: 1 row",
		"packages first-reading : first reading: 3 rows",
		"host enrolled : a host of its own",
	}
	got := f.history(a, HistoryQuery{})
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for _, details := range []bool{false, true} {
		whole := f.history(a, HistoryQuery{Details: details})
		for limit := 1; limit <= len(whole)+1; limit++ {
			if d := cmp.Diff(whole, f.history(a, HistoryQuery{Limit: limit, Details: details})); d != "" {
				t.Errorf("pages of %d, details %v (-whole +pages):\n%s", limit, details, d)
			}
		}
		if details && len(whole) != 20 {
			t.Errorf("%d lines with details, want each change and each event:\n%s", len(whole), strings.Join(whole, "\n"))
		}
	}
	other := f.history(b, HistoryQuery{})
	if len(other) < 2 || !strings.HasPrefix(other[0], "host unmerged") || !strings.HasPrefix(other[1], "host merged : merged into web1 (0100000000000000) (by ann; 2 sections, 4 rows)") {
		t.Errorf("of the other: %q", other)
	}
	if got := f.history(a, HistoryQuery{Section: "packages"}); len(got) != 6 || !strings.HasPrefix(got[0], "host unmerged") {
		t.Errorf("of packages: %q", got)
	}
}

func TestWhatIsMergedTellsTheOthersPastToo(t *testing.T) {
	f := newFleet(t)
	a, b := f.enrolled(1, "web1"), f.enrolled(2, "web1-new")
	f.inventory(a, "1")
	f.inventory(b, "2")
	f.merge(a, b)
	want := []string{"host merged", "os first-reading", "packages first-reading", "os first-reading", "packages first-reading", "host enrolled", "host enrolled"}
	var got []string
	for _, l := range f.history(a, HistoryQuery{}) {
		got = append(got, strings.Join(strings.Fields(l)[:2], " "))
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the end of the other's record is no change of the machine (-want +got):\n%s", d)
	}
}

func (f *fleet) changed(q ChangedQuery) (got []string) {
	f.t.Helper()
	list, err := f.view.WhatChanged(q)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, c := range list {
		got = append(got, fmt.Sprintf("%d %s %s: %s", c.Count, c.Section, c.Kind, c.Text))
	}
	return got
}

func TestWhatChangedTellsNewHostsAndDecisionsInOneLine(t *testing.T) {
	f, _, _ := eventful(t)
	from := f.Now
	f.Now = f.Now.Add(time.Second)
	f.inventory(f.enrolled(3, "db1"), "1")
	f.inventory(f.enrolled(4, "db2"), "1")
	want := []string{"2 host first-seen: not known at " + stamp(from) + "; first seen from " + stamp(from.Add(time.Second)) + " to " + stamp(from.Add(4*time.Second)) + ": 2 sections, 8 rows"}
	if d := cmp.Diff(want, f.changed(ChangedQuery{From: from})); d != "" {
		t.Errorf("new hosts (-want +got):\n%s", d)
	}
	all := strings.Join(f.changed(ChangedQuery{From: t0.Add(-time.Second)}), "\n")
	for _, line := range []string{"4 host first-seen", "1 host removed: taken out: sold (by ann; 2 sections, 4 rows)", "1 host revived", "1 host merged: web1-new", "1 host unmerged: merge 1 (merged", "packages changed: version 2 -> 3"} {
		if strings.Count(all, line) != 1 {
			t.Errorf("%q is there %d times", line, strings.Count(all, line))
		}
	}
	if strings.Contains(all, "cleared") || strings.Contains(all, "baseline") || strings.Contains(all, "added") {
		t.Error("rows of an event are told beside it")
	}
	if t.Failed() {
		t.Log(all)
	}
}

func TestDiffSaysThatAHostIsNewOrGone(t *testing.T) {
	f := newFleet(t)
	before := f.Now
	f.Now = f.Now.Add(time.Minute)
	a := f.enrolled(1, "web1")
	seen := f.Now.Add(-time.Second)
	f.inventory(a, "1")
	there := f.Now
	f.Now = f.Now.Add(time.Second)
	diff := func(q DiffQuery) (got []string) {
		t.Helper()
		d, err := f.view.Diff(a.String(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range d.Items {
			got = append(got, e.Section+" "+e.Kind+": "+e.Text)
		}
		return got
	}
	want := []string{"host enrolled: a host of its own", "host first-seen: not known at " + stamp(before) + "; first seen at " + stamp(seen) + ", with 2 sections, 4 rows since"}
	if d := cmp.Diff(want, diff(DiffQuery{From: before, To: there})); d != "" {
		t.Errorf("a new host (-want +got):\n%s", d)
	}
	if got := diff(DiffQuery{From: before, To: there, Details: true}); len(got) != 1+2+4 {
		t.Errorf("with its rows: %q", got)
	}
	if got := diff(DiffQuery{From: before, To: there, Section: "packages"}); len(got) != 1 || got[0] != "packages first-reading: first reading: 3 rows" {
		t.Errorf("one section: %q", got)
	}
	if _, err := f.view.Diff("web1", DiffQuery{From: before, To: before.Add(time.Second)}); !errors.Is(err, ErrHistory) || !strings.Contains(err.Error(), "web1 was not known at "+stamp(before.Add(time.Second))+", it was first seen at "+stamp(seen)) {
		t.Errorf("before it was known: %v", err)
	}
	if _, err := f.view.History("web1", HistoryQuery{To: before}); !errors.Is(err, ErrHistory) {
		t.Errorf("history before it was known: %v", err)
	}
	f.remove(a, "sold")
	got := diff(DiffQuery{From: there, To: f.Now})
	if len(got) != 2 || got[1] != "host removed: not in the fleet any more; it had 2 sections, 4 rows" {
		t.Errorf("a host that went: %q", got)
	}
	if _, err := f.view.Lookup("web1"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "it left the fleet at "+stamp(f.Now.Add(-time.Second))+" (sold); its past is told by its number, 0100000000000000") {
		t.Errorf("a removed host by its name: %v", err)
	}
	away := f.Now.Add(time.Minute)
	f.Now = away.Add(time.Minute)
	back := f.Now
	f.revive(a)
	if got := diff(DiffQuery{From: there, To: away}); len(got) != 2 || !strings.HasPrefix(got[1], "host removed: not in the fleet at "+stamp(away)+": removed at ") || !strings.HasSuffix(got[1], "brought back at "+stamp(back)+"; it had 2 sections, 4 rows") {
		t.Errorf("a host that was away at the second moment: %q", got)
	}
	if got := diff(DiffQuery{From: away, To: f.Now}); len(got) != 2 || got[1] != "host first-reading: not in the fleet at "+stamp(away)+"; brought back at "+stamp(back)+", with 2 sections, 4 rows since" {
		t.Errorf("a host that was away at the first moment: %q", got)
	}
	if got := diff(DiffQuery{From: there, To: f.Now}); len(got) != 2 || got[0] != "host revived: brought back (by ann)" {
		t.Errorf("a host that came back with what it had: %q", got)
	}
}

func TestWhereAProgramRunsIsNoChangeOfTheSoftware(t *testing.T) {
	f := newFleet(t)
	a := f.Host(1, "web1")
	module := func(version string, at ...string) facts.Row {
		return &facts.PackageRow{Name: "stdlib", Version: version, Source: "go", Locations: at}
	}
	venv := func(at ...string) facts.Row {
		return &facts.PackageRow{Name: "flask", Version: "1", Source: "pip", Locations: at}
	}
	f.Report(a, facts.Packages, module("go1.21", "/opt/a"), venv("/srv/x"), deb("zsh", "1"))
	from := f.Now.Add(-time.Millisecond)
	f.Report(a, facts.Packages, module("go1.21", "/opt/a", "/opt/b"), venv("/srv/x", "/srv/y"), deb("zsh", "1"))
	f.Report(a, facts.Packages, module("go1.22", "/opt/b"), module("go1.21", "/opt/a"), venv("/srv/x", "/srv/y"), deb("zsh", "1"))
	want := []string{
		"packages added go stdlib go1.22: name stdlib, version go1.22, source go, locations /opt/b",
		"packages changed pip flask 1: locations /srv/x -> /srv/x,/srv/y",
	}
	if d := cmp.Diff(want, f.history(a, HistoryQuery{From: from})); d != "" {
		t.Errorf("history (-want +got):\n%s", d)
	}
	if got := f.history(a, HistoryQuery{From: from, Details: true}); len(got) != 4 {
		t.Errorf("with details: %q", got)
	}
	d, err := f.view.Diff("web1", DiffQuery{From: from, To: from.Add(time.Second)})
	if err != nil || len(d.Items) != 1 || !strings.Contains(d.Items[0].Item, "flask") {
		t.Errorf("difference: %+v, %v", d.Items, err)
	}
}

func TestMomentsBeforeTheHistoryAreRefused(t *testing.T) {
	f := newFleet(t)
	before := f.Now
	f.Now = f.Now.Add(time.Minute)
	if _, err := f.view.FindPackage(PackageQuery{Name: "bash", At: before}); err != nil {
		t.Errorf("an empty collector: %v", err)
	}
	f.inventory(f.Host(1, "web1"), "1")
	if _, err := f.view.FindPackage(PackageQuery{Name: "bash", At: before}); !errors.Is(err, ErrHistory) || !strings.Contains(err.Error(), "begins at "+stamp(before.Add(time.Minute+time.Second))) {
		t.Errorf("packages before the first change: %v", err)
	}
	if _, err := f.view.WhatChanged(ChangedQuery{From: before, To: before.Add(time.Second)}); !errors.Is(err, ErrHistory) {
		t.Errorf("changes before the first: %v", err)
	}
	found, err := f.view.FindPackage(PackageQuery{Name: "bash", At: f.Now})
	if err != nil || found.Total != 1 || !found.Matches[0].KnownAt.IsZero() {
		t.Errorf("since: %+v, %v", found, err)
	}
	for _, bad := range []string{"x", "0.0.0", "1.2", "1.-1.0", "1.2.3x", " 1.2.3"} {
		if _, err := f.view.History("web1", HistoryQuery{Cursor: bad}); !errors.Is(err, ErrCursor) {
			t.Errorf("cursor %q: %v", bad, err)
		}
	}
}

// TestHistoryIsInTheOrderInWhichThingsCameAbout: what a host told late stands at its time and
// within its range, as in the table of changes and in a difference; pages of any size make
// the same whole, also of a host with merged parts.
func TestHistoryIsInTheOrderInWhichThingsCameAbout(t *testing.T) {
	f := newFleet(t)
	f.Step = 0
	id := f.enrolled(1, "web1")
	rng := rand.New(rand.NewPCG(4, 2))
	at := f.Now
	for n := range 60 {
		at = at.Add(time.Duration(1+rng.IntN(90)) * time.Minute)
		if f.Now.Before(at) || rng.IntN(6) == 0 {
			f.Now = at.Add(time.Duration(rng.IntN(100)) * time.Hour) // it was not connected for so long
		}
		is, err := wire.Items([]facts.Row{deb("bash", fmt.Sprint(n))})
		if err != nil {
			t.Fatal(err)
		}
		u := wire.SectionUpdate{Section: facts.Packages, Status: facts.StatusOK, Full: n == 0, At: at.UnixMilli(), Digest: facts.DigestOf(is), Put: [][]byte{is[0].Data}}
		f.Send(id, u)
		if n%10 == 3 {
			f.Report(id, facts.Users, &facts.UserRow{Name: "ann", UID: int64(n)}) // at once
		}
	}
	f.Now = f.Now.Add(time.Hour)
	whole, err := f.view.History("web1", HistoryQuery{})
	if err != nil || len(whole.Events) < 65 {
		t.Fatalf("%d events, %v", len(whole.Events), err)
	}
	late := 0
	for i, e := range whole.Events {
		if i > 0 && e.At.After(whole.Events[i-1].At) {
			t.Errorf("%v %s stands behind %v", e.At, e.Text, whole.Events[i-1].At)
		}
		if e.Received.Sub(e.At) > time.Hour {
			late++
		}
	}
	if late == 0 {
		t.Error("nothing was told late")
	}
	for _, limit := range []int{1, 7, 40} {
		var paged []Event
		for q := (HistoryQuery{Limit: limit}); ; {
			p, err := f.view.History("web1", q)
			if err != nil || len(p.Events) > limit {
				t.Fatalf("%d events, %v", len(p.Events), err)
			}
			paged = append(paged, p.Events...)
			if q.Cursor = p.Next; p.Next == "" {
				break
			}
		}
		if d := cmp.Diff(whole.Events, paged); d != "" {
			t.Errorf("pages of %d: -whole +paged\n%s", limit, d)
		}
	}
	from, to := whole.Events[40].At, whole.Events[20].At
	part, err := f.view.History("web1", HistoryQuery{From: from, To: to})
	if err != nil {
		t.Fatal(err)
	}
	var want []Event
	for _, e := range whole.Events {
		if e.At.After(from) && !e.At.After(to) {
			want = append(want, e)
		}
	}
	if d := cmp.Diff(want, part.Events); d != "" || len(want) < 10 {
		t.Errorf("from %v to %v: -want +got\n%s", from, to, d)
	}
}
