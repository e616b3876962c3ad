package netinfo

import (
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

const (
	routeHead = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
	routeTo   = "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
	routeVia  = "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
	arpHead   = "IP address       HW type     Flags       HW address            Mask     Device\n"
	arpRow    = "192.0.2.1        0x1         0x2         02:00:00:00:00:01     *        eth0\n"
	inet6Row  = "fe80000000000000000000000000000a 02 40 20 80     eth0\n"
	trie      = "Main:\n  +-- 192.0.2.0/24 2 0 2\n     |-- 192.0.2.2\n        /32 host LOCAL\n"
)

// TestDamagedTablesAreNotEmpty: rows that are known must not go because a table is damaged.
func TestDamagedTablesAreNotEmpty(t *testing.T) {
	f := func(change map[string]string, want string) {
		t.Helper()
		files := map[string]string{
			"proc/net/route": routeHead + routeTo + routeVia, "proc/net/arp": arpHead + arpRow,
			"proc/net/if_inet6": inet6Row, "proc/net/fib_trie": trie, "proc/net/ipv6_route": "",
		}
		for name, text := range change {
			files["proc/net/"+name] = text
		}
		sections := probetest.Sections(probe.RootHost(probetest.Tree(t, files)), New())
		var got []string
		for _, id := range []facts.ID{facts.Addresses, facts.Routes, facts.Neighbours} {
			s := sections[id.String()]
			got = append(got, s.Status.String())
			if (s.Reason == "") != (s.Status == facts.StatusOK || s.Status == facts.StatusEmpty) {
				t.Errorf("%v: %s is %v, %q", change, id, s.Status, s.Reason)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%v: addresses, routes and neighbours are %v, want %s", change, got, want)
		}
	}
	f(nil, "ok ok ok")
	f(map[string]string{"route": "", "arp": arpHead, "if_inet6": "", "fib_trie": ""}, "empty empty empty")
	f(map[string]string{"route": "zzz"}, "partial failed failed")
	f(map[string]string{"route": "zzz", "if_inet6": "zzz"}, "failed failed failed")
	f(map[string]string{"route": routeHead[:20]}, "partial failed failed")
	f(map[string]string{"route": routeHead + routeTo + routeVia[:30]}, "partial partial failed")
	f(map[string]string{"ipv6_route": "zzz\n"}, "ok partial partial")
	f(map[string]string{"if_inet6": inet6Row + inet6Row[:20]}, "partial ok ok")
	f(map[string]string{"fib_trie": "zzz\n"}, "partial ok ok")
	f(map[string]string{"arp": "zzz"}, "ok ok failed")
	f(map[string]string{"arp": arpHead + arpRow + "zzz\n"}, "ok ok partial")
}
