package sockets

import (
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
)

func states(t *testing.T, h *probe.Host) (string, error) {
	t.Helper()
	return probetest.Samples(t, func(r *probe.Report, _ []byte) error { return Probes()[0].Collect(t.Context(), h, r) }, "")
}

func TestStatesOfTCPSocketsOfARoot(t *testing.T) {
	const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	line := func(state, queues string) string {
		return "   0: 0100007F:1F90 00000000:0000 " + state + " " + queues + " 00:00000000 00000000  1000        0 77 1 0 100 0\n"
	}
	v6 := "   0: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 78 1\n"
	root := probetest.Tree(t, map[string]string{
		"proc/net/tcp": head + line("0A", "00000000:00000002") + line("01", "00000010:00000000") + line("06", "0:0") + line("06", "0:0") +
			line("08", "00000000:000000FF") + line("0C", "0:0") + line("7F", "0:0"),
		"proc/net/tcp6": head + v6,
	})
	want := `tcp_connection_states established 1
tcp_connection_states syn_sent 0
tcp_connection_states syn_recv 1
tcp_connection_states fin_wait1 0
tcp_connection_states fin_wait2 0
tcp_connection_states time_wait 2
tcp_connection_states close 0
tcp_connection_states close_wait 1
tcp_connection_states last_ack 0
tcp_connection_states listen 2
tcp_connection_states closing 0
tcp_connection_states rx_queued_bytes 255
tcp_connection_states tx_queued_bytes 16
`
	if got, err := states(t, probe.RootHost(root)); got != want || err != nil {
		t.Errorf("got\n%s%v, want\n%s", got, err, want)
	}
	for _, damaged := range []string{"zzz", head[:30], head + line("0A", "0:0")[:40], head + "zzz\n"} {
		probetest.Write(t, root, "proc/net/tcp", []byte(damaged))
		if got, err := states(t, probe.RootHost(root)); got != "" || err == nil {
			t.Errorf("%q: %q, %v", damaged, got, err)
		}
	}
	if got, err := states(t, probe.RootHost(t.TempDir())); got != "" || err == nil {
		t.Errorf("without files: %q, %v", got, err)
	}
}

func TestStatesOfTCPSocketsOfThisMachine(t *testing.T) {
	if _, err := dial(t).Write([]byte("seven b")); err != nil {
		t.Fatal(err)
	}
	got, err := states(t, probe.LiveHost())
	if filesTell(probe.LiveHost()) != nil {
		t.Skip("not told here")
	}
	for _, name := range []string{"listen", "established", "rx_queued_bytes"} {
		if !strings.Contains(got, "states "+name+" ") || strings.Contains(got, "states "+name+" 0\n") {
			t.Errorf("%s is not told, %v:\n%s", name, err, got)
		}
	}
}

func BenchmarkStates(b *testing.B) {
	p, h := Probes()[0], probe.LiveHost()
	probetest.Benchmark(b, h, p)
}

func TestHiddenProcessesAreToldOf(t *testing.T) {
	some := []owner{{inode: 7}, {inode: 8, pid: 5}}
	if got := (&scanner{wanted: some, hidden: true}).shortcoming(); got == nil || !strings.Contains(got.Error(), "hidepid") {
		t.Errorf("%v", got)
	}
	if got := (&scanner{wanted: some[1:], hidden: true}).shortcoming(); got != nil {
		t.Errorf("all sockets have a process: %v", got)
	}
}
