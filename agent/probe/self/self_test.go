package self

import (
	"runtime"
	"testing"

	"atalaya/agent/probe"
)

func TestSelfReportsWhatTheAgentTakes(t *testing.T) {
	res := probe.RunOnce(t.Context(), probe.LiveHost(), New("1.2.3"))
	if res.Err != nil {
		t.Fatal(res.Err)
	}
	got := make(map[string]float64)
	for _, s := range res.Frame.Samples {
		got[res.Series[s.Series].Name] = s.Value
	}
	if got["atalaya_agent_build_info"] != 1 || got["atalaya_agent_goroutines"] < 1 || got["atalaya_agent_heap_bytes"] < 1 {
		t.Errorf("readings: %v", got)
	}
	if runtime.GOOS == "linux" && (got["atalaya_agent_resident_memory_bytes"] < got["atalaya_agent_anonymous_memory_bytes"] ||
		got["atalaya_agent_anonymous_memory_bytes"] < 100_000 || got["atalaya_agent_cpu_seconds_total"] <= 0) {
		t.Errorf("readings: %v", got)
	}
	if res := probe.RunOnce(t.Context(), probe.RootHost(t.TempDir()), New("1")); len(res.Frame.Samples) != 0 {
		t.Errorf("below a root: %v", res.Frame.Samples)
	}
}

func TestParseStatm(t *testing.T) {
	f := func(in string, resident, anonymous uint64, ok bool) {
		t.Helper()
		r, a, err := parseStatm([]byte(in))
		if r != resident || a != anonymous || (err == nil) != ok {
			t.Errorf("parseStatm(%q) = %d, %d, %v", in, r, a, err)
		}
	}
	f("2000 500 300 10 0 900 0\n", 500, 200, true)
	f("", 0, 0, false)
	f("2000 500", 0, 0, false)
	f("2000 300 500 1 0 1 0", 0, 0, false)
	f("a b c", 0, 0, false)
}

func FuzzParseStatm(f *testing.F) {
	f.Add([]byte("2000 500 300 10 0 900 0\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if resident, anonymous, err := parseStatm(b); err == nil && anonymous > resident {
			t.Errorf("anonymous %d of %d resident", anonymous, resident)
		}
	})
}
