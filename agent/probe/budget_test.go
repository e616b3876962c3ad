package probe

import (
	"bytes"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"atalaya/shared/facts"
)

func TestTheAgentGivesUpReadingsInOrderAndTakesThemUpAgain(t *testing.T) {
	core, slow, processes := metricProbe("cpu", load1), metricProbe("zfs", load1), metricProbe(processesProbe, load1)
	rarer := metricProbe("disk", load1) // by configuration, and a core metric all the same
	var log bytes.Buffer
	slow.info.Period, processes.info.Period = time.Minute, 30*time.Second
	var share atomic.Int64 // percent of a processor
	start := time.Time{}
	used, at := time.Duration(0), time.Time{}
	use := func() Use {
		now := time.Now()
		if start.IsZero() {
			start, at = now, now
		}
		used += now.Sub(at) * time.Duration(share.Load()) / 100
		at = now
		return Use{CPU: used, Anonymous: 1 << 20}
	}
	cfg := Config{
		Probes: []Probe{core, slow, processes, rarer}, Log: slog.New(slog.NewTextHandler(&log, nil)),
		Budget: Budget{CPU: 0.01, Memory: 8 << 20, Use: use, Probes: map[string]ProbeBudget{"disk": {Period: 30 * time.Second}}},
	}
	schedule(t, cfg, func(s *Scheduler, _ *fakeSink) {
		f := func(wait time.Duration, want Level) {
			t.Helper()
			time.Sleep(wait)
			synctest.Wait()
			if got, why := s.Degraded(); got != want || (why != "") != (want > Full) {
				t.Errorf("level %d (%s), want %d", got, why, want)
			}
		}
		f(5*time.Minute, Full)
		share.Store(3)
		last, before := Full, 0
		for last < SlowInventory {
			time.Sleep(10 * time.Second)
			synctest.Wait()
			now, _ := s.Degraded()
			if now != last && now != last+1 {
				t.Fatalf("from level %d to %d", last, now)
			}
			if last = now; now == NoProcesses {
				before = processes.count()
			}
		}
		f(10*time.Minute, SlowInventory)
		if processes.count() > before+1 {
			t.Error("processes are still looked at")
		}
		for _, c := range s.Costs() {
			if want := c.Probe == "zfs" || c.Probe == processesProbe; c.Suspended != want {
				t.Errorf("%s given up: %v, want %v", c.Probe, c.Suspended, want)
			}
		}
		ran, coreRan, rarerRan := slow.count(), core.count(), rarer.count()
		share.Store(0)
		f(5*time.Minute, SlowInventory)
		if slow.count() != ran || core.count() < coreRan+29 {
			t.Errorf("slow ran %d times, core %d times in five minutes", slow.count()-ran, core.count()-coreRan)
		}
		if n := rarer.count() - rarerRan; n < 9 || n > 11 {
			t.Errorf("a core metric that is read each 30 s ran %d times in five minutes", n)
		}
		f(40*time.Minute, Full)
		if slow.count() == ran || processes.count() == before {
			t.Error("not taken up again")
		}
	})
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 6 || !strings.Contains(lines[0], `level=WARN msg="over budget, readings given up" given_up=processes reason="3.00 % of a processor, 1.00 % allowed"`) ||
		!strings.Contains(lines[5], `level=INFO msg="within budget, readings taken up again" given_up="nothing given up"`) {
		t.Errorf("logged %d lines, want one for each change of level:\n%s", len(lines), log.String())
	}
}

func TestTooMuchMemoryDegrades(t *testing.T) {
	g := &governor{budget: Budget{Memory: 100, Use: func() Use { return Use{Anonymous: 101} }}}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for range 3 {
		now = now.Add(window)
		g.look(now)
	}
	if level, why := g.state(); level != NoProcesses || why == "" {
		t.Errorf("%d %q", level, why)
	}
	g.look(now.Add(-time.Hour)) // the clock was set back: a new window, no judgement
	if level, _ := g.state(); level != NoProcesses {
		t.Errorf("%d", level)
	}
}

func TestABudgetOfOneProbe(t *testing.T) {
	rare := inventoryProbe("packages", facts.Packages)
	often := inventoryProbe("users", facts.Users, "root")
	cfg := Config{Probes: []Probe{rare, often}, Budget: Budget{Probes: map[string]ProbeBudget{"packages": {Timeout: 10 * time.Second, Period: time.Hour}}}}
	schedule(t, cfg, func(s *Scheduler, _ *fakeSink) {
		time.Sleep(2*time.Hour + 20*time.Minute)
		if n := rare.count(); n < 2 || n > 3 {
			t.Errorf("packages were read %d times in 140 minutes", n)
		}
		if n := often.count(); n < 8 {
			t.Errorf("users were read %d times", n)
		}
		for _, r := range s.inventory {
			if r.info.Name == "packages" && r.info.Timeout != 10*time.Second {
				t.Errorf("timeout %v", r.info.Timeout)
			}
		}
	})
	var none Config
	if info := none.Budget.apply(Info{Name: "x", Timeout: time.Second}); info.Timeout != time.Second {
		t.Errorf("%+v", info)
	}
}
