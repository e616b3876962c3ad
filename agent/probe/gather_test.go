package probe_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probe/cpu"
	"atalaya/agent/probe/disk"
	"atalaya/agent/probe/fabric"
	"atalaya/agent/probe/memory"
	"atalaya/agent/probe/network"
	"atalaya/agent/probe/sensor"
	"atalaya/agent/probe/system"
	"atalaya/agent/probe/volume"
	"atalaya/agent/probetest"
	"atalaya/shared/metric"
)

// everything is a host that has one of each thing that few hosts have.
const everything = "one-of-everything"

// slowProbes are those that read files alone.
func slowProbes() []probe.Probe {
	all := slices.Concat(cpu.Probes(), memory.Probes(), disk.Probes(), system.Probes(), network.Probes(), sensor.Probes(), volume.Probes(), fabric.Probes())
	return slices.DeleteFunc(all, func(p probe.Probe) bool { return strings.HasPrefix(p.Info().Name, "timex") })
}

func TestMetricsOfAHostWithEverything(t *testing.T) {
	probetest.GoldenMetrics(t, everything, slowProbes()...)
}

func TestEverySlowProbeFindsSomethingThere(t *testing.T) {
	root := probetest.Tree(t, probetest.Files(t, everything))
	for _, p := range slowProbes() {
		res := probe.RunOnce(t.Context(), probe.RootHost(root), p)
		if n := len(res.Frame.Samples); n == 0 {
			t.Errorf("%s finds nothing: %v", p.Info().Name, res.Err)
		}
		if p.Info().Period == 0 {
			t.Errorf("%s runs at every tick", p.Info().Name)
		}
	}
	for _, p := range slowProbes() {
		res := probe.RunOnce(t.Context(), probe.RootHost(t.TempDir()), p)
		if len(res.Frame.Samples) > 0 || !errors.Is(res.Err, errors.ErrUnsupported) {
			t.Errorf("%s in an empty folder: %d samples, %v", p.Info().Name, len(res.Frame.Samples), res.Err)
		}
	}
}

// TestSpoiltSourcesOfSlowProbes spoils all files at once, one kind of damage after the
// other: no probe may fail badly, and no value may be none.
func TestSpoiltSourcesOfSlowProbes(t *testing.T) {
	files := probetest.Files(t, everything)
	for kind, damage := range probetest.Damages() {
		t.Run(kind, func(t *testing.T) {
			spoilt := make(map[string]string)
			for name, content := range files {
				if b := damage([]byte(content)); b != nil && !(kind == "huge" && len(content) < 200) {
					spoilt[name] = string(b)
				}
			}
			checkSlow(t, spoilt)
		})
	}
}

func checkSlow(t *testing.T, files map[string]string) {
	t.Helper()
	res := probe.RunOnce(t.Context(), probe.RootHost(probetest.Tree(t, files)), slowProbes()...)
	var panicked *probe.PanicError
	if errors.As(res.Err, &panicked) {
		t.Fatalf("%v\n%s", panicked, panicked.Stack)
	}
	for _, s := range res.Frame.Samples {
		series := res.Series[s.Series]
		if math.IsNaN(s.Value) || math.IsInf(s.Value, 0) {
			t.Errorf("%s is %v", series.Name, s.Value)
		}
		if metric.HelpOf(series.Name) == "" {
			t.Errorf("%s belongs to no group", series.Name)
		}
	}
}

// FuzzSlowProbes gives every source of the hand-made host the same content.
func FuzzSlowProbes(f *testing.F) {
	seen := make(map[string]bool)
	for _, content := range probetest.Files(f, everything) {
		if len(content) > 60 && len(seen) < 30 {
			f.Add(content)
		}
		seen[content] = true
	}
	f.Add(strings.Repeat("a: 1 2 3\n", 9))
	files := probetest.Files(f, everything)
	f.Fuzz(func(t *testing.T, content string) {
		spoilt := make(map[string]string)
		for name := range files {
			spoilt[name] = content
		}
		checkSlow(t, spoilt)
	})
}
