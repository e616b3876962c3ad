package firewall

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

func TestRecordedHost(t *testing.T) {
	probetest.Golden(t, "debian-12-firewall", New())
}

// attribute is one of netlink.
func attribute(kind uint16, value ...byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	return append(b, make([]byte, (4-len(b)%4)%4)...)
}

func message(kind uint16, body ...byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(nlHeaderLen+len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	return append(append(b, make([]byte, 10)...), body...)
}

// answer is a chain with a rule as the kernel tells them.
func answer() []byte {
	head := []byte{1, 0, 0, 0} // inet
	name := func(kind uint16, s string) []byte { return attribute(kind, append([]byte(s), 0)...) }
	hook := attribute(0x8000|chainHook, attribute(hookNumber, 0, 0, 0, 1)...)
	return slices.Concat(
		message(subsystem|newTable, slices.Concat(head, name(tableName, "filter"))...),
		message(subsystem|newChain, slices.Concat(head, name(chainTable, "filter"), name(chainName, "in"), hook, attribute(chainPolicy, 0, 0, 0, 0))...),
		message(subsystem|newRule, slices.Concat(head, name(ruleTable, "filter"), name(ruleChain, "in"))...),
		message(nlDone, 0, 0, 0, 0),
	)
}

func TestAnswersOfTheKernel(t *testing.T) {
	rs := &ruleset{rules: make(map[[3]string]int)}
	done, err := rs.take(answer())
	if !done || err != nil {
		t.Errorf("done %v, error %v", done, err)
	}
	active := true
	want := &facts.FirewallRow{Name: "nftables", Active: &active, Tables: []string{"inet filter"}, Chains: 1, Rules: 1, Policies: []string{"inet filter in drop"}}
	if d := cmp.Diff(want, rs.row()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	for _, cut := range probetest.Cuts(answer()) {
		(&ruleset{rules: make(map[[3]string]int)}).take(cut) //nolint:errcheck // it must not panic
	}
}

func TestSavedRules(t *testing.T) {
	got := parseSaved([]byte("# by iptables-save\n*filter\n:INPUT DROP [0:0]\n:OUTPUT ACCEPT [1:2]\n:own - [0:0]\n:DOCKER - [0:0]\n" +
		"-A INPUT -j own\n-A own -p tcp --dport 22 -j ACCEPT\n-A DOCKER -j RETURN\nCOMMIT\n*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n"))
	want := &facts.FirewallRow{Name: "saved", Tables: []string{"filter", "nat"}, Chains: 4, Rules: 2,
		Policies: []string{"filter input drop", "filter output accept", "nat prerouting accept"}, Dynamic: []string{"docker"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestSwitchedOffFirewallIsTold(t *testing.T) {
	s := probetest.Sections(probetest.Unpack(t, []byte("-- etc/ufw/ufw.conf --\nENABLED=no\nLOGLEVEL=low\n")), New())["firewall"]
	if len(s.Rows) != 1 || *s.Rows[0].(*facts.FirewallRow).Active {
		t.Errorf("got %v %+v", s.Status, s.Rows)
	}
}

func TestHugeFileIsPartial(t *testing.T) {
	root := probetest.Tree(t, probetest.Files(t, "debian-12-firewall"))
	probetest.Write(t, root, "etc/iptables/rules.v4", []byte(strings.Repeat("-A INPUT -j ACCEPT\n", 600_000)))
	if s := probetest.Sections(probe.RootHost(root), New())["firewall"]; s.Status != facts.StatusPartial || len(s.Rows) == 0 {
		t.Errorf("got %v %q", s.Status, s.Reason)
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add(answer())
	f.Add([]byte("*filter\n:INPUT DROP [0:0]\n-A INPUT -j x\n:\n-A\n"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		rs := &ruleset{rules: make(map[[3]string]int)}
		rs.take(b) //nolint:errcheck // it must not panic
		rs.row()
		parseSaved(b)
	})
}

func BenchmarkCollect(b *testing.B) {
	probetest.Benchmark(b, probe.LiveHost(), New())
}
