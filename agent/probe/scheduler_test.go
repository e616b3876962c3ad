package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"atalaya/shared/facts"
	"atalaya/shared/metric"
)

// fakeProbe counts its runs and does what it is told.
type fakeProbe struct {
	info    Info
	collect func(ctx context.Context, h *Host, r *Report) error

	mu   sync.Mutex
	runs []time.Time
}

func (p *fakeProbe) Info() Info { return p.info }

func (p *fakeProbe) Collect(ctx context.Context, h *Host, r *Report) error {
	p.mu.Lock()
	p.runs = append(p.runs, time.Now())
	p.mu.Unlock()
	if p.collect == nil {
		return nil
	}
	return p.collect(ctx, h, r)
}

func (p *fakeProbe) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.runs)
}

func metricProbe(name string, collect func(ctx context.Context, h *Host, r *Report) error) *fakeProbe {
	return &fakeProbe{info: Info{Name: name, Metrics: true, Timeout: 2 * time.Second}, collect: collect}
}

func load1(context.Context, *Host, *Report) error { return nil }

func inventoryProbe(name string, section facts.ID, users ...string) *fakeProbe {
	return &fakeProbe{
		info: Info{Name: name, Sections: []facts.ID{section}, Timeout: 2 * time.Second},
		collect: func(_ context.Context, _ *Host, r *Report) error {
			for _, u := range users {
				r.Add(section, &facts.UserRow{Name: u})
			}
			return nil
		},
	}
}

// fakeSink keeps what it is given, and can be told to fail.
type fakeSink struct {
	mu       sync.Mutex
	frames   []metric.Frame
	readings [][]facts.Reading
	err      error
}

func (s *fakeSink) Metrics(f metric.Frame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frames = append(s.frames, f)
	return s.err
}

func (s *fakeSink) Inventory(rs []facts.Reading) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readings = append(s.readings, rs)
	return s.err
}

func (s *fakeSink) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// describe gives the readings of the last pass as "users=ok(2) groups=failed(0)".
func (s *fakeSink) describe() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.readings) == 0 {
		return ""
	}
	var out []string
	for _, rd := range s.readings[len(s.readings)-1] {
		out = append(out, fmt.Sprintf("%d=%v(%d)", rd.Section, rd.Status, len(rd.Rows)))
	}
	return strings.Join(out, " ")
}

// schedule runs a scheduler in a bubble of fake time until play returns.
func schedule(t *testing.T, cfg Config, play func(s *Scheduler, sink *fakeSink)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sink := &fakeSink{}
		cfg.Sink = sink
		if cfg.Host == nil {
			cfg.Host = RootHost(t.TempDir())
		}
		ctx, cancel := context.WithCancel(t.Context())
		s := NewScheduler(cfg)
		done := make(chan struct{})
		go func() { s.Run(ctx); close(done) }()
		synctest.Wait()
		play(s, sink)
		cancel()
		stopped := time.Now()
		<-done
		if d := time.Since(stopped); d > 2*time.Second {
			t.Errorf("Run returned %v after its context ended", d)
		}
	})
}

func TestMetricsAreReadAtEvenTimesWithAFixedPhase(t *testing.T) {
	p := metricProbe("p", func(_ context.Context, _ *Host, r *Report) error {
		r.Sample(&metric.Load1, 0.5)
		return nil
	})
	schedule(t, Config{Probes: []Probe{p}, Interval: 10 * time.Second, Name: "web1"}, func(_ *Scheduler, sink *fakeSink) {
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(sink.frames) != 7 { // one at the start
			t.Fatalf("%d frames in a minute", len(sink.frames))
		}
		phase := phaseOf("web1", 10*time.Second).Milliseconds()
		for _, f := range sink.frames[1:] {
			if f.At%10_000 != phase {
				t.Errorf("frame at %d, want phase %d", f.At, phase)
			}
			if len(f.Samples) != 3 { // the load, and the success of the probe and of the watcher
				t.Errorf("samples: %v", f.Samples)
			}
		}
	})
}

func TestNextTick(t *testing.T) {
	const interval, phase = 10 * time.Second, 3 * time.Second
	base := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	at := func(seconds float64) time.Time { return base.Add(time.Duration(seconds * float64(time.Second))) }
	f := func(name string, now, last, want float64) {
		t.Helper()
		if got := nextTick(at(now), at(last), interval, phase); !got.Equal(at(want)) {
			t.Errorf("%s: %v, want %v", name, got.Sub(base), at(want).Sub(base))
		}
	}
	f("in time", 3.001, 3, 13)
	f("start between ticks", 7, 7, 13)
	f("start before the phase", 1, 1, 3)
	f("the timer came early", 12.9999, 13, 23)
	f("a reading took longer than an interval", 24, 3, 33)
	f("after a night of sleep", 36_000, 3, 36_003)
	f("the clock was set back", -3600, 3, -3597)
	f("the clock was set back a little", -3, 3, 3)
}

