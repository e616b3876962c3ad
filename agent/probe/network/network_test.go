package network

import (
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
)

func TestParseDev(t *testing.T) {
	const head = "Inter-|   Receive   |  Transmit\n face |bytes packets|bytes\n"
	f := probetest.Gives(t, func(r *probe.Report, in []byte) error { return new(dev).parse(r, in) })
	f(head+"  eth0:1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n", `network_receive_bytes_total eth0 1
network_receive_packets_total eth0 2
network_receive_errs_total eth0 3
network_receive_drop_total eth0 4
network_transmit_bytes_total eth0 9
network_transmit_packets_total eth0 10
network_transmit_errs_total eth0 11
network_transmit_drop_total eth0 12
`, true)
	f(head+"eth0: 1\n", "network_receive_bytes_total eth0 1\n", false)
	f(head+": 1 2 3\n", "", false)
	f("garbage\n", "", false)
	f(head, "", true)
	got, _ := probetest.Samples(t, new(dev).parse, "eth0:1: 7 2 3 4 5 6 7 8 9 10 11 12")
	if !strings.HasPrefix(got, "network_receive_bytes_total eth0:1 7\n") {
		t.Errorf("an alias gives %q", got)
	}
}

func TestParseSockstat(t *testing.T) {
	f := probetest.Gives(t, parseSockstat)
	f("sockets: used 16\nTCP: inuse 1 orphan 2 tw 3 alloc 4\nRAW: inuse 9\nUDP6: inuse 5\n",
		"sockstat_sockets_used 16\nsockstat_TCP_inuse 1\nsockstat_TCP_orphan 2\nsockstat_TCP_tw 3\nsockstat_TCP_alloc 4\nsockstat_UDP6_inuse 5\n", true)
	f("TCP: inuse\nsockets: used 1\n", "sockstat_sockets_used 1\n", false)
	f("", "", true)
}

func TestParseProtocols(t *testing.T) {
	f := probetest.Gives(t, parseProtocols)
	f("Tcp: MaxConn CurrEstab New RetransSegs\nTcp: -1 4 7 2\nIp: A\nIp: 1\nUdp: NoPorts\nUdp: 3\n",
		"netstat_Tcp_CurrEstab 4\nnetstat_Tcp_RetransSegs 2\nnetstat_Udp_NoPorts 3\n", true)
	f("Tcp: CurrEstab InSegs\nTcp: 4\n", "netstat_Tcp_CurrEstab 4\n", false)
	f("Tcp: CurrEstab\nUdp: 4\n", "", false)
	f("Tcp: CurrEstab\nTcp: -4\n", "", false)
	f("Tcp: CurrEstab\n", "", false)
	f("", "", true)
}

func TestPacketsThatNoProtocolTook(t *testing.T) {
	h := probe.RootHost(probetest.Tree(t, map[string]string{
		"proc/net/dev": "", "sys/class/net/eth0/statistics/rx_nohandler": "7\n", "sys/class/net/bonding_masters": "bond0\n",
	}))
	var b strings.Builder
	if err := probe.WriteExposition(&b, probe.RunOnce(t.Context(), h, Probes()...)); err != nil {
		t.Fatal(err)
	}
	if want := "node_network_receive_nohandler_total{device=\"eth0\"} 7\n"; !strings.Contains(b.String(), want) {
		t.Errorf("%q, want %q", b.String(), want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("Inter-| Receive\n face |bytes\n  eth0:1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n")
	f.Add("sockets: used 16\nTCP: inuse 1 orphan 2 tw 3 alloc 4 mem 7\n")
	f.Add("Tcp: MaxConn CurrEstab\nTcp: -1 4\n")
	f.Fuzz(func(t *testing.T, in string) {
		var d dev
		probetest.Samples(t, d.parse, in)
		probetest.Samples(t, parseSockstat, in)
		probetest.Samples(t, parseProtocols, in)
	})
}
