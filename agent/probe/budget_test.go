package probe

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"atalaya/shared/facts"
)

func TestTheAgentGivesUpReadingsInOrderAndTakesThemUpAgain(t *testing.T) {
	core, slow, processes := metricProbe("cpu", load1), metricProbe("zfs", load1), metricProbe(processesProbe, load1)
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
	cfg := Config{Probes: []Probe{core, slow, processes}, Budget: Budget{CPU: 0.01, Memory: 8 << 20, Use: use}}
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
		ran, coreRan := slow.count(), core.count()
		share.Store(0)
		f(5*time.Minute, SlowInventory)
		if slow.count() != ran || core.count() < coreRan+29 {
			t.Errorf("slow ran %d times, core %d times in five minutes", slow.count()-ran, core.count()-coreRan)
		}
		f(40*time.Minute, Full)
		if slow.count() == ran || processes.count() == before {
			t.Error("not taken up again")
		}
	})
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
