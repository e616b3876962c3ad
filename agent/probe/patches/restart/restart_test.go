package restart

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

const recorded = "debian-12-restart"

func TestRestartOfARecordedHost(t *testing.T) { probetest.Golden(t, recorded, New()) }

// TestAReplacedLibraryNamesItsDaemon replaces a library under a running program, as a
// package manager does: by rename.
func TestAReplacedLibraryNamesItsDaemon(t *testing.T) {
	library := someLibrary(t)
	dir := t.TempDir()
	mapped := filepath.Join(dir, "libexample.so.1")
	copyFile(t, library, mapped)
	cmd := exec.Command("/bin/cat")
	cmd.Env = []string{"LD_PRELOAD=" + mapped}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}()
	fmt.Fprintln(in, "ready")
	if line, _, err := bufio.NewReader(out).ReadLine(); string(line) != "ready" {
		t.Fatal(err) // it has answered: so it has loaded its libraries
	}
	p := New()
	if row := rowOf(t, p, cmd.Process.Pid); row != nil {
		t.Fatalf("before the upgrade: %+v", row)
	}
	copyFile(t, library, mapped+".new")
	if err := os.Rename(mapped+".new", mapped); err != nil {
		t.Fatal(err)
	}
	row := rowOf(t, p, cmd.Process.Pid)
	if row == nil || row.Process != "cat" || !slices.Equal(row.Files, []string{mapped}) || row.UID != os.Getuid() {
		t.Errorf("after the upgrade: %+v", row)
	}
}

func rowOf(t *testing.T, p probe.Probe, pid int) *facts.RestartRow {
	t.Helper()
	for _, row := range probetest.Sections(probe.LiveHost(), p)["restart_needed"].Rows {
		if r := row.(*facts.RestartRow); r.PID == pid {
			return r
		}
	}
	return nil
}

