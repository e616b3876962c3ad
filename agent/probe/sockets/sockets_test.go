package sockets

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

func TestRecordedHost(t *testing.T) {
	probetest.Golden(t, "debian-12-sockets", New(0))
}

// TestOwnSocketIsFoundWithItsProcess listens and looks for itself.
func TestOwnSocketIsFoundWithItsProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("sockets are read on Linux only")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.ListenPacket("udp", "127.0.0.1:0") // of the range for clients
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	u, err := net.ListenPacket("udp", l.Addr().String()) // a server of both
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	want := map[string]bool{
		fmt.Sprint("tcp ", l.Addr()): true, fmt.Sprint("udp ", u.LocalAddr()): true,
	}
	for _, row := range probetest.Sections(probe.LiveHost(), New(0))["listening_sockets"].Rows {
		r := row.(*facts.ListeningSocketRow)
		name := fmt.Sprintf("%s %s:%d", r.Protocol, r.Address, r.Port)
		if name == fmt.Sprint("udp ", client.LocalAddr()) {
			t.Errorf("the socket of a client listens: %+v", r)
		}
		if !want[name] {
			continue
		}
		delete(want, name)
		if r.PID != os.Getpid() || r.UID != os.Getuid() || !strings.HasSuffix(r.Exe, ".test") {
			t.Errorf("%s: got process %d %q of %d, want %d", name, r.PID, r.Exe, r.UID, os.Getpid())
		}
	}
	if len(want) > 0 {
		t.Errorf("not found: %v", want)
	}
}

// TestSameAsSS compares with iproute2 on the machine of the test. ss(8) writes a
// socket for both families as "*".
func TestSameAsSS(t *testing.T) {
	ss, err := exec.LookPath("ss")
	if err != nil || runtime.GOOS != "linux" {
		t.Skip("ss(8) is not installed")
	}
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	before := liveSockets()
	out, err := exec.Command(ss, "-Hlntu", "-p").Output()
	if err != nil {
		t.Skipf("ss: %v", err)
	}
	after := liveSockets()
	first, last := clientPorts(probe.LiveHost())
	user := regexp.MustCompile(`"([^"]*)",pid=(\d+)`)
	endpoint := regexp.MustCompile(`^(.*?)(%[^:]*)?:(\d+)$`)
	want := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		m := endpoint.FindStringSubmatch(f[4])
		address := strings.Trim(m[1], "[]")
		if address == "*" {
			address = "::"
		}
		protocol := f[0]
		if strings.Contains(address, ":") {
			protocol += "6"
		}
		owner := ""
		if u := user.FindStringSubmatch(line); u != nil {
			owner = u[1]
		}
		if port, err := strconv.Atoi(m[3]); err == nil && f[0] == "udp" && uint16(port) >= first && uint16(port) <= last {
			continue // of clients, but for some
		}
		want[protocol+" "+address+" "+m[3]] = owner
	}
	sameBut(t, before, want, after)
}

// liveSockets are the processes of the sockets of this machine.
func liveSockets() map[string]string {
	m := make(map[string]string)
	res := probe.RunOnce(context.Background(), probe.LiveHost(), New(0))
	for _, row := range res.Readings[0].Rows {
		r := row.(*facts.ListeningSocketRow)
		m[fmt.Sprint(r.Protocol, " ", r.Address, " ", r.Port)] = r.Process
	}
	return m
}

// sameBut compares other with our readings before and after it: other programs open
// and close sockets meanwhile.
func sameBut(t *testing.T, before, other, after map[string]string) {
	t.Helper()
	for k, v := range before {
		if w, ok := after[k]; ok && w == v && other[k] != v {
			t.Errorf("%s of %q: the other source says %q", k, v, other[k])
		}
	}
	for k, v := range other {
		if before[k] != v && after[k] != v {
			t.Errorf("%s of %q: only in the other source", k, v)
		}
	}
}

