package series

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"atalaya/shared/metric"
)

// TestEngineIsNotOpenedAgainWhileNothingCanBeWritten has the trial of the folder fail
// after a failed commit.
func TestEngineIsNotOpenedAgainWhileNothingCanBeWritten(t *testing.T) {
	now := testNow
	cfg := testConfig(t.TempDir())
	cfg.Now = func() time.Time { return now }
	d := open(t, cfg)
	s := d.Session(testHost, "a")
	define(t, s, gauge("x"))
	put(t, d, s, now, 1)
	first := d.generation
	commit := func() error {
		a := d.Begin(t.Context())
		a.Append(s, now.UnixMilli(), []metric.Sample{{Series: 0, Value: 2}})
		return a.Commit()
	}

	missing := filepath.Join(cfg.Dir, "missing")
	d.trial = filepath.Join(missing, "trial")
	d.broken.Store(true)
	for range 20 {
		now = now.Add(time.Second)
		if err := commit(); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("commit: %v", err)
		}
	}
	if d.generation != first {
		t.Errorf("the engine was opened %d times", d.generation-first)
	}
	if got := points(t, d, "x"); got != "0=1" {
		t.Errorf("stored samples meanwhile: %s", got)
	}
	trouble := d.Trouble()
	for _, want := range []string{"metrics cannot be written since 2026-03-01T12:00:01Z: no such file", "agents keep"} {
		if !strings.Contains(trouble, want) {
			t.Errorf("trouble %q, want %q in it", trouble, want)
		}
	}

	if err := os.Mkdir(missing, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := commit(); err == nil {
		t.Error("the next attempt did not wait")
	}
	now = now.Add(longestWait)
	if err := commit(); err != nil || d.Trouble() != "" || d.generation != first+1 {
		t.Errorf("writable again: %v, trouble %q, opened %d times", err, d.Trouble(), d.generation-first)
	}
	if got := points(t, d, "x"); got != "0=1 50=2" {
		t.Errorf("stored samples at the end: %s", got)
	}
}

func TestTroubleEndsWithWhatFailed(t *testing.T) {
	d := open(t, testConfig(t.TempDir()))
	d.noteWrite(errLateLost, true)
	if d.noteWrite(nil, false); d.Trouble() == "" {
		t.Error("a commit takes back that a sync failed")
	}
	if d.noteWrite(nil, true); d.Trouble() != "" {
		t.Errorf("after a sync: %s", d.Trouble())
	}
	for _, err := range []error{ErrClosed, errReopened, context.Canceled} {
		if d.noteWrite(err, false); d.Trouble() != "" {
			t.Errorf("%v is trouble: %s", err, d.Trouble())
		}
	}
}
