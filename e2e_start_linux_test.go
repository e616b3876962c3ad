package atalaya

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestInventoryIsAnsweredWhileMetricsAreRead starts a killed collector whose metrics cannot
// be read yet: a segment of their log is a pipe, as on a disk that hangs. All else is
// answered, agents have their sessions, it can be killed and stopped again, and in the end
// every reading is there exactly once.
func TestInventoryIsAnsweredWhileMetricsAreRead(t *testing.T) {
	s := newSite(t)
	s.serve()
	state := s.enrolled("ledger")
	agent := startEnv(t, []string{ledgerEnv + "=" + state}, state+".log", os.Args[0])
	waitFor(t, 30*time.Second, "readings at the collector", func() error {
		text, err := os.ReadFile(filepath.Join(state, "ledger"))
		if n := strings.Count(string(text), "acked "); err == nil && n < 20 {
			err = fmt.Errorf("%d are acknowledged", n)
		}
		return err
	})
	s.proc.kill()
	log := filepath.Join(s.data, "metrics", "wal")
	segments, err := filepath.Glob(filepath.Join(log, "0*"))
	if err != nil || len(segments) == 0 {
		t.Fatal(segments, err)
	}
	segment := filepath.Join(log, fmt.Sprintf("%08d", len(segments)))
	if err := syscall.Mkfifo(segment, 0o600); err != nil {
		t.Fatal(err)
	}

	s.serve()
	s.answersWithoutMetrics()
	s.proc.kill()
	s.serve()
	s.answersWithoutMetrics()
	begin := time.Now()
	if err := s.proc.stop(); err != nil || time.Since(begin) > 10*time.Second {
		t.Errorf("stop while metrics are read: %v after %s\n%s", err, time.Since(begin), s.proc.log())
	}
	s.serve()
	s.answersWithoutMetrics()

	w, err := os.OpenFile(segment, os.O_WRONLY, 0) // the collector reads it
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s.write("empty", ""), segment); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, 30*time.Second, "metrics", func() error {
		_, err := s.ask("metric", "query", "up")
		return err
	})
	if out := s.mustAsk("status"); strings.Contains(out, "still being read") {
		t.Errorf("status once all is there:\n%s", out)
	}
	if err := os.WriteFile(filepath.Join(state, "quiet"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	select {
	case <-agent.done:
	case <-time.After(60 * time.Second):
		t.Fatalf("the spool did not drain: %s", agent.log())
	}
	l := readLedger(t, filepath.Join(state, "ledger"))
	l.hold(t, "metric", s.ledgerSamples())
	l.hold(t, "row", s.ledgerRows())
}

// answersWithoutMetrics holds a collector that still reads its metrics to what it must
// answer all the same, and to what it must not.
func (s *site) answersWithoutMetrics() {
	s.t.Helper()
	waitFor(s.t, 60*time.Second, "a session of the agent", func() error {
		var v struct{ Sessions int }
		s.answer(&v, "status")
		if v.Sessions != 1 {
			return fmt.Errorf("%d sessions", v.Sessions)
		}
		return nil
	})
	for _, args := range [][]string{{"host", "list"}, {"query", "select name from hosts"}, {"host", "history", "ledger"}} {
		if out := s.mustAsk(args...); !strings.Contains(out, "ledger") {
			s.t.Errorf("%q: %s", args, out)
		}
	}
	const said = "metrics are still being read from disk"
	if out := s.mustAsk("status"); !strings.Contains(out, said) || !strings.Contains(out, "segments of the log") {
		s.t.Errorf("status:\n%s", out)
	}
	for _, args := range [][]string{{"metric", "query", "ledger_value"}, {"query", "select * from samples where metric = 'up'"}} {
		if out, err := s.ask(args...); err == nil || !strings.Contains(err.Error(), said) {
			s.t.Errorf("%q: %v %s", args, err, out)
		}
	}
}

// TestCollectorEndsWhenItsMetricsCannotBeRead: an administrator, or the service manager, is
// to see it, not only who asks for a metric.
func TestCollectorEndsWhenItsMetricsCannotBeRead(t *testing.T) {
	s := newSite(t)
	metrics := filepath.Join(s.data, "metrics")
	if err := os.MkdirAll(metrics, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(metrics, "wal"), nil, 0o600); err != nil { // it should be a folder
		t.Fatal(err)
	}
	p := start(t, filepath.Join(s.dir, "collector.log"), bin(t, "atalaya"), "serve", "--config", filepath.Join(s.dir, "collector.yml"))
	select {
	case <-p.done:
	case <-time.After(60 * time.Second):
		t.Fatalf("it goes on: %s", p.log())
	}
	if code := exitCode(p.err); code != 1 || !strings.Contains(p.log(), "open series") || !strings.Contains(p.log(), "wal") {
		t.Errorf("exit status %d, want 1 and the file: %s", code, p.log())
	}
}
