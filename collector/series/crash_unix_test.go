//go:build unix

package series

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"atalaya/shared/metric"
)

const crashDir = "ATALAYA_TEST_SERIES_DIR"

// TestCommittedSamplesSurviveAKill starts this test again as a child that writes
// until it is killed, and compares what it said was synced with what is there.
func TestCommittedSamplesSurviveAKill(t *testing.T) {
	if dir := os.Getenv(crashDir); dir != "" {
		writeUntilKilled(t, dir)
		return
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestCommittedSamplesSurviveAKill$")
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	synced := -1
	for sc := bufio.NewScanner(out); sc.Scan(); {
		if n, ok := strings.CutPrefix(sc.Text(), "synced "); ok {
			if synced, err = strconv.Atoi(n); err != nil {
				t.Fatal(err)
			}
			if synced == 200 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	_ = cmd.Wait() // killed
	if synced < 200 {
		t.Fatalf("child ended after %d", synced)
	}
	d := open(t, testConfig(dir))
	stored := strings.Fields(points(t, d, "x"))
	if len(stored) < synced+1 || len(stored) > synced+2 {
		t.Fatalf("%d samples are there, %d were synced", len(stored), synced+1)
	}
	for i, p := range stored {
		if want := fmt.Sprintf("=%d", i); !strings.HasSuffix(p, want) {
			t.Errorf("sample %d is %s", i, p)
		}
	}
}

// writeUntilKilled stores and syncs one number after the other.
func writeUntilKilled(t *testing.T, dir string) {
	d, err := Open(testConfig(dir))
	if err != nil {
		t.Fatal(err)
	}
	load(t, d)
	s := d.Session(testHost, "a")
	define(t, s, gauge("x"))
	for i := range 100000 {
		at := testNow.Add(time.Duration(i-100000) * time.Second)
		put(t, d, s, at, float64(i))
		if err := d.Sync(); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("synced %d\n", i)
	}
}

// TestFullDiskLosesNothingLater lets the log hit a size limit while new series are
// defined whose record spans pages of the log, gives space back, and replays the
// log: what was stored afterwards must be there, though the log has half a record.
func TestFullDiskLosesNothingLater(t *testing.T) {
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	dir := t.TempDir()
	cfg := testConfig(dir)
	d := open(t, cfg)
	s := d.Session(testHost, "a")
	define(t, s, gauge("x"), gauge("y"))
	again := []metric.Sample{{Series: 1, Value: 2}}
	for i := uint32(2); i < 1000; i++ {
		if err := s.Define(i, gauge("z", "n", fmt.Sprint(i), "text", strings.Repeat(fmt.Sprint(i), 50))); err != nil {
			t.Fatal(err)
		}
		again = append(again, metric.Sample{Series: i, Value: 1})
	}
	put(t, d, s, testNow.Add(-time.Minute), 1)

	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Skip("no limit of file sizes:", err)
	}
	full := old
	full.Cur = 16
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		t.Skip("no limit of file sizes:", err)
	}
	a := d.Begin(t.Context())
	a.Append(s, testNow.UnixMilli(), again)
	err := a.Commit()
	if e := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); e != nil {
		t.Fatal(e)
	}
	if err == nil {
		t.Fatal("commit to a full disk returned no error")
	}

	a = d.Begin(t.Context()) // the agent sends again
	got := a.Append(s, testNow.UnixMilli(), again)
	if err := a.Commit(); err != nil || got != (Tally{Stored: 999}) {
		t.Fatal(got, err)
	}
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	copied := t.TempDir() // as a crash would leave it: no snapshot, no clean end
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	after := open(t, testConfig(copied))
	for expr, want := range map[string]string{"x": "-60=1", "y": "0=2"} {
		if got := points(t, after, expr); got != want {
			t.Errorf("%s after a replay: %s, want %s", expr, got, want)
		}
	}
}
