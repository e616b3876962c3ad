package asset

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"atalaya/collector/store"
	"atalaya/collector/store/storetest"
	"atalaya/shared/facts"
)

var t0 = time.Date(2026, 3, 14, 9, 30, 0, 0, time.UTC)

// desk is a book over a state file.
type desk struct {
	*Book
	*storetest.Fleet
	t testing.TB
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	return deskAt(t, filepath.Join(t.TempDir(), store.FileName))
}

func deskAt(t testing.TB, path string) *desk {
	t.Helper()
	d := &desk{Fleet: storetest.At(t, path, t0), t: t}
	d.read()
	return d
}

// reopen opens the state file again, which the test has closed.
func (d *desk) reopen() {
	d.t.Helper()
	d.Open()
	d.read()
}

func (d *desk) read() {
	d.t.Helper()
	d.Book = New(d.Store)
	if err := d.Book.CatchUp(); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) add(pairs ...string) Asset {
	d.t.Helper()
	a, err := d.Add(Edit{By: "ana", Set: values(pairs...)})
	if err != nil {
		d.t.Fatal(err)
	}
	return a
}

func values(pairs ...string) map[string]string {
	out := map[string]string{}
	for _, p := range pairs {
		name, v, _ := strings.Cut(p, "=")
		out[name] = v
	}
	return out
}

func (d *desk) set(ref string, pairs ...string) error {
	_, _, err := d.Change(ref, Edit{By: "ana", Set: values(pairs...)})
	return err
}

func (d *desk) mustSet(ref string, pairs ...string) {
	d.t.Helper()
	if err := d.set(ref, pairs...); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) asset(ref string) Asset {
	d.t.Helper()
	a, err := d.Asset(ref)
	if err != nil {
		d.t.Fatal(err)
	}
	return a
}

func refused(t *testing.T, err, kind error, parts ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("got %v, want %v", err, kind)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

func TestValuesHaveOneForm(t *testing.T) {
	f := func(kind Type, in, want string) {
		t.Helper()
		field := Field{Name: "x", Type: kind, Choices: []string{"Red", "deep blue"}}
		if kind == Status {
			field.Choices = statuses()
		}
		got, err := field.canonical(in)
		if want == "" {
			refused(t, err, ErrInvalid, "x: ")
			return
		}
		if err != nil || got != want {
			t.Errorf("%s %q: got %q, %v, want %q", kind, in, got, err, want)
			return
		}
		if again, err := field.canonical(got); err != nil || again != got {
			t.Errorf("%s %q: canonical again is %q, %v", kind, got, again, err)
		}
	}
	f(Text, "  two words ", "two words")
	f(Text, "", "")
	f(Text, "a\nb", "")
	f(Text, "right\u202eleft", "")
	f(Text, "\xff", "")
	f(Text, strings.Repeat("x", maxText+1), "")
	f(Long, "a\r\nb\tc", "a\nb\tc")
	f(Long, "a\x00b", "")
	f(Number, "007.50", "7.5")
	f(Number, "-0", "0")
	f(Number, "+12", "12")
	f(Number, "1e3", "")
	f(Number, "1,000", "")
	f(Date, "2026-02-28", "2026-02-28")
	f(Date, "28.2.2026", "2026-02-28")
	f(Date, "2026/02/28", "2026-02-28")
	f(Date, "2026-02-30", "")
	f(Date, "02/03/2026", "")
	f(Money, "1234.5 eur", "1234.50 EUR")
	f(Money, "EUR 1234,50", "1234.50 EUR")
	f(Money, "0012.0000USD", "12 USD")
	f(Money, "0.125 BTC", "0.125 BTC")
	f(Money, "1,234 EUR", "")
	f(Money, "1.234,50 EUR", "")
	f(Money, "12", "")
	f(Money, "EUR 12 USD", "")
	f(Money, "-5 EUR", "")
	f(Bool, "YES", "true")
	f(Bool, "0", "false")
	f(Bool, "maybe", "")
	f(Choice, "DEEP BLUE", "deep blue")
	f(Choice, "green", "")
	f(Status, "In Stock", "in_stock")
	f(Status, "lost", "")
	f(Tags, "web, db web", "db web")
	f(Tags, "-x", "")
	f(Tags, "a;b", "")
}

func TestMoneyIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64Range(0, 999_999_999_999).Draw(t, "whole")
		cents := rapid.IntRange(0, 99).Draw(t, "cents")
		got, err := Field{Name: "price", Type: Money}.canonical(fmt.Sprintf("%d.%02d EUR", n, cents))
		want := fmt.Sprintf("%d.%02d EUR", n, cents)
		if cents == 0 {
			want = fmt.Sprintf("%d EUR", n)
		}
		if err != nil || got != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	})
}

