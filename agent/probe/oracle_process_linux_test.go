package probe_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	gopsutil "github.com/shirou/gopsutil/v3/process"

	"atalaya/agent/probe"
	"atalaya/agent/probe/process"
)

// worker starts the test program under a name of its own as one that works, and returns
// its number.
func worker(t *testing.T, name string) int32 {
	t.Helper()
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.Symlink(own, path); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "atalaya-test-helper", "computes")
	in, errIn := cmd.StdinPipe()
	out, errOut := cmd.StdoutPipe()
	if errIn != nil || errOut != nil {
		t.Fatal(errIn, errOut)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait() // how it ends does not matter
	})
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return int32(cmd.Process.Pid)
}

// TestProcessesAgreeWithGopsutil holds the scan of processes to what gopsutil says of
// one that has worked and now waits, so that nothing moves.
func TestProcessesAgreeWithGopsutil(t *testing.T) {
	ctx := t.Context()
	name := "worker" + strconv.Itoa(os.Getpid())
	name = name[:min(len(name), 15)]
	p, err := gopsutil.NewProcessWithContext(ctx, worker(t, name))
	if err != nil {
		t.Fatal(err)
	}
	got := readings(t, probe.LiveHost(), process.New(process.Config{Top: 100}))
	user, errUser := p.UsernameWithContext(ctx)
	memory, errMemory := p.MemoryInfoWithContext(ctx)
	times, errTimes := p.TimesWithContext(ctx)
	threads, errThreads := p.NumThreadsWithContext(ctx)
	if errUser != nil || errMemory != nil || errTimes != nil || errThreads != nil {
		t.Fatal(errUser, errMemory, errTimes, errThreads)
	}
	for family, c := range map[string]struct{ want, slack float64 }{
		"atalaya_process_cpu_seconds_total":     {times.User + times.System, 0.02}, // its runtime may still tidy up
		"atalaya_process_resident_memory_bytes": {float64(memory.RSS), 1 << 20},
		"atalaya_process_threads":               {float64(threads), 1},
		"atalaya_process_count":                 {1, 0},
	} {
		v, ok := got[family+"/"+name+"/"+user]
		if !ok || v < c.want-c.slack || v > c.want+c.slack {
			t.Errorf("%s of %s = %v (told: %v), gopsutil has %v", family, name, v, ok, c.want)
		}
	}
	if memory.RSS < 24<<20 || times.User+times.System < 0.05 {
		t.Errorf("the worker did not work: %v, %v", memory, times)
	}
}