// dial makes a connection on this machine, to a listener that does not take it.
func dial(t *testing.T) net.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestBothSourcesAgree reads the same sockets by sock_diag and from /proc/net.
func TestBothSourcesAgree(t *testing.T) {
	dial(t)
	if u, err := net.ListenPacket("udp", "[::1]:0"); err == nil { // else no IPv6 here
		defer u.Close()
	}
	set := func(read func(visit func(*endpoint)) error) map[string]string {
		m := make(map[string]string)
		err := read(func(e *endpoint) {
			if e.state == stateListen || e.state == stateEstablished || e.state == stateClosed && e.protocol[0] == 'u' {
				m[fmt.Sprint(*e)] = "listed"
			}
		})
		if err != nil {
			t.Skipf("not to be had here: %v", err)
		}
		return m
	}
	diag := func(visit func(*endpoint)) error { return diagnose(probe.LiveHost(), nil, peers(), visit) }
	files := func(visit func(*endpoint)) error {
		for _, protocol := range []string{"tcp", "tcp6", "udp", "udp6"} {
			b, err := probe.LiveHost().ReadFile("/proc/net/" + protocol)
			if err != nil {
				return err
			}
			parseTable(protocol, b, visit)
		}
		return nil
	}
	before := set(diag)
	other := set(files)
	if len(other) < 3 {
		t.Errorf("got %v, want the listener and both ends", other)
	}
	sameBut(t, before, other, set(diag))
}

const tables = `
-- proc/net/tcp --
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 100 1 0 100 0 0 10 0
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 101 1 0 100 0 0 10 0
   2: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000    33        0 102 1 0 100 0 0 10 0
   3: 00000000:0801 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 103 1 0 100 0 0 10 0
   4: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 104 1 0 100 0 0 10 0
   5: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 105 1 0 100 0 0 10 0
damaged line
   6: 0100007F 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 106
-- proc/net/udp6 --
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  10: 00000000000000000000000000000000:0035 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 110 2 0 0
  11: 0000000000000000FFFF00000100007F:1111 0000000000000000FFFF00000100007F:2222 01 00000000:00000000 00:00000000 00000000   101        0 111 2 0 0
-- proc/1/comm --
systemd
-- proc/20/comm --
sshd
-- proc/20/cgroup --
0::/system.slice/ssh.service
-- proc/30/comm --
nginx
-- proc/30/cgroup --
12:cpu:/x.service
1:name=systemd:/system.slice/nginx.service
-- proc/31/comm --
nginx
-- proc/40/comm --
dnsmasq
-- proc/99/ --
-- links --
proc/1/fd/5 -> socket:[101]
proc/1/exe -> /usr/lib/systemd/systemd
proc/20/fd/3 -> socket:[101]
proc/20/fd/0 -> /dev/null
proc/20/exe -> /usr/sbin/sshd (deleted)
proc/30/fd/7 -> socket:[104]
proc/30/fd/8 -> socket:[105]
proc/30/fd/9 -> socket:[100]
proc/31/fd/8 -> socket:[105]
proc/40/fd/4 -> socket:[110]
`

func TestSocketsMeetTheirProcesses(t *testing.T) {
	s := probetest.Sections(probetest.Unpack(t, []byte(tables)), New(0))["listening_sockets"]
	want := []facts.Row{
		&facts.ListeningSocketRow{Protocol: "tcp", Address: "0.0.0.0", Port: 2049}, // of the kernel
		&facts.ListeningSocketRow{Protocol: "tcp", Address: "0.0.0.0", Port: 22, Process: "sshd", PID: 20, Exe: "/usr/sbin/sshd", Unit: "ssh"},
		&facts.ListeningSocketRow{Protocol: "tcp", Address: "0.0.0.0", Port: 80, Process: "nginx", PID: 30, UID: 33, Unit: "nginx"},
		&facts.ListeningSocketRow{Protocol: "tcp", Address: "127.0.0.1", Port: 8080, Process: "nginx", PID: 30, UID: 33, Unit: "nginx"},
		&facts.ListeningSocketRow{Protocol: "udp6", Address: "::", Port: 53, Process: "dnsmasq", PID: 40, UID: 101},
	}
	if d := cmp.Diff(want, s.Rows); d != "" || s.Status != facts.StatusPartial || s.Reason != "/proc/net/tcp: 2 of 9 lines do not fit, line 8 first" {
		t.Errorf("status %v %s, -want +got:\n%s", s.Status, s.Reason, d)
	}
}

