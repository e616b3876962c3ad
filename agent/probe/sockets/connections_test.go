package sockets

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

const connected = `
-- proc/sys/net/ipv4/ip_local_port_range --
32768	60999
-- proc/net/tcp --
   0: 00000000:0050 00000000:0000 0A 0:0 0:0 0 33 0 100 1
   1: 0A00000A:0050 0B00000A:C350 01 0:0 0:0 0 33 0 101 1
   2: 0A00000A:0050 0B00000A:C351 01 0:0 0:0 0 33 0 102 1
   3: 0A00000A:9C40 0C00000A:1538 01 0:0 0:0 0 33 0 103 1
   4: 0A00000A:9C41 0C00000A:1538 01 0:0 0:0 0 33 0 104 1
   5: 0A00000A:9C42 0C00000A:1538 06 0:0 0:0 0 33 0 0 1
   6: 0A00000A:0016 0D00000A:C000 01 0:0 0:0 0 0 0 105 1
   7: 0A00000A:02BC 0E00000A:0801 01 0:0 0:0 0 0 0 106 1
-- proc/net/tcp6 --
   0: 0000000000000000FFFF00000A00000A:0050 0000000000000000FFFF00000B00000A:C352 01 0:0 0:0 0 33 0 107 1
-- proc/net/udp --
   0: 0A00000A:9C45 0F00000A:0035 01 0:0 0:0 0 33 0 108 1
-- proc/30/comm --
nginx
-- proc/30/cgroup --
0::/system.slice/nginx.service
-- proc/40/comm --
sshd
-- proc/50/comm --
db
-- proc/50/cgroup --
0::/system.slice/docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope
-- proc/50/net/tcp --
   0: 00000000:1538 00000000:0000 0A 0:0 0:0 0 999 0 200 1
   1: 0200000A:1538 0A00000A:9C40 01 0:0 0:0 0 999 0 201 1
-- links --
proc/1/ns/net -> net:[1]
proc/30/ns/net -> net:[1]
proc/50/ns/net -> net:[2]
proc/30/exe -> /usr/sbin/nginx
proc/30/fd/3 -> socket:[100]
proc/30/fd/4 -> socket:[101]
proc/30/fd/5 -> socket:[102]
proc/30/fd/6 -> socket:[103]
proc/30/fd/7 -> socket:[104]
proc/30/fd/8 -> socket:[107]
proc/30/fd/9 -> socket:[108]
proc/40/fd/3 -> socket:[105]
proc/50/fd/3 -> socket:[200]
proc/50/fd/4 -> socket:[201]
`

func TestConnectionsAreToldByProgramAndPeer(t *testing.T) {
	got := probetest.Sections(probetest.Unpack(t, []byte(connected)), New(0))
	const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	nginx := facts.ConnectionRow{Process: "nginx", Exe: "/usr/sbin/nginx", Unit: "nginx"}
	with := func(r facts.ConnectionRow, direction, protocol, remote string, remotePort, localPort int) facts.Row {
		r.Direction, r.Protocol, r.RemoteAddress, r.RemotePort, r.LocalPort = direction, protocol, remote, remotePort, localPort
		return &r
	}
	want := []facts.Row{
		with(facts.ConnectionRow{Process: "db", Container: id, Namespace: id}, "in", "tcp", "10.0.0.10", 0, 5432),
		with(nginx, "in", "tcp", "10.0.0.11", 0, 80),
		with(facts.ConnectionRow{Process: "sshd"}, "in", "tcp", "10.0.0.13", 0, 22), // its listener has gone
		with(nginx, "out", "tcp", "10.0.0.12", 5432, 0),
		with(facts.ConnectionRow{}, "out", "tcp", "10.0.0.14", 2049, 0), // of the kernel
		with(nginx, "out", "udp", "10.0.0.15", 53, 0),
	}
	s := got["connections"]
	if d := cmp.Diff(want, s.Rows); d != "" || s.Status != facts.StatusOK {
		t.Errorf("status %v %s, -want +got:\n%s", s.Status, s.Reason, d)
	}
	if rows := got["listening_sockets"].Rows; len(rows) != 2 || rows[0].(*facts.ListeningSocketRow).Container != id {
		t.Errorf("listening: got %+v, want nginx and the container's", rows)
	}
}

// read is a world with connections of one client program to peers and ports.
func read(flows ...flow) (*world, *scanner, *directory) {
	h := probe.RootHost("/nonexistent")
	return &world{host: h, spaces: []namespace{{}}, flows: flows}, &scanner{}, newDirectory(h)
}

func peer(n int, port uint16) flow {
	return flow{remote: netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}).As16(), local: 40000, port: port}
}