func TestLifeCycleNamesTheNextStep(t *testing.T) {
	f := func(from, to, why, next string) {
		t.Helper()
		err := checkStep(from, to, why)
		if next == "" {
			if err != nil {
				t.Errorf("%s to %s: %v", from, to, err)
			}
			return
		}
		refused(t, err, ErrConflict, next)
	}
	f("", "disposed", "", "")
	f("planned", "in_use", "", "")
	f("planned", "retired", "", "set status=in_stock first")
	f("in_use", "disposed", "", "set status=retired first")
	f("in_use", "planned", "", "nothing becomes planned again")
	f("in_repair", "disposed", "", "set status=retired first")
	f("retired", "in_use", "", "set status=in_stock first")
	f("disposed", "retired", "", "--reason")
	f("disposed", "retired", "a mistake", "")
	f("disposed", "in_use", "a mistake", "set status=retired first")
	f("in_use", "", "", "cannot be taken away")
	for _, from := range statuses() {
		for _, to := range statuses() {
			if from != to && to != "planned" && len(wayTo(from, to)) == 0 {
				t.Errorf("there is no way from %s to %s", from, to)
			}
		}
	}
}

func TestEditsKeepWhoWhenOldAndNew(t *testing.T) {
	d := newDesk(t)
	a := d.add("asset_tag=IT-1", "owner=Ana", "status=in_stock", "price=99.9 EUR")
	if a.Record.ID.String() != "A1" {
		t.Fatalf("got %s", a.Record.ID)
	}
	d.Now = d.Now.Add(time.Hour)
	_, changes, err := d.Change("it-1", Edit{By: "ben", Why: "moved in", Set: values("owner=Ben", "status=in use", "price=99.90 EUR"), Unset: []string{"location"}})
	want := []FieldChange{{Field: "status", Old: "in_stock", New: "in_use"}, {Field: "owner", Old: "Ana", New: "Ben"}}
	if diff := cmp.Diff(want, changes); diff != "" || err != nil {
		t.Fatalf("%v\n%s", err, diff)
	}
	if _, changes, err = d.Change("A1", Edit{By: "ben", Set: values("owner=Ben")}); err != nil || len(changes) > 0 {
		t.Errorf("the same again: %v, %v", changes, err)
	}
	_, history, more, err := d.History("IT-1", 0, 10)
	if err != nil || more || len(history) != 2 || history[0].By != "ben" || history[0].Note != "moved in" || !moment(history[0].At).Equal(d.Now) || history[1].Kind != Added {
		t.Fatalf("%+v, %v, %v", history, more, err)
	}
	refused(t, d.set("A1", "owner=", "colour=red"), ErrInvalid, `no field is called "colour"`)
	refused(t, d.set("A1", "ownr=x"), ErrInvalid, "did you mean owner?")
	refused(t, d.set("A9", "owner=x"), ErrNotFound, `no asset or host "A9"`)
	_, err = d.Add(Edit{By: "ana", Set: values("asset_tag=it-1")})
	refused(t, err, ErrConflict, "A1 has it already")
	_, err = d.Add(Edit{By: "ana"})
	refused(t, err, ErrInvalid, "at least one value")
}

func TestLocksRefuseEditsAndImports(t *testing.T) {
	d := newDesk(t)
	d.add("asset_tag=IT-1", "owner=Ana")
	if _, err := d.Lock("IT-1", []string{"owner", "location"}, "cfo", "audit 2026"); err != nil {
		t.Fatal(err)
	}
	refused(t, d.set("IT-1", "owner=Ben"), ErrConflict, "owner of A1 (IT-1) is locked by cfo since 2026-03-14, because: audit 2026", "atalaya asset unlock A1 owner")
	refused(t, d.set("IT-1", "location=Berlin"), ErrConflict, "locked by cfo")
	d.mustSet("IT-1", "owner=Ana", "department=Sales") // what is so already is no edit
	_, err := d.Remove("IT-1", "ana", "")
	refused(t, err, ErrConflict, "locked")
	_, err = d.Lock("IT-1", []string{"owner"}, "ana", "")
	refused(t, err, ErrConflict, "locked by cfo")
	_, err = d.Lock("IT-1", []string{"serial", "serial"}, "ana", "")
	refused(t, err, ErrInvalid, "twice")
	plan, err := d.Import(Import{Content: []byte("asset_tag,owner\nIT-1,Ben\n"), File: "a.csv", Key: FieldTag, Apply: true, By: "ana"})
	if err != nil || plan.Refused != 1 || plan.Applied || !strings.Contains(plan.Rows[0].Reason, "locked by cfo") {
		t.Fatalf("%+v, %v", plan, err)
	}
	if _, err := d.Unlock("IT-1", []string{"owner"}, "cfo", "audit done"); err != nil {
		t.Fatal(err)
	}
	d.mustSet("IT-1", "owner=Ben")
	_, err = d.Unlock("IT-1", []string{"owner"}, "cfo", "")
	refused(t, err, ErrConflict, "not locked")
	if a := d.asset("IT-1"); a.Values["owner"] != "Ben" || len(a.Locks) != 1 {
		t.Errorf("%+v", a)
	}
}