func TestHostsReadAtDifferentMoments(t *testing.T) {
	seen := make(map[int]int)
	for i := range 1000 {
		seen[int(phaseOf(fmt.Sprintf("host-%d", i), 10*time.Second)/time.Second)]++
	}
	for second := range 10 {
		if seen[second] < 60 || seen[second] > 140 {
			t.Errorf("%d of 1000 hosts read in second %d of 10", seen[second], second)
		}
	}
}

// gate blocks until it is opened, in a way that a bubble of fake time understands.
type gate struct{ opened atomic.Bool }

func (g *gate) open() { g.opened.Store(true) }

func (g *gate) wait() {
	for !g.opened.Load() {
		time.Sleep(time.Second)
	}
}

func TestAHangingMetricProbeCostsOnlyItself(t *testing.T) {
	var release gate
	before, after := metricProbe("before", load1), metricProbe("after", func(_ context.Context, _ *Host, r *Report) error {
		r.Sample(&metric.Load5, 1)
		return nil
	})
	hanging := metricProbe("hanging", func(_ context.Context, _ *Host, r *Report) error {
		release.wait() // a system call that knows no deadline
		r.Sample(&metric.Load15, 1)
		return nil
	})
	schedule(t, Config{Probes: []Probe{before, hanging, after}}, func(s *Scheduler, sink *fakeSink) {
		time.Sleep(time.Minute)
		synctest.Wait()
		if b, h, a := before.count(), hanging.count(), after.count(); b < 6 || a != b || h != 1 {
			t.Errorf("runs: before %d, hanging %d, after %d; want 6 or more, 1, the same", b, h, a)
		}
		if c := s.Costs()[1]; c.Probe != "hanging" || c.Status != facts.StatusFailed || c.Reason == "" {
			t.Errorf("ledger says %+v", c)
		}
		release.open()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if hanging.count() < 2 {
			t.Error("not started again after it returned")
		}
		if c := s.Costs()[1]; c.Status != facts.StatusOK {
			t.Errorf("ledger says %+v", c)
		}
		for _, f := range sink.frames[:6] {
			if len(f.Samples) != 5 { // after's, and four successes
				t.Errorf("samples while it hung: %v", f.Samples)
			}
		}
	})
}

func TestAHangingInventoryProbeFailsItsSections(t *testing.T) {
	var release gate
	hanging := inventoryProbe("hanging", facts.Groups)
	hanging.collect = func(_ context.Context, _ *Host, r *Report) error {
		r.Add(facts.Groups, &facts.GroupRow{Name: "half"})
		release.wait()
		return nil
	}
	cfg := Config{Probes: []Probe{inventoryProbe("users", facts.Users, "a", "b"), hanging, inventoryProbe("services", facts.Services)}}
	schedule(t, cfg, func(s *Scheduler, sink *fakeSink) {
		time.Sleep(10 * time.Second)
		synctest.Wait()
		want := fmt.Sprintf("%d=ok(2) %d=failed(0) %d=empty(0)", facts.Users, facts.Groups, facts.Services)
		if got := sink.describe(); got != want {
			t.Errorf("readings %s, want %s", got, want)
		}
		if reason := sink.readings[0][1].Reason; !strings.Contains(reason, "no answer within 2s") {
			t.Errorf("reason is %q", reason)
		}
		s.request(s.inventory[1]) // groups
		synctest.Wait()
		if got, want := sink.describe(), fmt.Sprintf("%d=failed(0)", facts.Groups); got != want {
			t.Errorf("while it hangs: %s, want %s", got, want)
		}
		if hanging.count() != 1 {
			t.Errorf("started %d times", hanging.count())
		}
		release.open()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		s.request(s.inventory[1]) // groups
		synctest.Wait()
		if got, want := sink.describe(), fmt.Sprintf("%d=ok(1)", facts.Groups); got != want {
			t.Errorf("afterwards: %s, want %s", got, want)
		}
	})
}

func TestRunEndsThoughAProbeHangs(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	hang := func(context.Context, *Host, *Report) error { <-release; return nil }
	inventory := inventoryProbe("i", facts.Users)
	inventory.collect = hang
	sink := &fakeSink{}
	ctx, cancel := context.WithCancel(t.Context())
	s := NewScheduler(Config{Host: RootHost(t.TempDir()), Sink: sink, Probes: []Probe{metricProbe("m", hang), inventory}})
	time.AfterFunc(10*time.Millisecond, cancel)
	start := time.Now()
	s.Run(ctx)
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("took %v", d)
	}
	if len(sink.frames) != 0 || len(sink.readings) != 0 {
		t.Errorf("a stopping agent reported %v, %v", sink.frames, sink.readings)
	}
}

