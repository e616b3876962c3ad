//go:build unix

package series

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"atalaya/shared/metric"
)

// stuck makes a segment of a log that cannot be read to its end, as on a disk that hangs:
// a pipe. reached waits until somebody reads it, and returns what ends it.
func stuck(t *testing.T, segment string) (reached func() (release func())) {
	t.Helper()
	if err := syscall.Mkfifo(segment, 0o600); err != nil {
		t.Skip("no pipes here:", err)
	}
	return func() func() {
		t.Helper()
		w, err := os.OpenFile(segment, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		return func() {
			t.Helper()
			empty := filepath.Join(t.TempDir(), "empty")
			err = errors.Join(os.WriteFile(empty, nil, 0o600), os.Rename(empty, segment), w.Close())
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestCloseDoesNotWaitForALogThatIsBeingRead(t *testing.T) {
	dir := t.TempDir()
	d := open(t, testConfig(dir))
	s := d.Session(testHost, "a")
	define(t, s, gauge("x"))
	put(t, d, s, testNow, 1)
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	copied := t.TempDir() // as a crash would leave it
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	reached := stuck(t, filepath.Join(copied, "wal", "00000001"))

	d, err := Open(testConfig(copied))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	loaded := make(chan error)
	go func() { loaded <- d.Load(ctx) }()
	release := reached()
	if err := d.Loading(); err == nil || !strings.Contains(err.Error(), "read from disk: 0 of 2 segments of the log; ask again") {
		t.Errorf("loading: %v", err)
	}
	cancel()
	if err := <-loaded; !errors.Is(err, context.Canceled) {
		t.Errorf("load: %v", err)
	}
	begin := time.Now()
	if err := d.Close(); err != nil {
		t.Error("close:", err)
	}
	if took := time.Since(begin); took > 5*loadGrace {
		t.Errorf("close took %s", took)
	}
	if _, err := d.Query(t.Context(), "x", testNow); err == nil {
		t.Error("a question was answered after close")
	}
	if _, err := Open(testConfig(copied)); err == nil || !strings.Contains(err.Error(), "cannot be locked") {
		t.Errorf("opened while the process that reads is there: %v", err)
	}
	release() // the process goes on: it closes what it has opened
	<-d.watched
	for closed := false; !closed; runtime.Gosched() {
		d.mu.RLock()
		closed = d.closed
		d.mu.RUnlock()
	}
	if got := points(t, open(t, testConfig(copied)), "x"); got != "0=1" {
		t.Errorf("after it was read again: %q, want 0=1", got)
	}
}

// TestQuestionsDoNotWaitForAnEngineThatIsOpenedAgain: a write had failed, and the log is
// long. Who writes waits, and loses nothing.
func TestQuestionsDoNotWaitForAnEngineThatIsOpenedAgain(t *testing.T) {
	dir := t.TempDir()
	d := open(t, testConfig(dir))
	s := d.Session(testHost, "a")
	define(t, s, gauge("x"))
	put(t, d, s, testNow.Add(-time.Minute), 1)
	reached := stuck(t, filepath.Join(dir, "wal", "00000001"))
	d.broken.Store(true) // as a commit does that failed
	taken := make(chan error)
	go func() {
		a := d.Begin(t.Context())
		a.Append(s, testNow.UnixMilli(), []metric.Sample{{Series: 0, Value: 2}})
		taken <- a.Commit()
	}()
	release := reached()
	_, query := d.Query(t.Context(), "x", testNow)
	_, stats := d.Stats()
	for what, err := range map[string]error{"query": query, "stats": stats, "loading": d.Loading()} {
		if !errors.Is(err, ErrLoading) {
			t.Errorf("%s: %v, want %v", what, err, ErrLoading)
		}
	}
	release()
	if err := errors.Join(<-taken, d.Loading()); err != nil {
		t.Error(err)
	}
	if got := points(t, d, "x"); got != "-60=1 0=2" {
		t.Errorf("%q, want both samples", got)
	}
}
