package firewall

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

func TestRecordedHost(t *testing.T) {
	probetest.Golden(t, "debian-12-firewall", New())
}

// older is the part of the probe that is about the older iptables.
type older struct{ firewallProbe }

func (older) Collect(_ context.Context, h *probe.Host, r *probe.Report) error { return legacy(h, r) }

// TestTablesWithoutRulesSayWhy: a table beside which no rules are told must not read as one without.
func TestTablesWithoutRulesSayWhy(t *testing.T) {
	s := probetest.Sections(probe.RootHost(probetest.Tree(t, map[string]string{"proc/net/ip_tables_names": "filter\n"})), older{})["firewall"]
	if len(s.Rows) != 1 || !strings.Contains(s.Reason, "not the rules") {
		t.Errorf("%s %q with %d rows", s.Status, s.Reason, len(s.Rows))
	}
}

// attribute is one of netlink.
func attribute(kind uint16, value ...byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	return append(b, make([]byte, (4-len(b)%4)%4)...)
}

// message is one of an answer.
type message struct {
	kind uint16
	body []byte
}

// answer is a chain with a rule as the kernel tells them.
func answer() []message {
	head := []byte{1, 0, 0, 0} // inet
	name := func(kind uint16, s string) []byte { return attribute(kind, append([]byte(s), 0)...) }
	hook := attribute(0x8000|chainHook, attribute(hookNumber, 0, 0, 0, 1)...)
	return []message{
		{subsystem | newTable, slices.Concat(head, name(tableName, "filter"))},
		{subsystem | newChain, slices.Concat(head, name(chainTable, "filter"), name(chainName, "in"), hook, attribute(chainPolicy, 0, 0, 0, 0))},
		{subsystem | newRule, slices.Concat(head, name(ruleTable, "filter"), name(ruleChain, "in"))},
		{newTable, []byte("of another subsystem")},
	}
}

func TestAnswersOfTheKernel(t *testing.T) {
	rs := new(ruleset)
	active := true
	want := &facts.FirewallRow{Name: "nftables", Active: &active, Tables: []string{"inet filter"}, Chains: 1, Rules: 1, Policies: []string{"inet filter in drop"}}
	for range 2 { // a list that changed is told again
		for _, request := range []uint16{getTable, getChain, getRule} {
			rs.forget(request)
		}
		for _, m := range answer() {
			if err := rs.visit(m.kind, m.body); err != nil {
				t.Errorf("message %x: %v", m.kind, err)
			}
		}
		if d := cmp.Diff(want, rs.row()); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
	}
	for _, m := range answer()[:3] {
		for _, cut := range probetest.Cuts(m.body) {
			if err := rs.visit(m.kind, cut); err == nil && len(cut) < nfHeaderLen {
				t.Errorf("message %x cut to %d bytes is no error", m.kind, len(cut))
			}
		}
	}
}

func TestAKernelWithoutNFTablesIsToldFromOneThatRefuses(t *testing.T) {
	f := func(err error, absent, denied bool) {
		t.Helper()
		if got := errorOf(err); (present(got) == nil) != absent || errors.Is(got, fs.ErrPermission) != denied {
			t.Errorf("%v: %v", err, got)
		}
	}
	refused := func(errno syscall.Errno) error { return fmt.Errorf("%w: %w", probe.ErrNetlinkRefused, errno) }
	f(refused(syscall.EINVAL), true, false)
	f(refused(syscall.EAFNOSUPPORT), true, false)
	f(refused(syscall.EPERM), false, true)
	f(fmt.Errorf("read netlink: %w", syscall.EINVAL), false, false)
	f(probe.ErrNetlinkChanged, false, false)
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
	for _, m := range answer() {
		f.Add(m.kind, m.body)
	}
	f.Add(uint16(0), []byte("*filter\n:INPUT DROP [0:0]\n-A INPUT -j x\n:\n-A\n"))
	f.Fuzz(func(_ *testing.T, kind uint16, b []byte) {
		rs := new(ruleset)
		rs.forget(getRule)
		rs.visit(kind, b) //nolint:errcheck // it must not panic
		rs.row()
		parseSaved(b)
	})
}

func BenchmarkCollect(b *testing.B) {
	probetest.Benchmark(b, probe.LiveHost(), New())
}