func TestAReadingThatTheEndCutsShortIsNoProblem(t *testing.T) {
	var log bytes.Buffer
	obey := func(ctx context.Context, _ *Host, _ *Report) error { <-ctx.Done(); return ctx.Err() }
	inventory := inventoryProbe("i", facts.Users)
	inventory.collect = obey
	ctx, cancel := context.WithCancel(t.Context())
	s := NewScheduler(Config{
		Host: RootHost(t.TempDir()), Sink: &fakeSink{}, Interval: time.Second, Log: slog.New(slog.NewTextHandler(&log, nil)),
		Probes: []Probe{metricProbe("m", obey), inventory},
	})
	time.AfterFunc(1200*time.Millisecond, cancel)
	s.Run(ctx)
	if log.Len() > 0 {
		t.Errorf("logged %q", log.String())
	}
}

func TestAPanicFailsTheProbeAlone(t *testing.T) {
	var log bytes.Buffer
	broken := inventoryProbe("broken", facts.Groups)
	broken.collect = func(context.Context, *Host, *Report) error { panic("index out of range") }
	cfg := Config{Probes: []Probe{broken, inventoryProbe("users", facts.Users, "a")}, Log: slog.New(slog.NewTextHandler(&log, nil))}
	schedule(t, cfg, func(_ *Scheduler, sink *fakeSink) {
		if got, want := sink.describe(), fmt.Sprintf("%d=failed(0) %d=ok(1)", facts.Groups, facts.Users); got != want {
			t.Errorf("readings %s, want %s", got, want)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
	})
	if n := strings.Count(log.String(), "index out of range"); n == 0 || strings.Count(log.String(), "\n") != 1 {
		t.Errorf("logged %q, want one line", log.String())
	}
	if !strings.Contains(log.String(), "scheduler_test.go") {
		t.Errorf("the log has no stack: %q", log.String())
	}
}

func TestInventoryRunsAtItsIntervalWithJitter(t *testing.T) {
	p := inventoryProbe("users", facts.Users, "a")
	schedule(t, Config{Probes: []Probe{p}, InventoryInterval: 10 * time.Minute}, func(*Scheduler, *fakeSink) {
		time.Sleep(10 * time.Hour)
		synctest.Wait()
		if n := p.count(); n < 55 || n > 67 {
			t.Errorf("%d runs in 10 hours", n)
		}
		even := true
		for i := 2; i < len(p.runs); i++ {
			gap := p.runs[i].Sub(p.runs[i-1])
			if gap < 9*time.Minute || gap > 11*time.Minute {
				t.Errorf("gap of %v", gap)
			}
			even = even && gap == p.runs[1].Sub(p.runs[0])
		}
		if even {
			t.Error("no jitter")
		}
	})
}

func TestAWatchedFileTriggersItsProbeAlone(t *testing.T) {
	root := tree(t, map[string]string{"etc/passwd": "a"})
	users, services := inventoryProbe("users", facts.Users), inventoryProbe("services", facts.Services)
	users.info.Watch = []string{"/etc/passwd", "/etc/group"}
	cfg := Config{Host: RootHost(root), Probes: []Probe{users, services}, InventoryInterval: 24 * time.Hour}
	schedule(t, cfg, func(*Scheduler, *fakeSink) {
		runs := func(want int) {
			t.Helper()
			time.Sleep(11 * time.Second)
			synctest.Wait()
			if users.count() != want || services.count() != 1 {
				t.Errorf("users ran %d times, services %d; want %d, 1", users.count(), services.count(), want)
			}
		}
		write := func(name, content string) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		runs(1)
		write("etc/passwd", "ab")
		runs(2)
		runs(2)
		write("etc/group", "appears")
		runs(3)
		write("etc/group.new", "renames") // the same size, most likely the same time
		if err := os.Rename(filepath.Join(root, "etc/group.new"), filepath.Join(root, "etc/group")); err != nil {
			t.Fatal(err)
		}
		runs(4)
		if err := os.Remove(filepath.Join(root, "etc/group")); err != nil {
			t.Fatal(err)
		}
		runs(5)
	})
}

func TestDisabledSectionsAreNotReported(t *testing.T) {
	both := inventoryProbe("both", facts.Users, "a")
	both.info.Sections = []facts.ID{facts.Users, facts.Groups}
	off := inventoryProbe("off", facts.Services, "s")
	cfg := Config{Probes: []Probe{both, off}, Disabled: []facts.ID{facts.Users, facts.Services}}
	schedule(t, cfg, func(s *Scheduler, sink *fakeSink) {
		s.request(s.inventory...)
		synctest.Wait()
		if got, want := sink.describe(), fmt.Sprintf("%d=empty(0)", facts.Groups); got != want {
			t.Errorf("readings %s, want %s", got, want)
		}
		if off.count() != 0 {
			t.Error("a probe without sections ran")
		}
	})
}

func TestARefusedInventoryIsReadAgainWithinAMinute(t *testing.T) {
	var log bytes.Buffer
	p := inventoryProbe("users", facts.Users, "a")
	cfg := Config{Probes: []Probe{p}, InventoryInterval: 12 * time.Hour, Log: slog.New(slog.NewTextHandler(&log, nil))}
	schedule(t, cfg, func(s *Scheduler, sink *fakeSink) {
		sink.fail(errors.New("disk full"))
		s.request(s.inventory...)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := p.count(); n < 9 || n > 14 {
			t.Errorf("%d runs in ten minutes", n)
		}
		sink.fail(nil)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		n := p.count()
		time.Sleep(time.Hour)
		synctest.Wait()
		if p.count() != n {
			t.Error("read again although it was taken")
		}
	})
	// One line each for metrics and inventory, and one each when they work again.
	if n := strings.Count(log.String(), "\n"); n != 4 {
		t.Errorf("%d lines logged:\n%s", n, log.String())
	}
}

func TestCostsNameWhatARunTook(t *testing.T) {
	root := tree(t, map[string]string{"f": strings.Repeat("x", 1000)})
	p := inventoryProbe("users", facts.Users)
	p.collect = func(_ context.Context, h *Host, r *Report) error {
		r.Add(facts.Users, &facts.UserRow{Name: "a"}, &facts.UserRow{Name: "b"})
		burn := 0
		for start := time.Now(); time.Since(start) < 20*time.Millisecond; burn++ {
		}
		_, err := h.ReadFile("/f")
		return err
	}
	r := newRunner(p, RootHost(root))
	ps := pass{list: []*runner{r}, prepare: lockThread}
	ps.run(t.Context())
	ps.run(t.Context())
	c := r.snapshot()
	if c.Runs != 2 || c.LastReadBytes != 1000 || c.ReadBytes != 2000 || c.LastItems != 2 || c.Status != facts.StatusOK {
		t.Errorf("ledger says %+v", c)
	}
	if c.LastWallSeconds < 0.02 || c.WallSeconds < c.LastWallSeconds {
		t.Errorf("wall: %+v", c)
	}
	if runtime.GOOS == "linux" && (c.LastCPUSeconds <= 0 || c.LastCPUSeconds > c.LastWallSeconds) {
		t.Errorf("CPU: %+v", c)
	}
}

func TestSlowMetricProbesRunOnceInTheirPeriod(t *testing.T) {
	fast, slow, absent := metricProbe("fast", load1), metricProbe("slow", load1), metricProbe("absent", nil)
	slow.info.Period, absent.info.Period = time.Minute, time.Minute
	absent.collect = func(context.Context, *Host, *Report) error { return errors.ErrUnsupported }
	schedule(t, Config{Probes: []Probe{fast, slow, absent}}, func(*Scheduler, *fakeSink) {
		time.Sleep(30*time.Minute + time.Second)
		if n := fast.count(); n < 180 || n > 183 {
			t.Errorf("the fast one ran %d times in 30 minutes", n)
		}
		if n := slow.count(); n < 30 || n > 32 {
			t.Errorf("the slow one ran %d times", n)
		}
		if n := absent.count(); n < 3 || n > 4 {
			t.Errorf("the one without a source ran %d times", n)
		}
		for _, at := range slow.runs {
			if !slices.ContainsFunc(fast.runs, func(f time.Time) bool { return f.Equal(at) }) {
				t.Fatalf("a wake of its own at %v", at)
			}
		}
	})
}

// TestAContextWithoutEndIsNoStop: the supervisor looks for the first time when the time
// of the first probe is over, whichever runs then.
func TestAContextWithoutEndIsNoStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quick, slow, last := inventoryProbe("users", facts.Users, "a"), inventoryProbe("groups", facts.Groups), inventoryProbe("services", facts.Services, "c")
		quick.info.Timeout, slow.info.Timeout = time.Second, 10*time.Second
		slow.collect = func(context.Context, *Host, *Report) error { time.Sleep(5 * time.Second); return nil }
		res := RunOnce(context.Background(), RootHost(t.TempDir()), quick, slow, last)
		if res.Err != nil || len(res.Readings) != 3 || len(res.Readings[2].Rows) != 1 {
			t.Errorf("%v, %+v", res.Err, res.Readings)
		}
	})
}