func TestUnreadableProcessesLeaveTheListComplete(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read every folder")
	}
	h := probetest.Unpack(t, []byte(tables))
	fd, err := h.Path("/proc/40/fd")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(fd, 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(fd, 0o755)
	s := probetest.Sections(h, New(0))["listening_sockets"]
	if s.Status != facts.StatusOK || len(s.Rows) != 5 || !strings.Contains(s.Reason, "permission denied") {
		t.Errorf("got %v with %d rows, %q", s.Status, len(s.Rows), s.Reason)
	}
}

func TestNoTablesIsUnsupported(t *testing.T) {
	if s := probetest.Sections(probe.RootHost(t.TempDir()), New(0))["listening_sockets"]; s.Status != facts.StatusUnsupported {
		t.Errorf("got %v %q, want unsupported", s.Status, s.Reason)
	}
	h := probetest.Unpack(t, []byte("-- proc/net/tcp --\n  sl  local_address\n"))
	if s := probetest.Sections(h, New(0))["listening_sockets"]; s.Status != facts.StatusEmpty {
		t.Errorf("got %v %q, want empty", s.Status, s.Reason)
	}
}

func TestSocketInode(t *testing.T) {
	f := func(in string, want uint64) {
		t.Helper()
		if got, ok := socketInode([]byte(in)); got != want || ok != (want != 0) {
			t.Errorf("socketInode(%q) = %d, %v", in, got, ok)
		}
	}
	f("socket:[123]", 123)
	f("socket:[0]", 0)
	f("socket:[]", 0)
	f("socket:[12", 0)
	f("pipe:[12]", 0)
	f("/dev/null", 0)
}

func FuzzTable(f *testing.F) {
	f.Add("tcp", []byte("   0: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 33 0 100 1\n"))
	f.Add("udp6", []byte("  10: 00000000000000000000000000000000:0035 0:0 07 0:0 0:0 0 101 0 110 2"))
	f.Fuzz(func(t *testing.T, protocol string, b []byte) {
		if protocol == "" {
			return
		}
		parseTable(protocol, b, func(e *endpoint) {
			if !e.local.IsValid() || !e.remote.IsValid() || e.uid < 0 {
				t.Errorf("got %+v", *e)
			}
		})
		socketInode(b)
	})
}

func TestDiagAnswers(t *testing.T) {
	body := make([]byte, 72)
	copy(body, []byte{2, 10, 0, 0, 0x1f, 0x90, 0, 0, 127, 0, 0, 1})
	binary.NativeEndian.PutUint32(body[64:], 33)
	binary.NativeEndian.PutUint32(body[68:], 4711)
	want := endpoint{
		state: stateListen, protocol: "tcp", local: netip.MustParseAddr("127.0.0.1"), remote: netip.MustParseAddr("0.0.0.0"),
		port: 8080, uid: 33, inode: 4711,
	}
	f := func(kind uint16, in []byte, sockets int, fail bool) {
		t.Helper()
		var list []endpoint
		err := diagVisitor("tcp", func(e *endpoint) { list = append(list, *e) })(kind, in)
		if len(list) != sockets || (err != nil) != fail {
			t.Errorf("%d of %d bytes: got %d sockets, error %v", kind, len(in), len(list), err)
		}
		if sockets > 0 && list[0] != want {
			t.Errorf("got %+v, want %+v", list[0], want)
		}
	}
	f(20, body, 1, false)
	f(18, body, 1, false)
	f(1, body, 0, false)
	f(20, body[:40], 0, true)
	f(20, nil, 0, true)
}

func FuzzDiag(f *testing.F) {
	f.Add(uint16(20), make([]byte, 72))
	f.Fuzz(func(t *testing.T, kind uint16, b []byte) {
		diagVisitor("tcp", func(e *endpoint) { //nolint:errcheck // damage ends it; what came before counts
			if !e.local.IsValid() || !e.remote.IsValid() {
				t.Errorf("got %+v", *e)
			}
		})(kind, b)
	})
}

func BenchmarkCollect(b *testing.B) {
	probetest.Benchmark(b, probe.LiveHost(), New(0))
}

func BenchmarkParseTable(b *testing.B) {
	line := "   0: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000    33        0 102 1 0000000000000000 100 0 0 10 0\n"
	text := []byte(strings.Repeat(line, 10_000))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		parseTable("tcp", text, func(*endpoint) {})
	}
}
