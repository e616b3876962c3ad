package inventory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"atalaya/collector/store"
	"atalaya/collector/store/storetest"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var t0 = time.UnixMilli(1_790_000_000_000).UTC()

// fleet is a store with hosts that report whole sections, and the view of it.
type fleet struct {
	*storetest.Fleet
	t    testing.TB
	view *View
}

func newFleet(t testing.TB) *fleet {
	t.Helper()
	f := storetest.New(t, t0)
	f.Step = time.Second
	return &fleet{Fleet: f, t: t, view: New(f.Store)}
}

func (f *fleet) catchUp() {
	f.t.Helper()
	if err := f.view.CatchUp(context.Background()); err != nil {
		f.t.Fatal(err)
	}
}

func deb(name, version string) *facts.PackageRow {
	return &facts.PackageRow{Name: name, Version: version, Arch: "amd64", Source: "dpkg"}
}

func (f *fleet) dump() map[string]string { return f.Dump(follower().Tables...) }

func TestFindPackageComparesVersionsInTheirOwnOrder(t *testing.T) {
	f := newFleet(t)
	a, b, c := f.Host(1, "web1"), f.Host(2, "web2"), f.Host(3, "old")
	f.Report(a, facts.Packages, deb("openssl", "3.0.9-1"), deb("libssl3", "3.0.9-1"), deb("zsh", "5"))
	f.Report(b, facts.Packages, deb("openssl", "3.0.11-1"), deb("libssl3", "3.0.11-1"))
	f.Report(c, facts.Packages, deb("openssl", "1:1.0"), &facts.PackageRow{Name: "openssl", Version: "x", Source: "nix"})
	f.catchUp()
	find := func(q PackageQuery, want string) {
		t.Helper()
		res, err := f.view.FindPackage(q)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range res.Matches {
			got = append(got, m.Host.Name+":"+m.Name+"="+m.Version)
		}
		if g := fmt.Sprintf("%s total %d uncomparable %d", strings.Join(got, " "), res.Total, len(res.Uncomparable)); g != want {
			t.Errorf("%+v:\n got %s\nwant %s", q, g, want)
		}
	}
	find(PackageQuery{Name: "openssl", Source: "dpkg"}, "web1:openssl=3.0.9-1 web2:openssl=3.0.11-1 old:openssl=1:1.0 total 3 uncomparable 0")
	find(PackageQuery{Name: "openssl", Below: "3.0.11-1"}, "web1:openssl=3.0.9-1 total 1 uncomparable 1")
	find(PackageQuery{Name: "openssl", Above: "3.0.9-1", Source: "dpkg"}, "web2:openssl=3.0.11-1 old:openssl=1:1.0 total 2 uncomparable 0")
	find(PackageQuery{Name: "*ssl*", Above: "3.0.9-1", Below: "1:0", Source: "dpkg"}, "web2:libssl3=3.0.11-1 web2:openssl=3.0.11-1 total 2 uncomparable 0")
	find(PackageQuery{Name: "z*"}, "web1:zsh=5 total 1 uncomparable 0")
	find(PackageQuery{Name: "openssl", Source: "dpkg", Offset: 1, Limit: 1}, "web2:openssl=3.0.11-1 total 3 uncomparable 0")
	for _, q := range []PackageQuery{{Name: "openssl", Below: "garbage version 1"}, {Name: "open*", Above: "no such 2"}, {Name: "openssl", Above: "latest"}} {
		if res, err := f.view.FindPackage(q); !errors.Is(err, ErrVersion) {
			t.Errorf("%+v: %v, %v; no version can be compared with the bound", q, res, err)
		}
	}
	find(PackageQuery{Name: "ope"}, " total 0 uncomparable 0")
	f.Report(b, facts.Packages, deb("libssl3", "3.0.11-1"))
	f.catchUp()
	find(PackageQuery{Name: "openssl", Source: "dpkg"}, "web1:openssl=3.0.9-1 old:openssl=1:1.0 total 2 uncomparable 0")
	if _, err := f.view.FindPackage(PackageQuery{Name: "[a"}); err == nil {
		t.Error("a broken pattern was taken")
	}
}

