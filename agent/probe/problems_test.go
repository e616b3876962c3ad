package probe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"atalaya/shared/facts"
)

// allocated is how many bytes a function takes of the heap.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestProblemsStaySmall(t *testing.T) {
	const bad = 1_000_000
	var p Problems
	if p.Err() != nil {
		t.Error("nothing is an error")
	}
	record := []error{nil, errors.New("the same of each"), fs.ErrPermission}
	grown := allocated(func() {
		for range bad {
			p.Add(record...)
		}
	})
	if got := p.Err().Error(); got != "the same of each\npermission denied" || grown > 100<<10 {
		t.Errorf("%q and %d bytes for a million times the same", got, grown)
	}

	p = Problems{}
	other := make([]error, 1000)
	for i := range other {
		other[i] = fmt.Errorf("record %d: %w", i, fs.ErrPermission)
	}
	var text string
	grown = allocated(func() {
		for range bad / len(other) {
			p.Add(other...)
		}
		text = p.Err().Error()
	})
	if want := fmt.Sprintf("record %d: permission denied\nand %d more", maxSaid-1, bad-maxSaid); grown > 100<<10 || !strings.HasSuffix(text, want) || strings.Count(text, "\n") != maxSaid {
		t.Errorf("%d bytes, %q, want its end %q", grown, text, want)
	}
	if !errors.Is(p.Err(), fs.ErrPermission) || wholly(p.Err(), fs.ErrPermission) {
		t.Error("what was not kept counts as known")
	}
}

func TestProblemsKeepWhatIsAskedOfErrors(t *testing.T) {
	var p Problems
	first := &fs.PathError{Op: "open", Path: "/a", Err: fs.ErrPermission}
	p.Add(first)
	before := p.Err()
	p.Add(fmt.Errorf("rpm: %w", errors.ErrUnsupported))
	if before.Error() != "open /a: permission denied" || errors.Is(before, errors.ErrUnsupported) {
		t.Errorf("an error changed afterwards: %q", before)
	}
	if path := (*fs.PathError)(nil); !errors.As(p.Err(), &path) || path != first || !errors.Is(p.Err(), errors.ErrUnsupported) {
		t.Error("an error that was kept is not found")
	}
	var outer Problems
	outer.Add(p.Err(), errors.New("b"))
	if got, want := outer.Err().Error(), p.Err().Error()+"\nb"; got != want {
		t.Errorf("%q, want %q", got, want)
	}

	long := fmt.Errorf("%s: %w", strings.Repeat("x", 1<<20), fs.ErrPermission)
	outer.Add(long)
	if err := outer.Err(); len(err.Error()) > 2*maxProblemText || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a long text: %d bytes", len(err.Error()))
	}
}

// slowText is an error whose text takes as long as the gate is closed.
type slowText struct{ release *gate }

func (s slowText) Error() string { s.release.wait(); return "slow" }

func TestASlowTextOfAnErrorCostsOnlyItsProbe(t *testing.T) {
	for name, tell := range map[string]func(*Report, error) error{
		"returned": func(_ *Report, err error) error { return err },
		"told":     func(r *Report, err error) error { r.Problem(facts.Groups, err); return nil },
		"panic":    func(_ *Report, err error) error { panic(err) },
	} {
		t.Run(name, func(t *testing.T) {
			var release gate
			slow := inventoryProbe("slow", facts.Groups)
			slow.collect = func(_ context.Context, _ *Host, r *Report) error { return tell(r, slowText{&release}) }
			cfg := Config{Probes: []Probe{slow, inventoryProbe("users", facts.Users, "a")}}
			schedule(t, cfg, func(s *Scheduler, sink *fakeSink) {
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if got, want := sink.describe(), fmt.Sprintf("%d=failed(0) %d=ok(1)", facts.Groups, facts.Users); got != want {
					t.Errorf("readings %q, want %q", got, want)
				}
				release.open()
				time.Sleep(2 * time.Second)
			})
		})
	}
}

func TestManyProblemsOfASectionHideAnyRow(t *testing.T) {
	read := func(problems int) facts.Reading {
		r := NewReport(nil, 10)
		r.Add(facts.Users, &facts.UserRow{Name: "a"})
		for i := range problems {
			r.Hidden(facts.Users, fmt.Errorf("file %d", i), func(facts.Row) bool { return false })
		}
		return r.readings([]facts.ID{facts.Users}, 1, nil)[0]
	}
	if got := read(maxHides); got.Gone == nil || !got.Gone(&facts.UserRow{Name: "b"}) {
		t.Error("a row that no problem hides is not gone")
	}
	if got := read(100 * maxHides); got.Gone != nil || got.Status != facts.StatusPartial || len(got.Reason) > maxReason {
		t.Errorf("%v, %d bytes of reason: removes rows", got.Status, len(got.Reason))
	}
}

func TestALargeFolderIsListedInPart(t *testing.T) {
	root := t.TempDir()
	for i := range 10 {
		if err := os.Mkdir(filepath.Join(root, fmt.Sprint(i)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	layered, err := LiveHost().Layered(root, []string{root})
	if err != nil {
		t.Fatal(err)
	}
	for name, h := range map[string]*Host{"root": RootHost(root), "layers": layered} {
		if h.maxEntries != defaultMaxEntries {
			t.Errorf("%s: no limit", name)
		}
		h.maxEntries = 10
		if entries, err := h.ReadDir("/"); len(entries) != 10 || err != nil || h.Refusals() != 0 || entries[3].Name() != "3" {
			t.Errorf("%s: %v, %v", name, entries, err)
		}
		h.maxEntries = 9
		if entries, err := h.ReadDir("/"); len(entries) != 9 || err == nil || !strings.Contains(err.Error(), "more than 100000 entries") {
			t.Errorf("%s: %d entries, %v", name, len(entries), err)
		}
		if h.Refusals() == 0 {
			t.Errorf("%s: a section could look complete", name)
		}
	}
}

func TestAPatternMatchesUpToALimit(t *testing.T) {
	root := tree(t, map[string]string{
		"a/1/x": "", "a/2/x": "", "a/3/y": "", "a/b[c/x": "", "a/4/x": "-> /nowhere", "file": "",
	})
	below := func(patterns ...string) (all [][2]string) {
		for _, p := range patterns {
			all = append(all, [2]string{p, root + p})
		}
		return all
	}
	live, rooted := LiveHost(), RootHost(root)
	for _, p := range below("/a/*/x", "/a/[12]/x", "/a/*", "/a/?", "/*/1/*", "/a/1/x", "/none/*", "/file/*", "/none", `/a/b\[c/x`, "/a/*/none") {
		want, _ := filepath.Glob(p[1])
		if got, err := live.Glob(p[1]); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v, want %q", p[0], got, err, want)
		}
	}
	if _, err := live.Glob("/a/[x"); !errors.Is(err, filepath.ErrBadPattern) {
		t.Errorf("%v", err)
	}
	for _, c := range []struct {
		h       *Host
		pattern string
	}{{live, root + "/a/*/x"}, {rooted, "/a/*/x"}, {live, root + "/*/*/*"}, {rooted, "/*/*/*"}} {
		for limit, cut := range map[int]bool{3: true, 5: false} {
			before := c.h.Refusals()
			c.h.maxEntries = limit
			got, err := c.h.Glob(c.pattern)
			if told := c.h.Refusals() > before; err != nil || told != cut || len(got) > limit {
				t.Errorf("%s with a limit of %d: %q, %v, told %v", c.pattern, limit, got, err, told)
			}
		}
	}
}