func TestCustomFieldsKeepTheirType(t *testing.T) {
	d := newDesk(t)
	for _, f := range []Field{
		{Name: "rack_units", Type: Number}, {Name: "colour", Type: Choice, Choices: []string{"red", "blue"}}, {Name: "insured", Type: Bool}, {Name: "audited", Type: Date},
	} {
		if err := d.Define(f, "ana"); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, d.Define(Field{Name: "Owner", Type: Text}, "ana"), ErrInvalid, "small letter")
	refused(t, d.Define(Field{Name: "cost_center", Type: Text}, "ana"), ErrConflict, "is the field cost_centre already")
	refused(t, d.Define(Field{Name: "x", Type: Money}, "ana"), ErrInvalid, "want text, number, date, choice or bool")
	refused(t, d.Define(Field{Name: "x", Type: Choice, Choices: []string{"a", "A"}}, "ana"), ErrInvalid, "twice")
	d.add("name=r1", "rack_units=2.0", "colour=RED", "insured=yes", "audited=1.2.2026")
	if diff := cmp.Diff(map[string]string{"name": "r1", "rack_units": "2", "colour": "red", "insured": "true", "audited": "2026-02-01"}, d.asset("r1").Values); diff != "" {
		t.Error(diff)
	}
	refused(t, d.set("r1", "rack_units=two"), ErrInvalid, "want a number")
	refused(t, d.Forget("colour", "ana"), ErrConflict, "1 assets have a value or a lock in colour, such as A1")
	refused(t, d.Forget("owner", "ana"), ErrConflict, "built-in")
	if _, _, err := d.Change("r1", Edit{By: "ana", Unset: []string{"colour"}}); err != nil {
		t.Fatal(err)
	}
	if err := d.Forget("colour", "ana"); err != nil {
		t.Fatal(err)
	}
	refused(t, d.set("r1", "colour=red"), ErrInvalid, "no field is called")
}

func TestAssetFindsItsHost(t *testing.T) {
	d := newDesk(t)
	a := d.add("asset_tag=IT-1", "serial=SN-100", "status=planned", "tags=rack1")
	d.add("asset_tag=IT-2", "serial=Default string")
	d.add("asset_tag=IT-3", "name=db1", "serial=SN-300")
	d.add("asset_tag=IT-4", "name=db2")
	web, db1, db2 := d.Host(1, "web1", "web"), d.Host(2, "db1"), d.Host(3, "db2")
	d.Report(web, facts.System, &facts.SystemRow{Manufacturer: "Dell Inc.", Product: "R640", Serial: "sn-100"})
	d.Report(db1, facts.System, &facts.SystemRow{Serial: "SN-OTHER"})
	d.Report(db2, facts.System, &facts.SystemRow{Serial: "Default string"})
	if err := d.Store.CatchUp(t.Context(), d.follower()); err != nil {
		t.Fatal(err)
	}
	hostOf := func(ref string) string {
		if a := d.asset(ref); a.Host != nil {
			return a.Host.Name
		}
		return ""
	}
	if got := []string{hostOf("IT-1"), hostOf("IT-2"), hostOf("IT-3"), hostOf("IT-4")}; !slices.Equal(got, []string{"web1", "", "", "db2"}) {
		t.Errorf("hosts %q: want web1 by its serial number, none by junk or against another serial number, db2 by its name", got)
	}
	if a = d.asset("IT-1"); a.Values[FieldTags] != "rack1 web" || a.Observed["model"] != "R640" || len(a.Differs) != 0 {
		t.Errorf("%+v", a)
	}
	d.mustSet("IT-1", "manufacturer=HP")
	if a = d.asset("web1"); !slices.Equal(a.Differs, []string{"manufacturer"}) || a.Record.ID != 1 {
		t.Errorf("differs %q of %s", a.Differs, a.Record.ID)
	}
	b := d.add("asset_tag=IT-5", "serial=SN-OTHER") // its host is there already
	if b.Host == nil || b.Host.Name != "db1" {
		t.Errorf("got %+v, want db1", b.Host)
	}
	refused(t, d.set("IT-2", "host=web1"), ErrConflict, "A1 has it already")
	refused(t, d.set("IT-2", "host=web9"), ErrInvalid, `no host "web9"`)
}

