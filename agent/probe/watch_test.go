package probe

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"atalaya/shared/facts"
)

// quick is an inventory probe that runs more often than the rest.
type quick struct{}

func (quick) Info() Info {
	return Info{Name: "quick", Sections: []facts.ID{facts.OS}, Period: 5 * time.Minute}
}

func (quick) Collect(context.Context, *Host, *Report) error { return nil }

func TestInventoryProbeWithAPeriodIsRequested(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 1, 0, 0, time.UTC)
	h := RootHost(t.TempDir())
	h.now = func() time.Time { return now }
	requests := 0
	w := newWatcher([]*runner{newRunner(quick{}, h)}, func(...*runner) { requests++ })
	for range 120 { // ticks of 10 s: 20 minutes
		now = now.Add(10 * time.Second)
		if err := w.Collect(t.Context(), h, nil); err != nil {
			t.Fatal(err)
		}
	}
	if requests != 4 {
		t.Errorf("%d requests in 20 minutes, want 4", requests)
	}
}

// TestWatcherSeesEveryPathWithinThreeTicks, and at once when ticks are rare.
func TestWatcherSeesEveryPathWithinThreeTicks(t *testing.T) {
	for _, c := range []struct {
		interval time.Duration
		ticks    int
	}{{10 * time.Second, watchTurns}, {time.Minute, 1}} {
		dir := t.TempDir()
		now := time.Date(2026, 1, 2, 3, 1, 0, 0, time.UTC)
		h := RootHost(dir)
		h.now = func() time.Time { return now }
		r := &runner{host: h}
		for i := range 100 {
			r.info.Watch = append(r.info.Watch, fmt.Sprintf("/file%d", i))
		}
		requests := 0
		w := newWatcher([]*runner{r}, func(...*runner) { requests++ })
		tick := func() {
			now = now.Add(c.interval)
			if err := w.Collect(t.Context(), h, nil); err != nil {
				t.Fatal(err)
			}
		}
		tick() // the first look is at all
		for _, path := range r.info.Watch {
			if err := os.WriteFile(filepath.Join(dir, path), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for range c.ticks {
			tick()
		}
		if requests != len(r.info.Watch) {
			t.Errorf("ticks of %v: %d changes of %d seen after %d", c.interval, requests, len(r.info.Watch), c.ticks)
		}
	}
}