func TestConnectionStaysForADay(t *testing.T) {
	p := New(0).(*socketProbe)
	at := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	count := func(now time.Time, want int, flows ...flow) {
		t.Helper()
		w, scan, known := read(flows...)
		if rows, _ := p.connections(now, w, scan, known); len(rows) != want {
			t.Errorf("at %s: got %d rows, want %d", now, len(rows), want)
		}
	}
	count(at, 1, peer(1, 5432))
	count(at.Add(time.Hour), 2, peer(2, 5432))
	count(at.Add(keepFor-time.Second), 2)
	count(at.Add(keepFor), 1)
	count(at.Add(keepFor+time.Hour), 0)
}

func TestPeersAreBoundedAndDoNotChange(t *testing.T) {
	p := New(0).(*socketProbe)
	now := time.Now()
	keys := func(from int) map[string]bool {
		var flows []flow
		for n := range 5000 {
			flows = append(flows, peer(from+n, 443))
		}
		flows = append(flows, peer(from+4999, 443)) // the busiest
		w, scan, known := read(flows...)
		rows, left := p.connections(now, w, scan, known)
		if len(rows) != maxPeers || len(left) != 1 {
			t.Errorf("got %d rows, %q, want %d and a remark", len(rows), left, maxPeers)
		}
		m := make(map[string]bool)
		for _, r := range rows {
			m[r.RemoteAddress] = true
		}
		return m
	}
	first := keys(0)
	if !first["10.0.19.135"] {
		t.Error("the busiest peer is not listed")
	}
	if d := cmp.Diff(first, keys(2500)); d != "" {
		t.Errorf("other peers at the next reading:\n%s", d)
	}
}

// TestWhatIsOpenIsListedWhenAllPlacesAreTaken has many programs that fill the section, two
// readings one hour apart, and then connect no more.
func TestWhatIsOpenIsListedWhenAllPlacesAreTaken(t *testing.T) {
	p := New(0).(*socketProbe)
	at := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	for n := range maxConnections {
		seen := at
		if n%2 == 0 {
			seen = at.Add(time.Hour)
		}
		p.memory[talk{group{who: process{name: fmt.Sprint("program", n/100)}}, peer(n, 0).remote, 443}] = seen
	}
	read := func(at time.Time, flows ...flow) (list map[string]bool, left []string) {
		w, scan, known := read(flows...)
		rows, left := p.connections(at, w, scan, known)
		list = make(map[string]bool)
		for _, r := range rows {
			list[r.RemoteAddress] = true
		}
		if len(rows) != maxConnections || len(list) != maxConnections {
			t.Errorf("%d rows, %d peers", len(rows), len(list))
		}
		return list, left
	}
	list, left := read(at.Add(2*time.Hour), peer(1<<20, 25), peer(1<<20+1, 25))
	if !list["10.16.0.0"] || !list["10.16.0.1"] || len(left) != 0 {
		t.Errorf("connections that are open are not listed; %q", left)
	}
	for n := range maxConnections {
		if a := netip.AddrFrom16(peer(n, 0).remote).Unmap().String(); n%2 == 0 && !list[a] {
			t.Fatalf("%s was forgotten before those that were seen earlier", a)
		}
	}
	for i := range p.memory {
		p.memory[i] = at.Add(3 * time.Hour) // all are open now
	}
	if list, left = read(at.Add(3*time.Hour), peer(1<<21, 25)); list["10.32.0.0"] || len(left) != 1 {
		t.Errorf("one more than there is room for: %q", left)
	}
}

func TestManyPortsOfAPeerAreOneRow(t *testing.T) {
	var flows []flow
	for n := range 50 {
		flows = append(flows, peer(1, uint16(50000+n)))
	}
	w, scan, known := read(append(flows, peer(1, 21), peer(2, 50000))...)
	rows, _ := New(0).(*socketProbe).connections(time.Now(), w, scan, known)
	got := make(map[string]bool)
	for _, r := range rows {
		got[fmt.Sprint(r.RemoteAddress, " ", r.RemotePort)] = true
	}
	if d := cmp.Diff(map[string]bool{"10.0.0.1 0": true, "10.0.0.1 21": true, "10.0.0.2 50000": true}, got); d != "" {
		t.Error(d)
	}
}

func TestDamagedTablesEndTheReading(t *testing.T) {
	for n, text := range probetest.Cuts(connected) {
		if n%31 != 0 {
			continue
		}
		files := strings.NewReplacer("\n-- links --", "\n-- was/links --").Replace(text)
		for name, s := range probetest.Sections(probetest.Unpack(t, []byte(files)), New(0)) {
			if s.Status == facts.StatusUnknown {
				t.Fatalf("%s: %v", name, s.Status)
			}
		}
	}
}

