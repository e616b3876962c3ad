package series

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/tsdb"
)

// ErrLoading is the kind of error of everything that needs the engine before Load has
// opened it.
var ErrLoading = errors.New("metrics are still being read from disk")

// loading says how far Load is: read of all segments of the log, where all is known.
type loading struct{ read, all int }

func (l loading) Error() string {
	const again = "; ask again in a few seconds"
	if l.all == 0 {
		return ErrLoading.Error() + again
	}
	return fmt.Sprintf("%s: %d of %d segments of the log%s", ErrLoading, l.read, l.all, again)
}

// Is implements errors.Is.
func (loading) Is(target error) bool { return target == ErrLoading }

// Load opens the engine and returns when it is open, or when ctx ends; then it is opened
// still. After an unclean end the engine replays its log first, about 40 us a series and
// hour. On a full disk there is none, and the database says so (Trouble) and answers
// nothing until there is space. Load is called once.
func (d *DB) Load(ctx context.Context) error {
	if !d.begun.CompareAndSwap(false, true) {
		return ErrClosed
	}
	go d.serve()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-d.opened:
		return nil
	case <-d.watched:
		d.mu.RLock()
		defer d.mu.RUnlock()
		return d.failed
	}
}

// serve opens the engine and looks after it until Close.
func (d *DB) serve() {
	defer close(d.watched)
	db, err := d.firstEngine()
	if outOfSpace(err) {
		// Begin opens the engine later: replaying needs some space.
		d.broken.Store(true)
		d.noteWrite(err, false)
		err = nil
	}
	d.mu.Lock()
	if d.failed = err; db != nil {
		d.db = db
		d.generation++
	}
	d.mu.Unlock()
	if err == nil {
		close(d.opened)
		d.watch()
	}
}

func (d *DB) firstEngine() (*tsdb.DB, error) {
	d.space.mu.Lock()
	err := errors.Join(d.releaseLocked(), tryWrite(d.trial))
	d.space.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return d.openEngine()
}

// Ready waits until samples can be taken. Where Load fails they never can: it is for
// whoever called Load to end ctx.
func (d *DB) Ready(ctx context.Context) error {
	select {
	case <-d.opened:
		return nil
	case <-d.stop:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Loading returns an error of kind ErrLoading until Load has opened the engine, and while
// it is opened again after a write failed. It never waits.
func (d *DB) Loading() error {
	select {
	case <-d.opened:
		return d.reopening()
	default:
		return d.progress()
	}
}

// reopening returns an error while the engine is opened again. Who asks is told so at once;
// who writes waits for it, see repair.
func (d *DB) reopening() error {
	if d.again.Load() {
		return d.progress()
	}
	return nil
}

// progress is how far the log is read.
func (d *DB) progress() loading {
	s := d.replay.Head.WALReplayStatus.GetWALReplayStatus()
	return loading{read: s.Current - s.Min, all: s.Max - s.Min} // the last one is new and empty
}

// absentLocked says why there is no engine. Call with d.mu locked, for reading at least.
func (d *DB) absentLocked() error {
	if d.failed != nil {
		return fmt.Errorf("metrics cannot be read: %w", d.failed)
	}
	if err := d.Loading(); err != nil {
		return err
	}
	return errors.New("metrics engine is not open since a write failed (is the disk full?)")
}

// settles reports whether the opening of the engine ends within a time, in one way or
// another.
func (d *DB) settles(within time.Duration) bool {
	late := time.NewTimer(within)
	defer late.Stop()
	select {
	case <-d.opened:
	case <-d.watched:
	case <-late.C:
		return false
	}
	return true
}
