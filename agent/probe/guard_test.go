package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"atalaya/shared/facts"
)

// TestAPanicFailsItsSectionAlone has a probe of three sections, of which one panics at every
// second reading and one has an error.
func TestAPanicFailsItsSectionAlone(t *testing.T) {
	var log bytes.Buffer
	runs := 0
	broken := inventoryProbe("broken", facts.Users)
	broken.info.Sections = []facts.ID{facts.Users, facts.Groups, facts.Logins}
	broken.collect = func(_ context.Context, _ *Host, r *Report) error {
		runs++
		r.Guard(facts.Groups, func() error {
			if runs%2 == 1 {
				panic("index out of range")
			}
			return nil
		})
		r.Guard(facts.Logins, func() error { return errors.New("damaged") })
		r.Guard(facts.Users, func() error {
			r.Add(facts.Users, &facts.UserRow{Name: "root"})
			return nil
		})
		return nil
	}
	h := RootHost(t.TempDir())
	describe := func(res Result) (out string) {
		for _, r := range res.Readings {
			out += fmt.Sprintf("%d=%s(%d) %s;", r.Section, r.Status, len(r.Rows), r.Reason)
		}
		return out
	}
	first := RunOnce(t.Context(), h, broken)
	want := fmt.Sprintf("%d=ok(1) ;%d=failed(0) panic: index out of range;%d=failed(0) damaged;", facts.Users, facts.Groups, facts.Logins)
	if got := describe(first); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	var panicked *PanicError
	if !errors.As(first.Err, &panicked) || !strings.Contains(string(panicked.Stack), "scheduler_test.go") {
		t.Errorf("a panic with its stack is not in %v", first.Err)
	}
	if second := RunOnce(t.Context(), h, broken); second.Err != nil || strings.Contains(describe(second), "panic") {
		t.Errorf("the reading after: %v, %s", second.Err, describe(second))
	}
	cfg := Config{Probes: []Probe{broken}, InventoryInterval: time.Hour, Log: slog.New(slog.NewTextHandler(&log, nil))}
	schedule(t, cfg, func(*Scheduler, *fakeSink) {
		time.Sleep(90 * time.Minute)
		synctest.Wait()
	})
	if s := log.String(); strings.Count(s, "index out of range") != 1 || !strings.Contains(s, "scheduler_test.go") || !strings.Contains(s, "works again") {
		t.Errorf("logged %q", s)
	}
}
