package probe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"atalaya/shared/facts"
)

func TestWholeSectionsKeepTheirRevisionUntilARowIsAdded(t *testing.T) {
	rows := []facts.Row{&facts.UserRow{Name: "b"}, &facts.UserRow{Name: "c"}, nil}[:2]
	read := func(limit int, more ...facts.Row) facts.Reading {
		r := NewReport(nil, limit)
		r.Whole(facts.Users, 7, rows)
		if len(more) > 0 {
			r.Add(facts.Users, more...)
		}
		return r.readings([]facts.ID{facts.Users}, 1, nil)[0]
	}
	if got := read(9); got.Revision != 7 || len(got.Rows) != 2 || &got.Rows[0] != &rows[0] {
		t.Errorf("%+v", got)
	}
	if got := read(9, &facts.UserRow{Name: "a"}); got.Revision != 0 || len(got.Rows) != 3 || got.Rows[0].Key() != "a" {
		t.Errorf("after Add: %+v", got)
	}
	if rows[0].Key() != "b" || rows[:3][2] != nil {
		t.Error("Add changed rows that are shared")
	}
	if got := read(1); got.Revision != 0 || got.Status != facts.StatusPartial || len(got.Rows) != 1 {
		t.Errorf("over the limit: %+v", got)
	}
}

func TestRowsBeyondTheLimitMakeASectionPartial(t *testing.T) {
	p := inventoryProbe("users", facts.Users, "a", "b", "c")
	p.info.MaxItems = 2
	res := RunOnce(t.Context(), RootHost(t.TempDir()), p)
	rd := res.Readings[0]
	if rd.Status != facts.StatusPartial || len(rd.Rows) != 2 || !strings.Contains(rd.Reason, "1 rows left out") {
		t.Errorf("reading is %+v", rd)
	}
}

func TestStatusOfAReading(t *testing.T) {
	f := func(err error, rows int, want facts.Status) {
		t.Helper()
		users := []string{"a", "b"}[:rows]
		p := inventoryProbe("users", facts.Users, users...)
		add := p.collect
		p.collect = func(ctx context.Context, h *Host, r *Report) error {
			if e := add(ctx, h, r); e != nil {
				return e
			}
			return err
		}
		rd := RunOnce(t.Context(), RootHost(t.TempDir()), p).Readings[0]
		if rd.Status != want || (rd.Reason == "") != (err == nil) {
			t.Errorf("error %v with %d rows: %v %q, want %v", err, rows, rd.Status, rd.Reason, want)
		}
	}
	f(nil, 2, facts.StatusOK)
	f(nil, 0, facts.StatusEmpty)
	f(errors.New("cut"), 1, facts.StatusPartial)
	f(errors.New("cut"), 0, facts.StatusFailed)
	f(fmt.Errorf("open: %w", fs.ErrPermission), 0, facts.StatusDenied)
	f(fmt.Errorf("rpm: %w", errors.ErrUnsupported), 0, facts.StatusUnsupported)
	f(errors.New(strings.Repeat("é", 300)), 0, facts.StatusFailed)
}

func TestReasonStaysWithinItsLimit(t *testing.T) {
	for n := range 5 {
		got := reason(errors.New(strings.Repeat("x", n) + strings.Repeat("é", 300)))
		if len(got) > maxReason || strings.ContainsRune(got, '\uFFFD') || !strings.HasSuffix(got, "é...") {
			t.Errorf("reason of %d bytes: %q", len(got), got)
		}
	}
}

func TestAReasonCountsWhatItHasNoRoomFor(t *testing.T) {
	for _, length := range []int{10, 60, 380, 500} {
		var p Problems
		const all = 100
		for i := range all {
			p.Add(fmt.Errorf("%0*d", length, i))
		}
		got := reason(fmt.Errorf("first\n%w", p.Err()))
		parts := strings.Split(got, "; ")
		last := len(parts) - 1
		if parts[last] != fmt.Sprintf("and %d more", all+1-last) || len(got) > maxReason {
			t.Errorf("%d parts in %d bytes: %s", len(parts), len(got), got)
		}
		for _, part := range parts[1:last] {
			if len(part) != length {
				t.Errorf("%q was cut in %s", part, got)
			}
		}
	}
}

func TestWhatIsAbsentIsWhollyAbsent(t *testing.T) {
	f := func(want bool, errs ...error) {
		t.Helper()
		for _, err := range []error{errors.Join(errs...), fmt.Errorf("probe x: %w", errors.Join(errs...))} {
			if Absent(err) != want {
				t.Errorf("%q is absent: %v, want %v", err, !want, want)
			}
		}
	}
	bad := errors.New("bad")
	f(true, fs.ErrNotExist)
	f(true, fs.ErrNotExist, errors.ErrUnsupported)
	f(false, fs.ErrNotExist, bad)
	f(false, bad)
}

