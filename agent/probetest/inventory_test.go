package probetest_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probe/accounts"
	"atalaya/agent/probe/certificates"
	"atalaya/agent/probe/containers"
	"atalaya/agent/probe/devices"
	"atalaya/agent/probe/firewall"
	"atalaya/agent/probe/hardware"
	"atalaya/agent/probe/names"
	"atalaya/agent/probe/netinfo"
	"atalaya/agent/probe/osinfo"
	"atalaya/agent/probe/packages"
	"atalaya/agent/probe/patches"
	"atalaya/agent/probe/patches/restart"
	"atalaya/agent/probe/services"
	"atalaya/agent/probe/sockets"
	"atalaya/agent/probe/storage"
	"atalaya/agent/probe/timesync"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

// machine is the inventory of the machine itself, without its software.
func machine() []probe.Probe {
	return []probe.Probe{osinfo.New(), hardware.New(), storage.New(), netinfo.New(), sockets.New(0),
		names.New(), certificates.New(), containers.New(), firewall.New(), timesync.New()}
}

// TestNothingChangesBetweenTwoReadings would fail on clocks, counters and random
// order in facts.
func TestNothingChangesBetweenTwoReadings(t *testing.T) {
	for _, p := range machine() {
		if p.Info().Name == "sockets" {
			continue // other tests open and close sockets meanwhile
		}
		first, second := probetest.Sections(probe.LiveHost(), p), probetest.Sections(probe.LiveHost(), p)
		for name, a := range first {
			b := second[name]
			if a.Status != b.Status || len(a.Rows) != len(b.Rows) {
				t.Errorf("%s: %v with %d rows, then %v with %d", name, a.Status, len(a.Rows), b.Status, len(b.Rows))
				continue
			}
			for i := range a.Rows {
				if x, y := a.Rows[i], b.Rows[i]; x.Key() != y.Key() {
					t.Errorf("%s: row %d is %q, then %q", name, i, x.Key(), y.Key())
				}
			}
		}
	}
}

func TestEverySectionOfAProbeIsReported(t *testing.T) {
	h := probe.RootHost(t.TempDir()) // an empty root: no file of any kind
	for _, p := range machine() {
		got := probetest.Sections(h, p)
		for _, id := range p.Info().Sections {
			s, ok := got[id.String()]
			if !ok || s.Status == facts.StatusUnknown || s.Status == facts.StatusFailed {
				t.Errorf("%s: %v %q", id, s.Status, s.Reason)
			}
		}
	}
}

func TestCancelledReadingEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	res := probe.RunOnce(ctx, probe.LiveHost(), storage.New())
	for _, r := range res.Readings {
		if r.Status.Complete() {
			t.Errorf("%s is %v although the reading was cancelled", r.Section, r.Status)
		}
	}
	if res.Err != nil && !errors.Is(res.Err, context.Canceled) && !errors.Is(res.Err, errors.ErrUnsupported) {
		t.Errorf("error %v", res.Err)
	}
}

// TestNothingIsExpectedThatNoProbeSays finds what a probe has ceased to report.
func TestNothingIsExpectedThatNoProbeSays(t *testing.T) {
	said := []string{"metrics.prom"}
	for _, p := range append(machine(), accounts.New(), packages.New(), patches.New(patches.Config{}), restart.New(), services.New(), devices.New()) {
		for _, id := range p.Info().Sections {
			said = append(said, id.String()+".jsonl")
		}
	}
	files, err := filepath.Glob("../../testdata/hosts/*.want/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		if !slices.Contains(said, filepath.Base(f)) {
			t.Errorf("%s: no probe has this section", f)
		}
		host := strings.TrimSuffix(filepath.Dir(f), ".want")
		if strings.HasPrefix(filepath.Base(host), "made-") {
			continue // its tree is made by the test of its probe
		}
		if _, err := os.Stat(host + ".txtar"); err != nil {
			t.Errorf("%s: expected of no recorded host: %v", f, err)
		}
	}
}

func BenchmarkMachine(b *testing.B) {
	probetest.Benchmark(b, probe.LiveHost(), machine()...)
}
