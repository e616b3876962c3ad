package series

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// firstWait and longestWait lie between two attempts to write after failed ones. The
	// first attempt waits for nothing; agents come back 30 s after a failure.
	firstWait   = 5 * time.Second
	longestWait = 30 * time.Second
	// trialName is a file of trialBytes that is written before the engine is opened again.
	trialName  = "trial.tmp"
	trialBytes = 1 << 20
)

var (
	// errReopened: the engine that an Appender belongs to was replaced; the next one works.
	errReopened = errors.New("metrics engine was opened again meanwhile")
	errLateLost = errors.New("late samples could not be written to the engine's log (is the disk full?)")
)

// trouble remembers whether samples can be written.
type trouble struct {
	mu    sync.Mutex // guards what follows
	err   error      // of the last write; nil: it went well
	sync  bool       // err is of Sync
	since time.Time
	wait  time.Duration // before the next attempt to open the engine again
	retry time.Time     // when it may be
}

// Trouble returns why samples cannot be written at the moment, empty when they can.
// What is stored is answered meanwhile, and agents keep what they were not told is durable.
func (d *DB) Trouble() string {
	t := &d.trouble
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		return ""
	}
	reason := t.err.Error()
	if errno := syscall.Errno(0); errors.As(t.err, &errno) {
		reason = errno.Error()
	}
	return fmt.Sprintf("metrics cannot be written since %s: %s (folder %q); agents keep their samples, inventory is taken",
		t.since.UTC().Format(time.RFC3339), reason, d.cfg.Dir)
}

// noteWrite remembers what became of a Commit or, if synced, of a Sync: each takes back
// only what it said itself.
func (d *DB) noteWrite(err error, synced bool) {
	if errors.Is(err, ErrClosed) || errors.Is(err, ErrLoading) || errors.Is(err, errReopened) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return
	}
	t := &d.trouble
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err != nil && t.err == nil:
		t.err, t.sync, t.since = err, synced, d.cfg.Now()
		d.cfg.Log.Error("metrics cannot be written", "folder", d.cfg.Dir, "err", err)
	case err != nil:
		t.err, t.sync = err, synced
	case t.err != nil && t.sync == synced:
		t.err, t.wait, t.retry = nil, 0, time.Time{}
		d.cfg.Log.Info("metrics can be written again", "folder", d.cfg.Dir)
	}
}

// mayReopen returns nil when it is time to open the engine again, and its log could be
// written: an engine that is replaced on a full disk is lost for queries too. Each call
// that gets to write makes the next one wait longer, until a commit succeeds.
func (d *DB) mayReopen() error {
	if err := d.trouble.turn(d.cfg.Now()); err != nil {
		return err
	}
	return tryWrite(d.trial)
}

// turn returns an error before the next attempt may be, and defers the one after it.
func (t *trouble) turn(now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Before(t.retry) {
		if t.err != nil {
			return t.err
		}
		return errors.New("metrics engine is not opened again yet")
	}
	t.wait = min(max(2*t.wait, firstWait), longestWait)
	t.retry = now.Add(t.wait)
	return nil
}

// tryWrite writes a file durably, and removes it.
func tryWrite(path string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, trialBytes))
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), os.Remove(path))
}
