package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
	"atalaya/shared/metric"
)

func linuxOnly(t testing.TB) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("reads folders with system calls of Linux")
	}
}

func statLine(pid int, name, state string, parent int, ticks, threads, start, pages uint64) string {
	flags := 0
	if parent == 2 {
		flags = kthread
	}
	return fmt.Sprintf("%d (%s) %s %d 0 0 0 -1 %d 0 0 0 0 %d 0 0 0 20 0 %d 0 %d 4096 %d 0 0\n", pid, name, state, parent, flags, ticks, threads, start, pages)
}

func TestParseStat(t *testing.T) {
	s, ok := parseStat([]byte(statLine(7, "a) (b\n1", "S", 1, 250, 3, 1000, 17)))
	if !ok || string(s.name) != "a) (b\n1" || s.state != 'S' || s.parent != 1 || s.ticks != 250 || s.threads != 3 || s.start != 1000 || s.pages != 17 || s.kernel {
		t.Errorf("%+v %v", s, ok)
	}
	for n, cut := range probetest.Cuts([]byte("1 (a) S 1 0 0 0 -1 0 0 0 0 0 9 0 0 0 20 0 1 0 5 0 7")) {
		if s, ok := parseStat(cut); ok && s.pages != 7 {
			t.Errorf("cut at %d: %+v", n, s)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte(statLine(1, "init", "S", 0, 1, 1, 1, 1)))
	f.Add([]byte("1 (a) S 1 0"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, ok := parseStat(b); ok && (s.pages >= 1<<50 || len(s.name) > len(b)) {
			t.Errorf("%+v", s)
		}
	})
}

// host is a machine of processes that a test sets.
type host struct {
	t    testing.TB
	root string
}

func newHost(t testing.TB) *host {
	linuxOnly(t)
	h := &host{t, memoryDir(t)}
	h.write("etc/passwd", "root:x:0:0::/root:/bin/sh\n")
	return h
}

// memoryDir returns a folder that lies in memory if it can: tests with 30,000 processes
// make as many folders.
func memoryDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "atalaya-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func (h *host) write(name, content string) {
	h.t.Helper()
	p := filepath.Join(h.root, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) process(pid int, name string, ticks, pages uint64) {
	h.write(fmt.Sprintf("proc/%d/stat", pid), statLine(pid, name, "S", 1, ticks, 1, uint64(pid), pages))
}

func (h *host) end(pid int) {
	if err := os.RemoveAll(filepath.Join(h.root, fmt.Sprintf("proc/%d", pid))); err != nil {
		h.t.Fatal(err)
	}
}

// collect runs a probe once and returns its samples by name and labels but the user.
func collect(t testing.TB, h *probe.Host, p probe.Probe) (map[string]float64, error) {
	t.Helper()
	dict := metric.NewDictionary(10_000, nil)
	r := probe.NewReport(dict, 0)
	err := p.Collect(t.Context(), h, r)
	out := make(map[string]float64)
	for _, s := range r.Samples() {
		name := dict.Series()[s.Series].Name
		for _, l := range dict.Series()[s.Series].Labels {
			if l.Name != "user" {
				name += "/" + l.Value
			}
		}
		out[name] += s.Value
	}
	return out, err
}

func TestTimeOfAGroupOutlivesItsProcesses(t *testing.T) {
	h := newHost(t)
	h.process(1, "init", 100, 10)
	h.process(20, "worker", 500, 50)
	h.process(21, "worker", 300, 50)
	p, live := New(Config{Top: 5}), probe.RootHost(h.root)
	got, err := collect(t, live, p)
	if err != nil || got["atalaya_process_cpu_seconds_total/worker"] != 8 || got["atalaya_process_count/worker"] != 2 ||
		got["node_processes_pids"] != 3 || got["node_processes_threads"] != 3 || got["node_processes_state/S"] != 3 {
		t.Fatalf("%v %v", got, err)
	}
	h.end(20)
	h.process(21, "worker", 350, 50)
	h.process(22, "worker", 25, 50) // new since the last scan: all its time is
	got, _ = collect(t, live, p)
	if v := got["atalaya_process_cpu_seconds_total/worker"]; v != 8.75 {
		t.Errorf("after one ended and one began: %v s, want 8.75", v)
	}
	h.end(21)
	h.end(22)
	got, _ = collect(t, live, p)
	if v := got["atalaya_process_cpu_seconds_total/worker"]; v != 8.75 || got["atalaya_process_count/worker"] != 0 {
		t.Errorf("after all ended: %v s, %v", v, got)
	}
	h.process(23, "worker", 5, 50)
	if got, _ = collect(t, live, p); got["atalaya_process_cpu_seconds_total/worker"] != 8.8 {
		t.Errorf("after they came back: %v", got)
	}
}

func TestAGroupStaysWhileItIsNearTheTop(t *testing.T) {
	h := newHost(t)
	for i := range 12 {
		h.process(100+i, fmt.Sprintf("p%02d", i), 0, uint64(1000-i))
	}
	p, live := New(Config{Top: 3}), probe.RootHost(h.root)
	reported := func() (names string) {
		got, _ := collect(t, live, p)
		for i := range 12 {
			if _, ok := got[fmt.Sprintf("atalaya_process_count/p%02d", i)]; ok {
				names += fmt.Sprintf(" p%02d", i)
			}
		}
		return names
	}
	if got := reported(); got != " p00 p01 p02" {
		t.Fatalf("%q", got)
	}
	h.process(100, "p00", 0, 996) // fifth now: near the top
	for range 3 * grace {
		if got := reported(); got != " p00 p01 p02 p03" {
			t.Fatalf("near the top: %q", got)
		}
	}
	h.process(100, "p00", 0, 1) // last
	for range grace {
		if got := reported(); !strings.Contains(got, "p00") {
			t.Fatalf("left at once: %q", got)
		}
	}
	if got := reported(); got != " p01 p02 p03" {
		t.Errorf("in the end: %q", got)
	}
}

func TestGroupsAreBounded(t *testing.T) {
	h := newHost(t)
	for i := range maxGroups + 200 {
		h.process(10+i, fmt.Sprintf("n%d", i), 1, 1)
	}
	p := New(Config{}).(*metrics)
	got, err := collect(t, probe.RootHost(h.root), p)
	if err != nil || len(p.table.groups) > maxGroups+1 || len(got) > 150 {
		t.Errorf("%d groups, %d samples, %v", len(p.table.groups), len(got), err)
	}
}

func TestCgroupsOfBothVersions(t *testing.T) {
	h := newHost(t)
	id := strings.Repeat("0123456789abcdef", 4)
	h.process(30, "nginx", 10, 10)
	h.write("proc/30/cgroup", "0::/system.slice/nginx.service/sub\n")
	h.write("sys/fs/cgroup/system.slice/nginx.service/cpu.stat", "usage_usec 2500000\nthrottled_usec 0\n")
	h.write("sys/fs/cgroup/system.slice/nginx.service/memory.current", "4096\n")
	h.write("sys/fs/cgroup/system.slice/nginx.service/memory.max", "max\n")
	h.write("sys/fs/cgroup/system.slice/nginx.service/memory.events", "low 0\noom 1\noom_kill 2\n")
	h.write("sys/fs/cgroup/system.slice/nginx.service/io.stat", "8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=1 wbytes=2 rios=1\n")
	h.write("sys/fs/cgroup/system.slice/nginx.service/io.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\nfull avg10=0 total=3\n")
	h.process(31, "app", 10, 10)
	h.write("proc/31/cgroup", "4:memory:/docker/"+id+"\n3:cpu,cpuacct:/docker/"+id+"/deeper\n2:blkio:/docker/"+id+"\n0::/\n")
	h.write("sys/fs/cgroup/memory/docker/"+id+"/memory.usage_in_bytes", "8192\n")
	h.write("sys/fs/cgroup/memory/docker/"+id+"/memory.limit_in_bytes", "9223372036854771712\n")
	h.write("sys/fs/cgroup/cpuacct/docker/"+id+"/cpuacct.usage", "3000000000\n")
	h.write("sys/fs/cgroup/blkio/docker/"+id+"/blkio.throttle.io_service_bytes", "8:0 Read 5\n8:0 Write 6\nTotal 11\n")
	got, err := collect(t, probe.RootHost(h.root), New(Config{}))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{
		"atalaya_cgroup_cpu_seconds_total//nginx.service": 2.5, "atalaya_cgroup_memory_bytes//nginx.service": 4096,
		"atalaya_cgroup_oom_kills_total//nginx.service": 2, "atalaya_cgroup_io_read_bytes_total//nginx.service": 11,
		"atalaya_cgroup_io_written_bytes_total//nginx.service": 22, "atalaya_cgroup_pressure_io_waiting_seconds_total//nginx.service": 1.5,
		"atalaya_cgroup_memory_bytes/0123456789ab/": 8192, "atalaya_cgroup_cpu_seconds_total/0123456789ab/": 3,
		"atalaya_cgroup_io_written_bytes_total/0123456789ab/": 6, "atalaya_cgroup_processes/0123456789ab/": 1,
	} {
		if got[name] != want {
			t.Errorf("%s = %v, want %v", name, got[name], want)
		}
	}
	for name := range got {
		if strings.Contains(name, "memory_limit") {
			t.Errorf("%s: there is no limit", name)
		}
	}
}

func FuzzParseCgroup(f *testing.F) {
	f.Add("0::/system.slice/nginx.service/sub\n")
	f.Add("4:memory:/docker/" + strings.Repeat("0123456789abcdef", 4) + "\n")
	f.Add("0::/user.slice/user-1000.slice/session-3.scope\n")
	f.Add("0::/../../etc\n")
	f.Fuzz(func(t *testing.T, s string) {
		_, container, at := parseCgroup(s)
		if len(container) >= 64 && strings.Trim(container, "0123456789abcdef") == "" && !strings.Contains(s, container) {
			t.Errorf("container %q", container)
		}
		for _, p := range []string{at.unified, at.cpuacct, at.memory, at.blkio} {
			if strings.Contains(p, "..") && strings.Contains("/"+p+"/", "/../") {
				t.Errorf("path %q leads out", p)
			}
		}
	})
}

func TestLongRunningProgramsAreOneRowEach(t *testing.T) {
	h := newHost(t)
	h.write("proc/uptime", "1000.00 5.0\n") // 100000 ticks: what started after 40000 is young
	program := func(pid int, name, cmdline string, start uint64) {
		h.write(fmt.Sprintf("proc/%d/stat", pid), statLine(pid, name, "S", 1, 1, 1, start, 1))
		h.write(fmt.Sprintf("proc/%d/cmdline", pid), strings.ReplaceAll(cmdline, " ", "\x00")+"\x00")
		h.write(fmt.Sprintf("proc/%d/cgroup", pid), "0::/system.slice/"+name+".service\n")
	}
	program(50, "web", "web --port 80 --password hunter2", 200)
	program(51, "web", "web --worker 1", 300)
	program(52, "young", "young", 90_000)
	h.write("proc/2/stat", statLine(2, "kthreadd", "S", 2, 1, 1, 1, 0))
	s := probetest.Sections(probe.RootHost(h.root), NewInventory())[facts.Processes.String()]
	if len(s.Rows) != 1 || s.Status != facts.StatusOK {
		t.Fatalf("%+v", s)
	}
	row := *s.Rows[0].(*facts.ProcessRow)
	row.User = ""
	if want := (facts.ProcessRow{Name: "web", Unit: "web", Command: "web --port 80 --password ***"}); row != want {
		t.Errorf("got %+v, want %+v", row, want)
	}
	h.write("proc/9/stat", "zzz")
	s = probetest.Sections(probe.RootHost(h.root), NewInventory())[facts.Processes.String()]
	if len(s.Rows) != 1 || s.Status != facts.StatusPartial || !strings.Contains(s.Reason, "/proc/9/stat") {
		t.Errorf("with a damaged file: %+v", s)
	}
	alone := probe.RootHost(probetest.Tree(t, map[string]string{"proc/9/stat": "zzz"}))
	if s := probetest.Sections(alone, NewInventory())[facts.Processes.String()]; s.Status != facts.StatusFailed {
		t.Errorf("with nothing but a damaged file: %+v", s)
	}
	if s := probetest.Sections(probe.RootHost(t.TempDir()), NewInventory())[facts.Processes.String()]; s.Status != facts.StatusUnsupported {
		t.Errorf("without /proc: %+v", s)
	}
}

func TestMask(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := command(strings.Split(in, " ")); got != want {
			t.Errorf("command(%q) = %q, want %q", in, got, want)
		}
	}
	f("nginx -g daemon off;", "nginx -g daemon off;")
	f("app --password=hunter2 --user=bob", "app --password=*** --user=bob")
	f("app --db-password hunter2 -v", "app --db-password *** -v")
	f("app --token -v", "app --token ***")
	f("mysql -phunter2 -P3306", "mysql -p*** -P3306")
	f("ssh -p2222 host", "ssh -p2222 host")
	f("psql postgres://bob:hunter2@db/x?sslmode=off", "psql postgres://bob:***@db/x?sslmode=off")
	f("curl -H Authorization:Bearer_abc http://x", "curl -H Authorization:*** ***")
	f("curl -u bob:hunter2 http://x", "curl -u *** http://x")
	f("sshpass -p hunter2 ssh host", "sshpass -p *** ssh host")
	f("redis-cli -a hunter2", "redis-cli -a ***")
	f("java -Dspring.datasource.password=x -Dport=1", "java -Dspring.datasource.password=*** -Dport=1")
	f("env AWS_SECRET_ACCESS_KEY=abc prog", "env AWS_SECRET_ACCESS_KEY=*** prog")
	f("prog --key-file=/etc/k.pem --config /etc/prog.conf", "prog --key-file=/etc/k.pem --config /etc/prog.conf")
	f("agent a8F3kQ9zX1mN7pL2vB5cT0yR4w", "agent ***")
	f("ls /usr/lib/x86_64-linux-gnu/libexec", "ls /usr/lib/x86_64-linux-gnu/libexec")
	f("a\x1b[2Jb", "a [2Jb")
	if got := command([]string{strings.Repeat("x ", 1000)}); len(got) > maxCommand {
		t.Errorf("%d bytes", len(got))
	}
}

