package probe

import (
	"context"
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
