package sockets

import (
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

// TestDamagedTablesAreNotEmpty: sockets that are known must not go because a table is damaged.
func TestDamagedTablesAreNotEmpty(t *testing.T) {
	const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	const waits = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 77 1 0 100 0\n"
	const talks = "   1: 0A0200C0:1F91 0B0200C0:01BB 01 00000000:00000000 00:00000000 00000000  1000        0 78 1 0 100 0\n"
	f := func(tcp string, listening, connections facts.Status) {
		t.Helper()
		root := probetest.Tree(t, map[string]string{"proc/net/tcp": tcp, "proc/net/udp": head, "proc/1/comm": "init\n"})
		sections := probetest.Sections(probe.RootHost(root), New(0))
		for id, want := range map[facts.ID]facts.Status{facts.ListeningSockets: listening, facts.Connections: connections} {
			if s := sections[id.String()]; s.Status != want || (s.Reason == "") != (want == facts.StatusOK || want == facts.StatusEmpty) {
				t.Errorf("%q: %s is %v, %q, want %v", tcp, id, s.Status, s.Reason, want)
			}
		}
	}
	f(head, facts.StatusEmpty, facts.StatusEmpty)
	f(head+waits+talks, facts.StatusOK, facts.StatusOK)
	f("zzz", facts.StatusFailed, facts.StatusFailed)
	f(head[:30], facts.StatusFailed, facts.StatusFailed)
	f(head+waits+talks[:40], facts.StatusPartial, facts.StatusFailed)
	f(head+talks+"zzz\n", facts.StatusFailed, facts.StatusPartial)
}