func FuzzMask(f *testing.F) {
	f.Add("app --password=hunter2")
	f.Add("x\x00--token\x00secret")
	f.Fuzz(func(t *testing.T, s string) {
		if got := command(strings.Split(s, "\x00")); len(got) > maxCommand || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' }) {
			t.Errorf("%q", got)
		}
		if got := command([]string{"p", "--password", "hunter2secret" + strings.Trim(s, "- \x00")}); strings.Contains(got, "hunter2secret") {
			t.Errorf("%q", got)
		}
	})
}

// many makes a machine of n processes.
func many(t testing.TB, n int) *probe.Host {
	h := newHost(t)
	for i := range n {
		h.process(10+i, fmt.Sprintf("prog%d", i%60), uint64(i), uint64(i))
	}
	return probe.RootHost(h.root)
}

func TestScanOfManyProcesses(t *testing.T) {
	n := 30_000
	if testing.Short() {
		n = 3000
	}
	h := many(t, n)
	p := New(Config{}).(*metrics)
	got, err := collect(t, h, p)
	if err != nil || got["node_processes_pids"] != float64(n) {
		t.Fatalf("%v processes, %v", got["node_processes_pids"], err)
	}
	if len(got) > 4*4*defaultTop+20 {
		t.Errorf("%d samples", len(got))
	}
	if allocs := testing.AllocsPerRun(3, func() {
		if err := p.table.scan(t.Context(), h); err != nil {
			t.Fatal(err)
		}
	}); allocs > 30 {
		t.Errorf("%v allocations for a scan of %d known processes", allocs, n)
	}
}

