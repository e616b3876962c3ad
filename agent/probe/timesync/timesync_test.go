package timesync

import (
	"slices"
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

func TestRecordedHost(t *testing.T) {
	probetest.Golden(t, "debian-12-firewall", New())
}

func TestSources(t *testing.T) {
	f := func(parse func([]byte) []string, in string, want ...string) {
		t.Helper()
		if got := parse([]byte(in)); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	f(ParseChrony, "pool a iburst\n! server x\nSERVER b\npeer c\nrefclock PPS /dev/pps0\nserver\n", "a", "b", "c", "refclock PPS /dev/pps0")
	f(ParseNTP, "server -4 a\nservers b\nrestrict default\n# server c\nserver 127.127.1.0\n", "a", "b", "127.127.1.0")
	f(ParseTimesyncd, "[Time]\nNTP=a b\nFallbackNTP=c\n", "a", "b")
	f(ParseTimesyncd, "[Time]\nNTP=a\nNTP=\nFallbackNTP=c\n", "c")
	f(ParseTimesyncd, "NTP=a\n[Other]\nNTP=b\n")
	f(ParseChrony, "")
	f(ParseChrony, "server\x00 \xff\n")
}

func TestNoProgramIsEmpty(t *testing.T) {
	if s := probetest.Sections(probetest.Unpack(t, []byte("-- etc/hostname --\nx\n")), New())["time_sync"]; s.Status != facts.StatusEmpty {
		t.Errorf("got %v %q", s.Status, s.Reason)
	}
	if s := probetest.Sections(probe.RootHost(t.TempDir()), New())["time_sync"]; s.Status != facts.StatusUnsupported {
		t.Errorf("got %v %q", s.Status, s.Reason)
	}
}

func TestDamagedFileIsPartialOrRead(t *testing.T) {
	files := probetest.Files(t, "debian-12-firewall")
	for name, damage := range probetest.Damages() {
		root := probetest.Tree(t, files)
		probetest.Write(t, root, "etc/chrony/chrony.conf", damage([]byte(files["etc/chrony/chrony.conf"])))
		s := probetest.Sections(probe.RootHost(root), New())["time_sync"]
		if want := name == "huge"; (s.Status == facts.StatusPartial) != want {
			t.Errorf("%s: %v %q", name, s.Status, s.Reason)
		}
	}
}

func FuzzParsers(f *testing.F) {
	f.Add([]byte("server a\nrefclock SHM 0\n[Time]\nNTP=x\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, parse := range []func([]byte) []string{ParseChrony, ParseNTP, ParseTimesyncd} {
			for _, s := range parse(b) {
				if strings.TrimSpace(s) == "" {
					t.Errorf("an empty name of %q", b)
				}
			}
		}
	})
}

func BenchmarkCollect(b *testing.B) {
	probetest.Benchmark(b, probe.LiveHost(), New())
}
