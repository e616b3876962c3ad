package agent

import (
	"runtime"
	"slices"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/metric"
)

// collectors returns what AddCollectors says of the collectors of a root.
func collectors(t *testing.T, root string) (success, seconds map[string]float64) {
	t.Helper()
	res := probe.RunOnce(t.Context(), probe.RootHost(root), CompatProbes(DefaultConfig())...)
	AddCollectors(&res)
	success, seconds = make(map[string]float64), make(map[string]float64)
	for _, s := range res.Frame.Samples {
		switch series := res.Series[s.Series]; series.Name {
		case metric.ProbeSuccess.Name:
			success[series.Labels[0].Value] = s.Value
		case metric.ProbeSeconds.Name:
			seconds[series.Labels[0].Value] = s.Value
		}
	}
	return success, seconds
}

func TestCollectorsOfARoot(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the probes of other systems ask the system")
	}
	files := probetest.Files(t, "debian-12-metrics")
	files["proc/net/xfrm_stat"] = "XfrmInError 0\n"
	files["var/lib/atalaya-agent/textfile/own.prom"] = "backup_age_seconds 7\n"
	got, seconds := collectors(t, probetest.Tree(t, files))
	files["var/lib/atalaya-agent/textfile/own.prom"] = "backup_age_seconds seven\n"
	delete(files, "proc/loadavg")
	spoilt, _ := collectors(t, probetest.Tree(t, files))
	for name, want := range map[string][2]float64{
		"cpu": {1, 1}, "loadavg": {1, 0}, "stat": {1, 1}, "meminfo": {1, 1}, "vmstat": {1, 1}, "netdev": {1, 1},
		"xfrm": {1, 1}, "bcache": {1, 1}, "mdadm": {0, 0}, "time": {0, 0}, "textfile": {1, 0},
	} {
		if got[name] != want[0] || spoilt[name] != want[1] {
			t.Errorf("%s: %v, and with damaged files %v; want %v", name, got[name], spoilt[name], want)
		}
		if _, ok := spoilt[name]; !ok || seconds[name] <= 0 {
			t.Errorf("%s took %v s; told of: %v", name, seconds[name], ok)
		}
	}
}

func TestAFolderOfOwnMetricsThatIsMissingIsNoError(t *testing.T) {
	res := probe.RunOnce(t.Context(), probe.RootHost(t.TempDir()), CompatProbes(DefaultConfig())...)
	AddCollectors(&res)
	for _, s := range res.Frame.Samples {
		if res.Series[s.Series].Name == metric.TextfileError.Name && s.Value == 0 {
			return
		}
	}
	t.Errorf("no %s 0", metric.TextfileError.Name)
}

func TestProbesThatServeCollectorsExist(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems have other probes")
	}
	for name := range collectorOf {
		if !slices.ContainsFunc(NodeProbes(DefaultConfig()), func(p probe.Probe) bool { return p.Info().Name == name }) {
			t.Errorf("there is no probe %s", name)
		}
	}
}