func TestWhatAScanReadsIsCharged(t *testing.T) {
	linuxOnly(t)
	h := many(t, 100)
	stat, err := h.ReadFile("/proc/10/stat")
	if err != nil {
		t.Fatal(err)
	}
	c := probe.RunOnce(t.Context(), h, New(Config{})).Costs[0]
	if least := int64(100 * (len(stat) - 10)); c.LastReadBytes < least {
		t.Errorf("%d bytes for 100 files of some %d", c.LastReadBytes, len(stat))
	}
}

func TestProcessesThatMayNotBeSeenAreToldOf(t *testing.T) {
	if runtime.GOOS != "linux" || os.Getuid() == 0 {
		t.Skip("root sees all processes")
	}
	h := newHost(t)
	h.process(1, "init", 1, 1)
	h.process(60, "secret", 1, 1)
	if err := os.Chmod(filepath.Join(h.root, "proc/60/stat"), 0); err != nil {
		t.Fatal(err)
	}
	got, err := collect(t, probe.RootHost(h.root), New(Config{}))
	if !errors.Is(err, fs.ErrPermission) || got["node_processes_pids"] != 1 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestLiveScan(t *testing.T) {
	linuxOnly(t)
	p, h := New(Config{}), probe.LiveHost()
	for range 2 {
		got, err := collect(t, h, p)
		if err != nil && !errors.Is(err, fs.ErrPermission) || got["node_processes_pids"] < 2 || len(got) < 8 {
			t.Errorf("%v, %v", got, err)
		}
	}
}

func BenchmarkScan2000(b *testing.B) {
	h := many(b, 2000)
	t := newTable(h, defaultTop)
	if err := t.scan(b.Context(), h); err != nil { // meets them
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := t.scan(b.Context(), h); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkScanLive(b *testing.B) {
	linuxOnly(b)
	h := probe.LiveHost()
	t := newTable(h, defaultTop)
	_ = t.scan(b.Context(), h) // meets them
	b.ReportAllocs()
	for b.Loop() {
		_ = t.scan(b.Context(), h) // hidepid is no reason not to measure
	}
	b.ReportMetric(float64(t.pids), "processes")
}

func TestFilesWithoutProcessesDoNotSayThatNoneRuns(t *testing.T) {
	root := probetest.Tree(t, map[string]string{"proc/sys/kernel/pid_max": "32768\n", "proc/7/stat": "\x00", "proc/uptime": "1 1\n"})
	p := New(Config{})
	got, err := probetest.Samples(t, func(r *probe.Report, _ []byte) error { return p.Collect(t.Context(), probe.RootHost(root), r) }, "")
	if got != "processes_max_processes 32768\n" || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%q, %v", got, err)
	}
}