func someLibrary(t *testing.T) string {
	t.Helper()
	for _, pattern := range []string{"/lib/*/libz.so.1", "/usr/lib/*/libz.so.1", "/lib/*/libm.so.6", "/usr/lib64/libm.so.6", "/usr/lib/libm.so.6"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return found[0]
		}
	}
	t.Skip("no library to copy")
	return ""
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestDeletedFiles(t *testing.T) {
	line := func(perms, name string) string {
		return "7f0c1c0d0000-7f0c1c1f6000 " + perms + " 00026000 fe:01 131236                     " + name + "\n"
	}
	for name, c := range map[string]struct{ maps, want string }{
		"library":      {line("r-xp", "/usr/lib/libc.so.6 (deleted)"), "/usr/lib/libc.so.6"},
		"kept":         {line("r-xp", "/usr/lib/libc.so.6"), ""},
		"data":         {line("r--p", "/usr/share/x (deleted)"), ""},
		"memory":       {line("r-xs", "/memfd:jit (deleted)") + line("rwxs", "/dev/zero (deleted)") + line("rwxs", "/SYSV00000000 (deleted)"), ""},
		"blank":        {line("r-xp", "/opt/a b/l.so (deleted)"), "/opt/a b/l.so"},
		"line_break":   {line("r-xp", `/opt/a\012b (deleted)`), "/opt/a\nb"},
		"named_so":     {line("r-xp", "/opt/x (deleted) (deleted)"), "/opt/x (deleted)"},
		"anonymous":    {line("rwxp", ""), ""},
		"torn":         {"7f0c1c0d0000 (deleted)\n(deleted)\n (deleted)\n", ""},
		"several_maps": {line("r-xp", "/a (deleted)") + line("r-xp", "/b (deleted)") + line("r-xp", "/a (deleted)"), "/a,/b"},
	} {
		if got := strings.Join(deletedFiles(nil, []byte(c.maps)), ","); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestADeletedProgramIsToldWhereverItLay leaves out what programs map below /tmp by
// themselves.
func TestADeletedProgramIsToldWhereverItLay(t *testing.T) {
	line := func(name string) string { return "7f0-7f1 r-xp 0 fe:01 1 " + name + " (deleted)\n" }
	root := procTree(t, line("/tmp/tool")+line("/tmp/jit.1"), line("/run/shared.2"))
	if err := os.Symlink("/tmp/tool (deleted)", filepath.Join(root, "proc/1/exe")); err != nil {
		t.Fatal(err)
	}
	rows := probetest.Sections(probe.RootHost(root), New())["restart_needed"].Rows
	if len(rows) != 1 || !slices.Equal(rows[0].(*facts.RestartRow).Files, []string{"/tmp/tool"}) {
		t.Errorf("%+v", rows)
	}
}

// procTree makes processes with the given maps.
func procTree(t testing.TB, tables ...string) string {
	t.Helper()
	files := make(map[string]string)
	for i, table := range tables {
		dir := "proc/" + strconv.Itoa(i+1)
		files[dir+"/maps"] = table
		files[dir+"/comm"] = "p" + strconv.Itoa(i+1) + "\n"
		files[dir+"/status"] = "Name:\tp\nUid:\t0\t0\t0\t0\n"
	}
	return probetest.Tree(t, files)
}

const staleLine = "7f0-7f1 r-xp 0 fe:01 1 /usr/lib/libx.so (deleted)\n"

func TestDamagedProc(t *testing.T) {
	long := strings.Repeat("x", 3*chunk) // longer than any line of the kernel
	root := procTree(t, staleLine, long, strings.Repeat(strings.Repeat("y", 90)+"\n", 2000)+staleLine, "\x00\xff"+staleLine)
	got := probetest.Sections(probe.RootHost(root), New())["restart_needed"]
	if len(got.Rows) != 3 || got.Status != facts.StatusOK {
		t.Errorf("%s: %d rows", got.Status, len(got.Rows))
	}
	for _, gone := range []string{"comm", "status"} { // it ends while we look
		if err := os.Remove(filepath.Join(root, "proc/1", gone)); err != nil {
			t.Fatal(err)
		}
		if got := probetest.Sections(probe.RootHost(root), New())["restart_needed"]; len(got.Rows) != 2 {
			t.Errorf("without %s: %d rows", gone, len(got.Rows))
		}
	}
	if got := probetest.Sections(probe.RootHost(t.TempDir()), New())["restart_needed"]; got.Status != facts.StatusUnsupported {
		t.Errorf("no /proc: %s", got.Status)
	}
	if err := os.Truncate(filepath.Join(root, "proc/4/maps"), 2<<30); err != nil { // sparse
		t.Fatal(err)
	}
	if got := probetest.Sections(probe.RootHost(root), New())["restart_needed"]; len(got.Rows) != 1 && len(got.Rows) != 2 {
		t.Errorf("2 GiB of maps: %d rows, %s", len(got.Rows), got.Reason)
	}
}

func TestHiddenProcessesArePartial(t *testing.T) {
	root := procTree(t, "", staleLine)
	if err := os.RemoveAll(filepath.Join(root, "proc/1")); err != nil {
		t.Fatal(err)
	}
	got := probetest.Sections(probe.RootHost(root), New())["restart_needed"]
	if got.Status != facts.StatusPartial || !strings.Contains(got.Reason, "hidepid") {
		t.Errorf("%s %q", got.Status, got.Reason)
	}
	if os.Getuid() == 0 {
		return // no file is closed to root
	}
	root = procTree(t, "", staleLine)
	if err := os.Chmod(filepath.Join(root, "proc/1/maps"), 0); err != nil {
		t.Fatal(err)
	}
	if got := probetest.Sections(probe.RootHost(root), New())["restart_needed"]; got.Status != facts.StatusPartial {
		t.Errorf("%s %q", got.Status, got.Reason)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := probe.NewReport(nil, 10)
	if err := New().Collect(ctx, probe.RootHost(procTree(t, staleLine)), r); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestStaleOfOneProcess(t *testing.T) {
	h := probe.RootHost(procTree(t, staleLine))
	if got, err := Stale(h, 1); err != nil || len(got) != 1 {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := Stale(h, 2); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func FuzzMaps(f *testing.F) {
	f.Add([]byte(staleLine))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, name := range deletedFiles(nil, data) {
			if name[0] != '/' || len(name) > 3*len(data) {
				t.Errorf("%q", name)
			}
		}
		uid(string(data))
	})
}

func TestAnUnchangedMachineIsNotReadAgain(t *testing.T) {
	table := strings.Repeat("7f0-7f1 r-xp 0 fe:01 1 /usr/lib/liby.so\n", 1000)
	root := procTree(t, table, staleLine)
	if err := os.MkdirAll(filepath.Join(root, "usr/lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	probetest.Write(t, root, "usr/lib/liby.so", []byte("old"))
	p := New().(*restart)
	h := probe.RootHost(root)
	f := func(want int) {
		t.Helper()
		if got := probetest.Sections(h, p)["restart_needed"].Rows; len(got) != want {
			t.Errorf("%d rows, want %d", len(got), want)
		}
	}
	f(1)
	probetest.Write(t, root, "proc/1/maps", []byte(strings.ReplaceAll(table, ".so", ".so (deleted)")))
	f(1) // nothing speaks for reading it
	if look := p.due(h, []int{1, 2, 3}); !slices.Equal(look, []int{2, 3}) {
		t.Errorf("looked at %v", look)
	}
	probetest.Write(t, root, "usr/lib/liby.so", []byte("newer"))
	f(2)
}

// BenchmarkProcesses looks at all processes of this machine.
func BenchmarkProcesses(b *testing.B) {
	h := probe.LiveHost()
	pids, _ := processes(h)
	b.ReportAllocs()
	for b.Loop() {
		probe.RunOnce(b.Context(), h, New())
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(pids)), "us/process")
}

// BenchmarkUnchanged looks at them again.
func BenchmarkUnchanged(b *testing.B) { probetest.Benchmark(b, probe.LiveHost(), New()) }