func TestTagsAreThoseOfTheHost(t *testing.T) {
	d := newDesk(t)
	id := d.Host(1, "web1", "web")
	d.mustSet("web1", "owner=Ana")
	d.mustSet("web1", "tags=web prod")
	tags := func() []string {
		h := store.Host{}
		if err := d.Store.View(func(tx *store.Tx) (err error) { h, _, err = tx.Host(id); return err }); err != nil {
			t.Fatal(err)
		}
		return h.Tags
	}
	if got := tags(); !slices.Equal(got, []string{"prod", "web"}) {
		t.Errorf("tags of the host: %q", got)
	}
	d.Do(func(tx *store.Tx) error {
		h, _, err := tx.Host(id)
		h.Tags = nil
		return errors.Join(err, tx.PutHost(h), HostTagged(tx, h, "ben", d.Now))
	})
	if a := d.asset("web1"); a.Values[FieldTags] != "" || a.ChangedBy != "ben" {
		t.Errorf("%+v", a.Record)
	}
}

func TestMergedHostsMoveTheirAssets(t *testing.T) {
	d := newDesk(t)
	from, into := d.Host(1, "old"), d.Host(2, "new")
	a := d.add("name=box", "host=old")
	merge := func() {
		d.Do(func(tx *store.Tx) error { return HostMerged(tx, from, into, "ana", d.Now) })
	}
	unmerge := func() {
		d.Do(func(tx *store.Tx) error { return HostUnmerged(tx, from, into, "ana", d.Now) })
	}
	merge()
	if a = d.asset("box"); a.Host == nil || a.Host.ID != into {
		t.Fatalf("after the merge: %+v", a.Host)
	}
	unmerge()
	if a = d.asset("box"); a.Host == nil || a.Host.ID != from {
		t.Fatalf("after its undo: %+v", a.Host)
	}
	other := d.add("name=other", "host=new")
	merge()
	if a = d.asset("box"); a.Host != nil {
		t.Errorf("the host that it was merged into is %s already: %+v", other.Record.ID, a.Host)
	}
	unmerge()
	if a = d.asset("box"); a.Host == nil || a.Host.ID != from {
		t.Errorf("after the second undo: %+v", a.Host)
	}
	if _, history, _, err := d.History("box", 0, 10); err != nil || len(history) != 5 {
		t.Errorf("%d changes, %v", len(history), err)
	}
}

func TestRemovedAssetKeepsItsHistory(t *testing.T) {
	d := newDesk(t)
	d.add("asset_tag=IT-1", "owner=Ana")
	d.Now = d.Now.Add(time.Hour)
	if _, err := d.Remove("IT-1", "ana", "counted twice"); err != nil {
		t.Fatal(err)
	}
	_, err := d.Asset("IT-1")
	refused(t, err, ErrNotFound)
	_, history, _, err := d.History("A1", 0, 10)
	if err != nil || len(history) != 2 || history[0].Note != "counted twice" {
		t.Fatalf("%+v, %v", history, err)
	}
	if got := d.asOf(t0); len(got) != 1 || got[0].Values["owner"] != "Ana" {
		t.Errorf("as of before: %+v", got)
	}
	if a := d.add("asset_tag=IT-1"); a.Record.ID != 2 {
		t.Errorf("the number of a removed asset came back: %s", a.Record.ID)
	}
}

