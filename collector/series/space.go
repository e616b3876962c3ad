package series

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"atalaya/collector/store"

	"github.com/prometheus/prometheus/tsdb"
)

// The engine writes the chunks that are cut in memory to chunks_head once a minute, in a
// goroutine of its own, and panics when it cannot (tsdb v0.315, handleChunkWriteError).
// So no more samples are taken while little space is left, and what is cut by then is
// written at once, with space that was held for it: nothing is left to write after that.

const (
	// chunkBytes is the most that a chunk takes (tsdb v0.315: maxBytesPerXORChunk).
	chunkBytes = 1 << 10
	// ampleTimes the space that is needed must be free before samples are taken again: one
	// part is held then, one stays free, and two are to be used before it is short again.
	ampleTimes = 4
	// lookEvery bounds how long a full disk goes unseen while nothing is written, well within
	// the engine's minute.
	lookEvery = time.Second
	// heldName is a file whose space is the engine's, whoever else fills the disk.
	heldName = "held.tmp"
)

// space knows whether the disk has room for what the engine has yet to write.
type space struct {
	fresh atomic.Uint64 // samples since chunks were written the last time

	mu    sync.Mutex // guards what follows
	need  int64      // bytes that the engine may have to write without another sample
	held  int64      // size of the file heldName
	short bool
}

// shortage refuses samples.
type shortage struct{ free, enough int64 }

func (s shortage) Error() string {
	return fmt.Sprintf("no space left on device: %.1f MiB are free, %.1f MiB must be", float64(s.free)/(1<<20), float64(s.enough)/(1<<20))
}

func outOfSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// watch looks once a second until Close.
func (d *DB) watch() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-d.stop:
			return
		case <-tick.C:
			_ = d.look() // Begin tells
		}
	}
}

// look returns a shortage while samples must not be taken. Where free space cannot be read
// they always are.
func (d *DB) look() error {
	s := &d.space
	s.mu.Lock()
	defer s.mu.Unlock()
	free, err := store.FreeBytes(d.cfg.Dir)
	if err != nil {
		return nil
	}
	series, open := d.needLocked()
	switch {
	case s.short && free < ampleTimes*s.need:
		return shortage{free, ampleTimes * s.need}
	case free < s.need:
		d.yieldLocked()
		return shortage{free, ampleTimes * s.need}
	case s.fresh.Load() > series:
		d.writeChunksLocked()
	}
	s.short = false
	if open && (s.held < s.need && free >= 2*s.need || s.held > 2*s.need) {
		d.holdLocked()
	}
	return nil
}

// needLocked brings s.need up to date and returns how many series are in memory. A chunk is
// cut by a sample, and chunks are written whenever more samples came than there are series:
// so a chunk of each is the most that waits, beside those of the group that is being taken.
// These fit, as does the new file that a chunk may begin, into what opening needs.
func (d *DB) needLocked() (series uint64, open bool) {
	err := d.use(func(db *tsdb.DB) error {
		series = db.Head().NumSeries()
		d.space.need = int64(series)*chunkBytes + trialBytes
		return nil
	})
	return series, err == nil // not open: s.need is as it was
}

// holdLocked takes the space that is needed, as far as the file system can do that.
func (d *DB) holdLocked() {
	f, err := os.OpenFile(filepath.Join(d.cfg.Dir, heldName), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return
	}
	err = f.Truncate(min(d.space.held, d.space.need))
	if errors.Join(err, allocate(f, d.space.need), f.Close()) == nil {
		d.space.held = d.space.need
	}
}

// releaseLocked gives the held space back.
func (d *DB) releaseLocked() error {
	d.space.held = 0
	if err := os.Remove(filepath.Join(d.cfg.Dir, heldName)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// yieldLocked stops taking samples, and writes what is cut with the space that was held.
func (d *DB) yieldLocked() {
	d.space.short = true
	if err := d.releaseLocked(); err != nil {
		d.cfg.Log.Warn("held space cannot be given back", "err", err)
	}
	d.writeChunksLocked()
}

// writeChunksLocked has the engine write its chunks. An engine that cannot is closed until
// there is space (repair): it would try again, and panic where nobody can recover.
func (d *DB) writeChunksLocked() {
	var failed error
	_ = d.use(func(db *tsdb.DB) error { // not open: nothing to write
		defer func() { failed = recovered(recover()) }()
		d.space.fresh.Store(0)
		db.ForceHeadMMap()
		return nil
	})
	if failed == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cfg.Log.Error("metrics engine is closed until there is space", "err", failed)
	d.broken.Store(true)
	if d.db != nil {
		_ = closeDB(d.db) // it cannot be closed whole: its log has all
		d.db = nil
	}
}

// recovered makes an error of what the engine panicked with.
func recovered(p any) error {
	if p == nil {
		return nil
	}
	return fmt.Errorf("metrics engine cannot write its chunks: %v", p)
}

// closeDB closes an engine, which writes its chunks too.
func closeDB(db *tsdb.DB) (err error) {
	defer func() { err = errors.Join(err, recovered(recover())) }()
	return db.Close()
}
