package probe

import (
	"fmt"
	"sync"
	"time"

	"atalaya/shared/metric"
)

// Budget bounds what the agent may take of its host. It measures itself, gives up
// readings in the order of Level when it takes more, and takes them up again.
type Budget struct {
	// CPU is the share of one processor, on average over a minute; 0: no bound.
	CPU float64
	// Memory bounds the anonymous memory of the process, in bytes; 0: no bound.
	Memory int64
	// Probes bounds single probes, by their names.
	Probes map[string]ProbeBudget
	// Use measures the process; nil: nothing is bounded as a whole.
	Use func() Use
}

// ProbeBudget bounds one probe; a zero field leaves what the probe itself says.
type ProbeBudget struct {
	Timeout time.Duration // of one run
	// Period lies between two runs of a metric probe, and between two complete readings
	// of an inventory probe. What a change on disk triggers is not put off.
	Period time.Duration
}

// Use is what the process has used so far, and the memory that it has.
type Use struct {
	CPU       time.Duration
	Anonymous int64 // bytes
}

// Level says how much is given up to stay within the budget. Core metrics and the
// watch over changed files are never given up.
type Level int

// The levels, in the order in which they are entered.
const (
	Full           Level = iota
	NoProcesses          // processes are not looked at
	NoSlow               // nor is any probe that by itself is not read at every tick
	SlowInventory        // and the inventory is complete a quarter as often
	levels               // how many there are
	processesProbe = "processes"
)

// String says what is given up.
func (l Level) String() string {
	return [levels]string{"nothing given up", "processes", "processes and slow metrics", "processes, slow metrics and three of four inventories"}[l]
}

const (
	// window is over what time CPU use is averaged.
	window = time.Minute
	// recoverWindows is for how many windows in a row the use has to stay below
	// recoverShare of the budget before a level is left: one that was left too early
	// would be entered again.
	recoverWindows = 10
	recoverShare   = 0.7
	// inventoryStretch is how much rarer the inventory is at the last level.
	inventoryStretch = 4
)

// governor holds the agent to its budget.
type governor struct {
	budget Budget

	mu     sync.Mutex // guards what follows
	level  Level
	reason string
	began  time.Time // of the window
	use    Use       // then
	calm   int       // windows in a row that would leave room
	warm   bool      // the first window is over: it has the first inventory
}

// look measures the process at a tick and returns the level from now on.
func (g *governor) look(now time.Time) Level {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.budget.Use == nil || g.budget.CPU <= 0 && g.budget.Memory <= 0 {
		return g.level
	}
	elapsed := now.Sub(g.began)
	if !g.began.IsZero() && elapsed >= 0 && elapsed < window {
		return g.level
	}
	use := g.budget.Use()
	share := float64(use.CPU-g.use.CPU) / float64(max(elapsed, 1))
	fresh := g.began.IsZero() || elapsed < 0 || elapsed > 10*window // the clock was set, or the machine slept
	g.began, g.use = now, use
	if fresh || !g.warm {
		g.warm = !fresh
		return g.level
	}
	g.judge(share, use.Anonymous)
	return g.level
}

func (g *governor) judge(share float64, memory int64) {
	cpuOver := g.budget.CPU > 0 && share > g.budget.CPU
	memoryOver := g.budget.Memory > 0 && memory > g.budget.Memory
	switch {
	case cpuOver || memoryOver:
		g.calm = 0
		g.level = min(g.level+1, levels-1)
		if cpuOver {
			g.reason = fmt.Sprintf("%.2f %% of a processor, %.2f %% allowed", share*100, g.budget.CPU*100)
		} else {
			g.reason = fmt.Sprintf("%d bytes of memory, %d allowed", memory, g.budget.Memory)
		}
	case share < g.budget.CPU*recoverShare || g.budget.CPU <= 0:
		if g.calm++; g.calm >= recoverWindows && g.level > Full {
			g.calm = 0
			g.level--
		}
	default:
		g.calm = 0
	}
	if g.level == Full {
		g.reason = ""
	}
}

// state returns the level and why it was last raised.
func (g *governor) state() (Level, string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.level, g.reason
}

// suspended reports whether a level gives a probe up. A core metric that the configuration
// has read more rarely is one all the same.
func (l Level) suspended(r *runner) bool {
	if !r.info.Metrics {
		return false
	}
	return l >= NoProcesses && r.info.Name == processesProbe || l >= NoSlow && r.slow
}

// apply puts the configured bounds of a probe in place of its own.
func (b Budget) apply(info Info) Info {
	own := b.Probes[info.Name]
	if own.Timeout > 0 {
		info.Timeout = own.Timeout
	}
	if own.Period > 0 && info.Metrics {
		info.Period = own.Period
	}
	return info
}

// Degraded says what the agent gives up to stay within its budget, and why.
func (s *Scheduler) Degraded() (Level, string) { return s.governor.state() }

// look returns the level from now on, and logs that it is another one.
func (s *Scheduler) look(tick time.Time) Level {
	before, _ := s.governor.state()
	level := s.governor.look(tick)
	_, why := s.governor.state()
	switch {
	case level > before:
		s.cfg.Log.Warn("over budget, readings given up", "given_up", level, "reason", why)
	case level < before:
		s.cfg.Log.Info("within budget, readings taken up again", "given_up", level)
	}
	return level
}

// degraded reports the level as a metric.
func (s *Scheduler) degraded(samples []metric.Sample) []metric.Sample {
	if s.cfg.Budget.Use == nil {
		return samples
	}
	level, _ := s.governor.state()
	if id, ok := s.cfg.Dictionary.ID(&metric.AgentDegraded); ok {
		samples = append(samples, metric.Sample{Series: id, Value: float64(level)})
	}
	return samples
}