func TestPatchVerdictIsWorthWhatItsProofIs(t *testing.T) {
	now := t0.Add(100 * time.Hour)
	row := func(verdict string, age, limit time.Duration) *facts.PatchStateRow {
		r := &facts.PatchStateRow{Verdict: verdict, IndexMaxAgeSeconds: int64(limit / time.Second)}
		if age >= 0 {
			r.IndexTime = facts.TimeOf(now.Add(-age))
		}
		return r
	}
	ok, stale := Section{Status: facts.StatusOK}, Section{Status: facts.StatusStale, Reason: "failed: disk"}
	f := func(name string, row *facts.PatchStateRow, sec Section, offset time.Duration, verdict, reason string) {
		t.Helper()
		if p := judge(row, sec, offset, now); p.Verdict != verdict || p.Reason != reason {
			t.Errorf("%s: got %s %q, want %s %q", name, p.Verdict, p.Reason, verdict, reason)
		}
	}
	day := 24 * time.Hour
	f("fresh", row("current", time.Hour, day), ok, 0, "current", "")
	f("old index", row("current", 50*time.Hour, day), ok, 0, "unknown", "the package index is 2 days old, the limit is 24 hours")
	f("old index with updates", row("pending", 3*day, day), ok, 0, "unknown", "the package index is 3 days old, the limit is 24 hours")
	f("clock ahead hides the age", row("current", time.Hour, day), ok, 30*time.Hour, "unknown", "the package index is 31 hours old, the limit is 24 hours")
	f("clock behind", row("current", 30*time.Hour, day), ok, -20*time.Hour, "current", "")
	f("no limit", row("pending", 90*time.Hour, 0), ok, 0, "pending", "")
	f("age not known", row("current", -1, day), ok, 0, "unknown", "the age of the package index is not known")
	f("last reading failed", row("current", time.Hour, day), stale, 0, "unknown", "the last reading did not succeed: failed: disk")
	f("never reported", nil, Section{}, 0, "unknown", "not reported yet")
	f("unsupported", nil, Section{Status: facts.StatusUnsupported, Reason: "no package system"}, 0, "unsupported", "unsupported: no package system")
	f("denied", nil, Section{Status: facts.StatusDenied}, 0, "unknown", "the reading is denied")
}