func (d *desk) asOf(at time.Time) (out []Record) {
	d.t.Helper()
	err := d.Store.View(func(tx *store.Tx) error {
		return AsOf(tx, at, func(r Record) error { out = append(out, r.clone()); return nil })
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

// TestPastIsWhatItWas compares AS OF with snapshots taken at the moments, and records made
// anew from the log with those that grew, after random edits.
func TestPastIsWhatItWas(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := newDesk(t)
		type snapshot struct {
			at   time.Time
			want []Record
		}
		var snapshots []snapshot
		fields := []string{"owner", "location", "asset_tag", "notes"}
		for range rapid.IntRange(1, 40).Draw(rt, "edits") {
			ref := fmt.Sprintf("A%d", rapid.IntRange(1, 5).Draw(rt, "asset"))
			field := rapid.SampledFrom(fields).Draw(rt, "field")
			value := rapid.SampledFrom([]string{"x", "y", "z"}).Draw(rt, "value")
			switch rapid.IntRange(0, 6).Draw(rt, "what") {
			case 0:
				_, _ = d.Add(Edit{By: "ana", Set: map[string]string{field: value}}) // a tag may be taken
			case 1:
				_, _ = d.Remove(ref, "ben", "") // may be locked or gone
			case 2:
				_, _ = d.Lock(ref, []string{field}, "cfo", value)
			case 3:
				_, _ = d.Unlock(ref, []string{field}, "cfo", "")
			case 4:
				_, _, _ = d.Change(ref, Edit{By: "ben", Unset: []string{field}})
			default:
				_, _, _ = d.Change(ref, Edit{By: "ben", Set: map[string]string{field: value}})
			}
			if _, newest, _, err := d.History("", 0, 1); err == nil && len(newest) > 0 { // its moment is not before the one before
				snapshots = append(snapshots, snapshot{moment(newest[0].At), d.asOf(time.Time{})})
			}
			d.Now = d.Now.Add(time.Duration(rapid.IntRange(-1, 3).Draw(rt, "step")) * time.Second) // the clock may go back
		}
		last := map[time.Time]int{} // edits of one moment: the last counts
		for i, s := range snapshots {
			last[s.at] = i
		}
		for at, i := range last {
			if diff := cmp.Diff(snapshots[i].want, d.asOf(at)); diff != "" {
				rt.Fatalf("as of %s (-was +told):\n%s", at, diff)
			}
		}
		before := d.asOf(time.Time{})
		d.Do(func(tx *store.Tx) error { return tx.SetViewVersion(viewName, 0) })
		if err := d.CatchUp(); err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(before, d.asOf(time.Time{})); diff != "" {
			rt.Fatalf("made anew (-grown +anew):\n%s", diff)
		}
		d.Close()
		d.reopen()
	})
}

func TestListPagesAndFilters(t *testing.T) {
	d := newDesk(t)
	for i := range 5 {
		d.add(fmt.Sprintf("asset_tag=IT-%d", i), "location="+[]string{"Berlin/1", "Madrid"}[i%2], fmt.Sprintf("warranty_end=2026-0%d-01", i+1))
	}
	d.Host(1, "web1", "web")
	d.Host(2, "web2")
	f := func(q Query, want ...string) {
		t.Helper()
		var got []string
		for {
			page, next, err := d.Assets(q)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range page {
				if a.Record.ID == 0 {
					got = append(got, a.Host.Name)
				} else {
					got = append(got, a.Record.ID.String())
				}
			}
			if q.After = next; next == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%+v: got %q, want %q", q, got, want)
		}
	}
	f(Query{}, "A1", "A2", "A3", "A4", "A5", "web1", "web2")
	f(Query{Limit: 2}, "A1", "A2", "A3", "A4", "A5", "web1", "web2")
	f(Query{Undeclared: true, Limit: 1}, "web1", "web2")
	f(Query{Where: values("location=berlin*")}, "A1", "A3", "A5")
	f(Query{Where: values("location=MADRID"), Limit: 1}, "A2", "A4")
	f(Query{Where: values("location=")}, "web1", "web2")
	f(Query{Before: values("warranty_end=2026-03-01")}, "A1", "A2")
	f(Query{Tag: "web"}, "web1")
	_, _, err := d.Assets(Query{Where: values("ownr=x")})
	refused(t, err, ErrInvalid, "did you mean owner")
	_, _, err = d.Assets(Query{Before: values("owner=2026-03-01")})
	refused(t, err, ErrInvalid, "no date")
	_, _, err = d.Assets(Query{After: "nonsense"})
	refused(t, err, ErrInvalid, "cursor")
}

func TestNamesThatSeveralHaveAreRefused(t *testing.T) {
	d := newDesk(t)
	d.add("name=printer", "serial=S1")
	d.add("name=printer", "serial=S2")
	d.add("asset_tag=A1")
	refused(t, d.set("printer", "owner=x"), ErrInvalid, "ambiguous", "A1 (printer), A2 (printer)")
	d.mustSet("S2", "owner=Ben")
	if got := d.asset("A2").Values; !maps.Equal(got, values("name=printer", "serial=S2", "owner=Ben")) {
		t.Errorf("%v", got)
	}
}
