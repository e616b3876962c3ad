package probe_test

import (
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
)

// recorded is the host that the metric probes are held to.
const recorded = "debian-12-metrics"

// readings returns what the raw readers say of a host, by name and labels:
// node_cpu_seconds_total/0/user.
func readings(t *testing.T, h *probe.Host, probes ...probe.Probe) map[string]float64 {
	t.Helper()
	res := probe.RunOnce(t.Context(), h, probes...)
	if res.Err != nil {
		t.Fatal(res.Err)
	}
	return named(res)
}

// named returns the samples of a result by name and labels.
func named(res probe.Result) map[string]float64 {
	out := make(map[string]float64)
	for _, s := range res.Frame.Samples {
		name := res.Series[s.Series].Name
		for _, l := range res.Series[s.Series].Labels {
			name += "/" + l.Value
		}
		out[name] = s.Value
	}
	return out
}

func TestMetricsOfARecordedHost(t *testing.T) {
	probetest.GoldenMetrics(t, recorded, linuxProbes()...)
}

// TestADamagedFileSpoilsOnlyItself damages one file of the host after another: the
// readings of all others stay, and nothing is invented.
func TestADamagedFileSpoilsOnlyItself(t *testing.T) {
	files := probetest.Files(t, recorded)
	root := probetest.Tree(t, files)
	whole := readings(t, probe.RootHost(root), linuxProbes()...)
	for kind, damage := range probetest.Damages() {
		t.Run(kind, func(t *testing.T) {
			for name, content := range files {
				probetest.Write(t, root, name, damage([]byte(content)))
				res := probe.RunOnce(t.Context(), probe.RootHost(root), linuxProbes()...)
				if lost := len(whole) - len(res.Frame.Samples); lost < 0 || lost > 40 {
					t.Errorf("%s: %d of %d readings are left", name, len(res.Frame.Samples), len(whole))
				}
				for _, s := range res.Frame.Samples {
					if s.Value < 0 || s.Value > 1e18 {
						t.Errorf("%s: %s is %v", name, res.Series[s.Series].Name, s.Value)
					}
				}
				probetest.Write(t, root, name, []byte(content))
			}
		})
	}
}