func TestOnlyRowsThatNoProblemHidesAreGone(t *testing.T) {
	alice, root := &facts.UserRow{Name: "alice"}, &facts.UserRow{Name: "root"}
	denied := fmt.Errorf("a part: %w", fs.ErrPermission)
	hides := func(r facts.Row) bool { return r.Key() == "root" }
	gone := func(want string, report func(*Report)) {
		t.Helper()
		r := NewReport(nil, 3)
		r.Add(facts.Users, &facts.UserRow{Name: "bob"})
		report(r)
		rd := r.readings([]facts.ID{facts.Users}, 1, nil)[0]
		if rd.Status != facts.StatusPartial {
			t.Errorf("status %v, want partial", rd.Status)
		}
		got := "nothing is told"
		if rd.Gone != nil {
			got = fmt.Sprintf("alice %v, root %v", rd.Gone(alice), rd.Gone(root))
		}
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	gone("alice true, root false", func(r *Report) { r.Hidden(facts.Users, denied, hides) })
	gone("alice false, root false", func(r *Report) {
		r.Hidden(facts.Users, denied, hides)
		r.Hidden(facts.Users, denied, func(r facts.Row) bool { return r.Key() == "alice" })
	})
	gone("nothing is told", func(r *Report) {
		r.Hidden(facts.Users, denied, hides)
		r.Problem(facts.Users, denied)
	})
	gone("nothing is told", func(r *Report) {
		r.Hidden(facts.Users, denied, hides)
		r.Add(facts.Users, alice, root, alice)
	})
}

func TestReasonsAreOneHarmlessLine(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := reason(errors.New(in)); got != want {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
	f("a\x1b[31mb\nc", "a?[31mb; c")
	f("line "+fmt.Sprintf("%q", strings.Repeat("\x00", 500)+"a\xff\x00"), `line "\x00a\xff\x00"`)
	f("\xff", "?")
	f("/a: open /a: permission denied", "open /a: permission denied")
	f("/a: open /a/b: permission denied", "/a: open /a/b: permission denied")
	if got := NotUnderstood([]byte("a\x00b")); !errors.Is(got, ErrNUL) {
		t.Errorf("NUL bytes are %v", got)
	}
	for _, noise := range []string{"a\x1bb", "a\xff"} {
		if got := NotUnderstood([]byte(noise)); !errors.Is(got, errNoText) {
			t.Errorf("%q is %v", noise, got)
		}
	}
	if got := NotUnderstood([]byte("a\tb")).Error(); got != `"a\tb" not understood` {
		t.Errorf("text is %s", got)
	}
}

func TestASectionIsUnsupportedOnlyIfAllOfItIs(t *testing.T) {
	f := func(want facts.Status, problems ...error) {
		t.Helper()
		r := NewReport(nil, 0)
		for _, p := range problems {
			r.Problem(facts.Users, p)
		}
		if rd := r.readings([]facts.ID{facts.Users}, 1, nil)[0]; rd.Status != want {
			t.Errorf("%v gives %v, want %v", problems, rd.Status, want)
		}
	}
	absent := fmt.Errorf("none: %w", errors.ErrUnsupported)
	f(facts.StatusUnsupported, absent, errors.Join(absent, absent))
	f(facts.StatusFailed, absent, errors.New("cut"))
	f(facts.StatusDenied, absent, fs.ErrPermission)
}

func TestWhatWasLookedAtButForAFewIsPartialWithoutRows(t *testing.T) {
	r := NewReport(nil, 0)
	r.Glimpsed(facts.Users, fs.ErrPermission, func(row facts.Row) bool { return row.Key() == "root" })
	rd := r.readings([]facts.ID{facts.Users}, 1, nil)[0]
	if rd.Status != facts.StatusPartial || rd.Gone == nil || rd.Gone(&facts.UserRow{Name: "root"}) || !rd.Gone(&facts.UserRow{Name: "bob"}) {
		t.Errorf("%v, gone told: %v", rd.Status, rd.Gone != nil)
	}
	r.Reset()
	if rd := r.readings([]facts.ID{facts.Users}, 1, nil)[0]; rd.Status != facts.StatusEmpty {
		t.Errorf("after a reset %v", rd.Status)
	}
}

func TestTracesIsTheCapabilityInEffect(t *testing.T) {
	f := func(status string, want bool) {
		t.Helper()
		dir := t.TempDir()
		if err := os.MkdirAll(dir+"/proc/self", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/proc/self/status", []byte(status), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := RootHost(dir).Traces(); got != want {
			t.Errorf("%q: %v", status, got)
		}
	}
	f("Name:\ta\nCapPrm:\t0000000000000000\nCapEff:\t0000000000080000\nCapBnd:\t0\n", true)
	f("Name:\ta\nCapPrm:\t0000000000080000\nCapEff:\t0000000000000000\n", false)
	f("Name:\ta\nCapEff:\tx\n", false)
	f("", false)
}

func TestAVeiledColumnMakesASectionPartialOfWhichNothingIsMissing(t *testing.T) {
	r := NewReport(nil, 9)
	r.Add(facts.Users, &facts.UserRow{Name: "a"})
	r.Veiled(facts.Users, fmt.Errorf("states of passwords: %w", fs.ErrPermission))
	r.Veiled(facts.Groups, fs.ErrPermission)
	got := r.readings([]facts.ID{facts.Users, facts.Groups}, 1, nil)
	if got[0].Status != facts.StatusPartial || got[0].Reason != "states of passwords: permission denied" || got[1].Status != facts.StatusPartial {
		t.Errorf("%+v", got)
	}
	if !got[0].Gone(&facts.UserRow{Name: "b"}) {
		t.Error("a user that is gone counts as hidden")
	}
}