func TestHostIsSummarisedAndFound(t *testing.T) {
	f := newFleet(t)
	a := f.Host(1, "web1")
	f.Host(2, "web2")
	f.Host(0x11, "web2")
	yes := true
	f.Report(a, facts.OS, &facts.OSRow{ID: "debian", Name: "Debian GNU/Linux 12 (bookworm)", Version: "12.5", Family: "linux"})
	f.Report(a, facts.Kernel, &facts.KernelRow{Release: "6.1.0-18", Running: true}, &facts.KernelRow{Release: "6.1.0-20"})
	f.Report(a, facts.Packages, deb("zsh", "5"), deb("bash", "5"))
	f.Report(a, facts.PatchState, &facts.PatchStateRow{Verdict: "pending", Pending: 7, Security: 2, RebootRequired: &yes,
		IndexTime: facts.TimeOf(t0), IndexMaxAgeSeconds: 86400})
	f.Send(a, wire.SectionUpdate{Section: facts.Packages, Status: facts.StatusFailed, Reason: "input/output error", At: f.Now.UnixMilli()})
	f.catchUp()
	h, err := f.view.Host("web1")
	if err != nil {
		t.Fatal(err)
	}
	if h.ID != a || h.OSVersion != "12.5" || h.Kernel != "6.1.0-18" || h.Packages != 2 || h.Patch.Verdict != "pending" || h.Patch.Security != 2 {
		t.Errorf("got %+v", h)
	}
	i := slices.IndexFunc(h.Sections, func(s Section) bool { return s.Name == "packages" })
	if s := h.Sections[i]; s.Status != facts.StatusStale || s.Reason != "failed: input/output error" || s.Rows != 2 {
		t.Errorf("section %+v, want stale rows", s)
	}
	list := func(q HostQuery, want string) {
		t.Helper()
		hosts, more, err := f.view.Hosts(q)
		var got []string
		for _, h := range hosts {
			got = append(got, h.Name)
		}
		if g := fmt.Sprint(strings.Join(got, " "), " ", more); g != want || err != nil {
			t.Errorf("%+v: got %q, %v; want %q", q, g, err, want)
		}
	}
	list(HostQuery{}, "web1 web2 web2 false")
	list(HostQuery{Limit: 1}, "web1 true")
	list(HostQuery{Limit: 2, After: a}, "web2 web2 false")
	list(HostQuery{OS: "BOOKWORM"}, "web1 false")
	list(HostQuery{Tag: "prod"}, " false")
	patches, _, err := f.view.Patches(PatchQuery{Security: true, Reboot: true})
	if err != nil || len(patches) != 1 || patches[0].Host.Name != "web1" {
		t.Errorf("patches %+v, %v", patches, err)
	}
	f.Now = f.Now.Add(48 * time.Hour)
	if patches, _, _ := f.view.Patches(PatchQuery{Verdict: "unknown"}); len(patches) != 3 {
		t.Errorf("%d hosts with unknown verdict two days later, want 3", len(patches))
	}
	var ambiguous *AmbiguousError
	if _, err := f.view.Lookup("web2"); !errors.As(err, &ambiguous) || len(ambiguous.Matches) != 2 {
		t.Errorf("web2: got %v, want both", err)
	}
	for ref, want := range map[string]string{"0100": "web1", "1100": "web2", "0200000000000000": "web2"} {
		if r, err := f.view.Lookup(ref); r.Name != want || err != nil {
			t.Errorf("%s: got %v, %v; want %s", ref, r, err, want)
		}
	}
	if _, err := f.view.Lookup("db"); !errors.Is(err, ErrNotFound) {
		t.Errorf("db: got %v", err)
	}
	rows, err := f.view.Section("web1", "kernel")
	if err != nil || len(rows.Rows) != 2 || rows.Status != facts.StatusOK {
		t.Errorf("kernel: %+v, %v", rows, err)
	}
	if _, err := f.view.Section("web1", "nothing"); !errors.Is(err, ErrNotFound) {
		t.Errorf("section nothing: got %v", err)
	}
}

func TestHistoryReadsLikeASentence(t *testing.T) {
	f := newFleet(t)
	a := f.Host(1, "web1")
	f.Report(a, facts.Packages, deb("zsh", "5.8"), deb("bash", "5.1"), deb("dash", "1"))
	f.Report(a, facts.Packages, deb("zsh", "5.9"), deb("dash", "1"))
	f.Send(a, wire.SectionUpdate{Section: facts.Packages, Status: facts.StatusDenied, Reason: "no rights"})
	page, err := f.view.History("web1", HistoryQuery{Section: "packages", Limit: 4})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range page.Events {
		got = append(got, fmt.Sprintf("%s %s: %s", e.Kind, e.Item, e.Text))
	}
	want := []string{
		"status : status ok -> denied: no rights",
		"changed dpkg zsh amd64: version 5.8 -> 5.9",
		"removed dpkg bash amd64: name bash, version 5.1, arch amd64, source dpkg",
		"first-reading : first reading: 3 rows",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// shuffle lets random things happen on hosts and returns, for each moment, the
// packages of each.
func shuffle(f *fleet, r *rapid.T, each func()) map[time.Time]map[string]string {
	ids := []identity.HostID{f.Host(1, "a"), f.Host(2, "b")}
	now := map[identity.HostID]map[string]string{ids[0]: {}, ids[1]: {}}
	moments := map[time.Time]map[string]string{}
	for range rapid.IntRange(1, 15).Draw(r, "steps") {
		id := ids[rapid.IntRange(0, 1).Draw(r, "host")]
		if rapid.IntRange(0, 3).Draw(r, "section") == 0 {
			f.Report(id, facts.OS, &facts.OSRow{ID: "x", Name: fmt.Sprint(rapid.IntRange(0, 3).Draw(r, "os")), Family: "linux"})
		} else {
			var rows []facts.Row
			for range rapid.IntRange(0, 4).Draw(r, "changes") {
				name := string(rune('a' + rapid.IntRange(0, 5).Draw(r, "name")))
				if v := rapid.IntRange(0, 3).Draw(r, "version"); v == 0 {
					delete(now[id], name)
				} else {
					now[id][name] = fmt.Sprint(v)
				}
			}
			for name, v := range now[id] {
				rows = append(rows, deb(name, v))
			}
			f.Report(id, facts.Packages, rows...)
		}
		moments[f.Now.Add(-time.Second)] = maps.Clone(now[ids[0]])
		each()
	}
	return moments
}

func TestViewKeptUpToDateEqualsTheRebuiltOne(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		f := newFleet(t)
		defer f.Close()
		shuffle(f, r, func() {
			if rapid.Bool().Draw(r, "catch up") {
				f.catchUp()
			}
		})
		f.catchUp()
		kept := f.dump()
		rebuild := func() {
			if err := f.view.Rebuild(context.Background()); err != nil {
				r.Fatal(err)
			}
			if d := cmp.Diff(kept, f.dump()); d != "" {
				r.Fatalf("(-kept +rebuilt):\n%s", d)
			}
		}
		rebuild()
		if _, err := f.Store.Prune(t0.Add(time.Duration(rapid.IntRange(0, 15).Draw(r, "prune")) * time.Second)); err != nil {
			r.Fatal(err)
		}
		rebuild()
	})
}