// TestConnectionsSameAsSS connects within this machine and compares with iproute2.
func TestConnectionsSameAsSS(t *testing.T) {
	ss, err := exec.LookPath("ss")
	if err != nil || runtime.GOOS != "linux" {
		t.Skip("ss(8) is not installed")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 3 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
	}
	port := l.Addr().(*net.TCPAddr).Port
	read := func() map[string]string {
		m := make(map[string]string)
		for _, row := range probetest.Sections(probe.LiveHost(), New(0))["connections"].Rows {
			r := row.(*facts.ConnectionRow)
			m[fmt.Sprint(r.Protocol, " ", r.RemoteAddress, " ", r.LocalPort, " ", r.RemotePort)] = r.Process
		}
		return m
	}
	before := read()
	out, err := exec.Command(ss, "-Htunp", "state", "established").Output()
	if err != nil {
		t.Skipf("ss: %v", err)
	}
	user := regexp.MustCompile(`"([^"]*)",pid=`)
	want := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		local, remote := netip.MustParseAddrPort(f[3]), netip.MustParseAddrPort(f[4])
		owner := ""
		if u := user.FindStringSubmatch(line); u != nil {
			owner = u[1]
		}
		name := fmt.Sprint(f[0], " ", remote.Addr().Unmap(), " 0 ", remote.Port())
		if _, ours := before[name]; !ours {
			name = fmt.Sprint(f[0], " ", remote.Addr().Unmap(), " ", local.Port(), " 0")
		}
		want[name] = owner
	}
	for _, name := range []string{fmt.Sprintf("tcp 127.0.0.1 %d 0", port), fmt.Sprintf("tcp 127.0.0.1 0 %d", port)} {
		if want[name] == "" || before[name] != want[name] {
			t.Errorf("%s: got %q, ss says %q", name, before[name], want[name])
		}
	}
	sameBut(t, before, want, read())
}

// TestOtherNamespacesAreRead makes one with a listener in it.
func TestOtherNamespacesAreRead(t *testing.T) {
	python, errPython := exec.LookPath("python3")
	unshare, err := exec.LookPath("unshare")
	if err != nil || errPython != nil || os.Geteuid() != 0 {
		t.Skip("needs unshare(1), python3 and root")
	}
	const program = `import socket,sys
s=socket.socket();s.bind(("0.0.0.0",4711));s.listen()
print("ready",flush=True);sys.stdin.read()`
	cmd := exec.Command(unshare, "-n", python, "-c", program)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("unshare: %v", err)
	}
	defer func() {
		in.Close() // ends it
		if err := cmd.Wait(); err != nil {
			t.Logf("unshare: %v", err)
		}
	}()
	if _, err := out.Read(make([]byte, 5)); err != nil {
		t.Skipf("no namespace here: %v", err)
	}
	h := probe.LiveHost()
	spaces := namespaces(t.Context(), h, []int{cmd.Process.Pid})
	if len(spaces) != 2 {
		t.Fatalf("got namespaces %+v, want ours and that of %d", spaces, cmd.Process.Pid)
	}
	byFiles, entered := world{host: h, spaces: spaces}, world{host: h, spaces: spaces}
	if err := entered.enter(1); err != nil {
		t.Skipf("enter: %v", err)
	}
	if err := byFiles.readFiles(1, fmt.Sprintf("/proc/%d/net", cmd.Process.Pid)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(fmt.Sprint(byFiles.listening), fmt.Sprint(entered.listening)); d != "" || len(entered.listening) != 1 {
		t.Errorf("files (-) and sock_diag (+) differ:\n%s", d)
	}
	for _, row := range probetest.Sections(h, New(0))["listening_sockets"].Rows {
		if r := row.(*facts.ListeningSocketRow); r.Port == 4711 && r.PID == cmd.Process.Pid && r.Namespace != "" {
			return
		}
	}
	t.Error("the listener in the other namespace is not listed with its process")
}

// BenchmarkManyConnections looks at 100,000 sockets of 100 processes in the form of
// files; the walk over their links is left out.
func BenchmarkManyConnections(b *testing.B) {
	flows := make([]flow, 100_000)
	wanted := make([]owner, len(flows))
	for i := range flows {
		flows[i] = peer(i, 443)
		flows[i].inode = uint64(i + 1)
		wanted[i] = owner{inode: uint64(i + 1), pid: i % 100}
	}
	b.ReportAllocs()
	for b.Loop() {
		w, scan, known := read(append([]flow(nil), flows...)...)
		scan.wanted = wanted
		w.inodes()
		if rows, _ := New(0).(*socketProbe).connections(time.Now(), w, scan, known); len(rows) != maxPeers {
			b.Fatalf("%d rows", len(rows))
		}
	}
}

func TestRowsAreJSON(t *testing.T) {
	for _, row := range probetest.Sections(probetest.Unpack(t, []byte(connected)), New(0))["connections"].Rows {
		if b, err := json.Marshal(row); err != nil || strings.Contains(string(b), `"local_port":0`) {
			t.Errorf("%s, %v: want what is not known to be absent", b, err)
		}
	}
}
