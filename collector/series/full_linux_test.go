package series

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"atalaya/collector/store/smalldisk"
	"atalaya/shared/metric"
)

func TestFullDiskIsNamedAndAnswersQueries(t *testing.T) {
	disk := smalldisk.New(t, "2m")
	now := testNow
	cfg := testConfig(disk.Dir)
	cfg.Now = func() time.Time { return now }
	d := open(t, cfg)
	s := d.Session(testHost, "a")
	define(t, s, gauge("x"))
	put(t, d, s, now, 1)
	n := uint32(1)
	commit := func() error {
		var frame []metric.Sample
		for range 50 {
			if err := s.Define(n, gauge("z", "n", fmt.Sprint(n), "text", strings.Repeat(fmt.Sprint(n), 100))); err != nil {
				t.Fatal(err)
			}
			frame = append(frame, metric.Sample{Series: n, Value: 1})
			n++
		}
		a := d.Begin(t.Context())
		a.Append(s, now.UnixMilli(), frame)
		return a.Commit()
	}
	ballast := disk.Dir + "/ballast"
	fill(t, ballast)
	var err error
	for range 100 {
		if err = commit(); err != nil {
			break
		}
	}
	opened := d.generation
	for range 5 {
		now = now.Add(longestWait)
		if err := commit(); err == nil {
			t.Fatal("a commit on a full disk gave no error")
		}
	}
	if want := "since 2026-03-01T12:00:00Z: no space left on device"; err == nil || !strings.Contains(d.Trouble(), want) {
		t.Errorf("%v, trouble %q, want %q in it", err, d.Trouble(), want)
	}
	if got := points(t, d, "x"); got != "0=1" || d.generation != opened {
		t.Errorf("on the full disk: %s, opened %d times", got, d.generation-opened)
	}
	disk.Grow("32m")
	now = now.Add(longestWait)
	if err := commit(); err != nil || d.Trouble() != "" || d.generation != opened+1 {
		t.Errorf("with space again: %v, trouble %q, opened %d times", err, d.Trouble(), d.generation-opened)
	}
}

// fill writes a file until the disk is full.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if f.Close(); !strings.Contains(err.Error(), "no space") {
		t.Fatal(err)
	}
}

func TestStartOnAFullDiskLosesNothing(t *testing.T) {
	disk := smalldisk.New(t, "2m")
	if err := os.CopyFS(disk.Dir, os.DirFS(killed(t))); err != nil {
		t.Fatal(err)
	}
	ballast := disk.Dir + "/ballast"
	fill(t, ballast)
	now := testNow
	cfg := testConfig(disk.Dir)
	cfg.Now = func() time.Time { return now }
	d := open(t, cfg)
	for range 3 {
		now = now.Add(longestWait)
		if err := commitOne(t, d, now); err == nil {
			t.Error("a commit on a full disk gave no error")
		}
	}
	if want := "since 2026-03-01T12:00:00Z: no space left on device"; !strings.Contains(d.Trouble(), want) {
		t.Errorf("trouble %q, want %q in it", d.Trouble(), want)
	}
	disk.Grow("32m")
	now = now.Add(longestWait)
	if err := commitOne(t, d, now); err != nil || d.Trouble() != "" {
		t.Errorf("with space again: %v, trouble %q", err, d.Trouble())
	}
	if got, want := points(t, d, "x"), killedPoints; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