func TestDiffIsTheNetDifferenceOfTwoMoments(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		f := newFleet(t)
		defer f.Close()
		moments := shuffle(f, r, func() {})
		times := slices.SortedFunc(maps.Keys(moments), time.Time.Compare)
		i := rapid.IntRange(0, len(times)-1).Draw(r, "from")
		j := rapid.IntRange(i, len(times)-1).Draw(r, "to")
		d, err := f.view.Diff("a", DiffQuery{From: times[i], To: times[j], Details: true})
		if err != nil {
			r.Fatal(err)
		}
		got := map[string]string{}
		for _, e := range d.Items {
			if e.Section == "packages" && e.Kind != store.StatusChanged.String() {
				got[strings.Fields(e.Item)[1]] = e.Kind
			}
		}
		from, to := moments[times[i]], moments[times[j]]
		want := map[string]string{}
		for name, v := range from {
			if w, ok := to[name]; !ok {
				want[name] = "removed"
			} else if w != v {
				want[name] = "changed"
			}
		}
		for name := range to {
			if _, ok := from[name]; !ok {
				want[name] = "added"
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			r.Fatalf("from %v to %v (-want +got):\n%s", from, to, d)
		}
	})
}

func TestDiffBeforeTheHorizonIsRefused(t *testing.T) {
	f := newFleet(t)
	a := f.Host(1, "a")
	f.Report(a, facts.Packages, deb("zsh", "5.8"))
	f.Report(a, facts.Packages, deb("zsh", "5.9"))
	if n, err := f.Store.Prune(f.Now); n != 3 || err != nil {
		t.Fatalf("pruned %d, %v; want the status and both changes", n, err)
	}
	if _, err := f.view.Diff("a", DiffQuery{From: t0, To: f.Now}); !errors.Is(err, ErrHistory) {
		t.Errorf("got %v, want ErrHistory", err)
	}
	if _, err := f.view.Diff("a", DiffQuery{From: f.Now, To: t0}); err == nil {
		t.Error("moments in the wrong order were taken")
	}
}

func TestRunFollowsTheLog(t *testing.T) {
	f := newFleet(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- f.view.Run(ctx) }()
	a := f.Host(1, "web1")
	f.Report(a, facts.OS, &facts.OSRow{ID: "debian", Name: "Debian", Family: "linux"})
	deadline := time.Now().Add(5 * time.Second)
	for {
		h, err := f.view.Host("web1")
		if err != nil {
			t.Fatal(err)
		}
		if h.OSName == "Debian" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the view did not follow")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
