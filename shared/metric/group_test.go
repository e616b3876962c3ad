package metric

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestGroupsAreWellFormed(t *testing.T) {
	prefix := regexp.MustCompile(`^(node|atalaya)(_[a-zA-Z0-9]+)*_$`)
	seen := make(map[string]bool)
	for _, g := range groups {
		switch {
		case !prefix.MatchString(g.Prefix):
			t.Errorf("%q: no prefix of ours", g.Prefix)
		case seen[g.Prefix+g.Help]:
			t.Errorf("%s: declared twice", g.Prefix)
		case !strings.HasSuffix(g.Help, ".") || g.Source == "":
			t.Errorf("%s: help %q, source %q", g.Prefix, g.Help, g.Source)
		case !slices.IsSorted(g.Labels):
			t.Errorf("%s: labels %q are not sorted", g.Prefix, g.Labels)
		}
		seen[g.Prefix+g.Help] = true
	}
}

func TestEveryGroupIsListed(t *testing.T) {
	src, err := os.ReadFile("groups.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(src), "= Group{"); n != len(groups) {
		t.Errorf("%d groups declared, %d listed", n, len(groups))
	}
}

func TestMembersAreDescribedOnceAndBounded(t *testing.T) {
	g := &Group{Prefix: "node_x_", Help: "X.", Labels: []string{"device", "mode"}}
	m := NewMembers(g)
	d := m.Of("a-b.total_total", "device")
	if d == nil || d.Name != "node_x_a_b_total_total" || d.Kind != Counter || !slices.Equal(d.Labels, []string{"device"}) {
		t.Fatalf("%+v", d)
	}
	if m.Of("a-b.total_total", "device") != d {
		t.Error("described twice")
	}
	if d := m.Of("size"); d == nil || d.Kind != Gauge {
		t.Errorf("%+v", d)
	}
	for _, bad := range []*Desc{m.Of(""), m.Of("x", "uuid"), m.Of(strings.Repeat("x", 300))} {
		if bad != nil {
			t.Errorf("%+v is described", bad)
		}
	}
	if n := testing.AllocsPerRun(100, func() { m.Of("size") }); n != 0 {
		t.Errorf("%v allocations for a known family", n)
	}
	for i := range 2 * maxMembers {
		m.Of(strings.Repeat("n", i%100) + "_" + strings.Repeat("m", i/100))
	}
	if len(m.known) > maxMembers {
		t.Errorf("%d members", len(m.known))
	}
}

func TestHelpIsFoundByTheLongestPrefix(t *testing.T) {
	if got := HelpOf("node_load1"); got != Load1.Help {
		t.Errorf("%q", got)
	}
	if got := HelpOf("node_memory_numa_Active"); got == HelpOf("node_memory_Bounce_bytes") || got == "" {
		t.Errorf("%q", got)
	}
	if got := HelpOf("up"); got != "" {
		t.Errorf("%q", got)
	}
}

func FuzzKey(f *testing.F) {
	f.Add("erpt-dropped")
	f.Add("\xff\x00ü")
	valid := regexp.MustCompile(`^[a-zA-Z0-9_]*$`)
	f.Fuzz(func(t *testing.T, s string) {
		if !valid.MatchString(Key(s)) {
			t.Errorf("Key(%q) = %q", s, Key(s))
		}
	})
}

func TestTypesOfFamilies(t *testing.T) {
	for name, want := range map[string]string{
		"node_zfs_arc_hits": "untyped", "node_zfs_zpool_state": "gauge", "node_sysctl_info": "gauge", "node_load1": "gauge", "own": "gauge",
	} {
		if got := TypeOf(Series{Name: name}); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	netstat := NewMembers(&Netstat)
	if netstat.Of("Ip_Forwarding").Kind != Gauge || netstat.Of("Ip_InReceives").Kind != Counter {
		t.Error("counters and gauges of netstat are not told apart")
	}
}
