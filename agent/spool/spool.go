// Package spool keeps what the agent has to report until the collector says that it
// is durable there: a bounded queue of batches in one bbolt file.
//
// It hides the numbering of batches and its epoch, the dictionary of series that
// stored batches refer to, the last known rows of each section (so that only what
// changed is reported), and what was lost. The invariants: a batch that was appended
// is kept until it is acknowledged or counted as a loss; a number is never given
// twice in an epoch; each batch changes the rows together with the report of the
// change, in one transaction.
//
// The spool starts no goroutine. Append methods belong to one goroutine (the one
// that owns the Dictionary); everything else may be called from anywhere. The layout
// of the file is drawn in record.go.
package spool

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"atalaya/shared/facts"
	"atalaya/shared/metric"
	"atalaya/shared/wire"
)

// Config of a spool. Zero fields take the defaults.
type Config struct {
	MaxBytes int64            // of batches that wait; the file may take half as much again. Default 64 MiB
	MaxAge   time.Duration    // of metrics that wait. Default 7 days, as long as the collector takes late samples
	Series   int              // limit of the dictionary. Default 20,000
	Now      func() time.Time // Default time.Now
	Log      *slog.Logger     // Default none
}

func (c Config) withDefaults() Config {
	c.MaxBytes = cmp.Or(c.MaxBytes, 64<<20)
	c.MaxAge = cmp.Or(c.MaxAge, 7*24*time.Hour)
	c.Series = cmp.Or(c.Series, 20_000)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// ErrEpoch: the numbers are of an epoch that has ended. The session is to begin anew.
var ErrEpoch = errors.New("the spool has begun a new epoch")

// ErrTooLarge: what was to be appended is larger than the whole spool may be. Trying
// again does not help.
var ErrTooLarge = errors.New("larger than the spool")

// Spool is an open spool.
type Spool struct {
	dir     string
	cfg     Config
	lock    *os.File
	dict    *metric.Dictionary
	changed chan struct{}

	mu       sync.Mutex // guards what follows
	db       *bolt.DB   // nil after Close, or when the file could not be opened again
	fileSize int64      // as last seen; it never shrinks
	reopen   bool       // the last write failed in a way that leaves the file in doubt
	state    state
	queue    []entry // by key
	dead     int     // entries of queue that are acknowledged or dropped
	bytes    int64   // of live entries
	trim     []uint64
	series   []metric.Series // the part of the dictionary that is in the file
	sections map[facts.ID]section
	losses   []loss
	lossesAt bool           // losses differ from the file's
	held     []metric.Frame // could not be written
	heldSize int            // samples in held
	lost     uint64         // batches, since Open
	refused  uint64         // readings that found the dictionary full, as of the last append
}

// entry is what is kept in memory of a stored batch.
type entry struct {
	key  uint64
	at   int64
	size int32
	kind wire.Kind
	dead bool
}

// Open opens the spool in the state folder, which it makes when needed, and takes the
// folder for this process: a second one gets an InUseError. A damaged file is set
// aside and counted as a loss, never an error.
func Open(dir string, cfg Config) (*Spool, error) {
	lock, err := prepareDir(dir)
	if err != nil {
		return nil, err
	}
	s := &Spool{dir: dir, cfg: cfg.withDefaults(), lock: lock, changed: make(chan struct{}, 1)}
	if err := s.openFile(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return s, nil
}

// prepareDir makes the folder ours alone: it holds the host's key as well.
func prepareDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, notWritable(dir, err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, notWritable(dir, err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(dir, 0o700); err != nil {
			return nil, notWritable(dir, err)
		}
	}
	return lockDir(dir)
}

// Close writes what waits to be trimmed and leaves the folder to others.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return nil
	}
	var err error
	if s.db != nil {
		err = errors.Join(s.flushLocked(), guard(s.db.Close))
		s.db = nil
	}
	err = errors.Join(err, s.lock.Close())
	s.lock = nil
	return err
}

// Dictionary numbers the series of appended frames. It is restored at Open, so that
// stored batches stay readable, and belongs to the goroutine that appends.
func (s *Spool) Dictionary() *metric.Dictionary { return s.dict }

// Series returns the dictionary as far as stored batches refer to it. The caller must
// not change it; entries never change.
func (s *Spool) Series() []metric.Series {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.series
}

// Position returns the epoch and the number that the next batch will get.
func (s *Spool) Position() (epoch, nextSeq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.epoch, s.state.next - s.state.first
}

// Changed receives after batches were appended. It has one reader.
func (s *Spool) Changed() <-chan struct{} { return s.changed }

func (s *Spool) notify() {
	select {
	case s.changed <- struct{}{}:
	default: // the reader has not seen the last one yet
	}
}

// Stats describe a spool.
type Stats struct {
	Batches    int       `json:"batches"`          // not acknowledged
	Bytes      int64     `json:"bytes"`            // of those
	Oldest     time.Time `json:"oldest,omitzero"`  // of those; zero when there is none
	FileBytes  int64     `json:"file_bytes"`       //
	HeldFrames int       `json:"held_frames"`      // in memory, because the file cannot be written
	Lost       uint64    `json:"lost_batches"`     // dropped since Open
	Refused    uint64    `json:"refused_readings"` // that found the dictionary full
}

// Stats returns the present state.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{Batches: len(s.queue) - s.dead, Bytes: s.bytes, HeldFrames: len(s.held), Lost: s.lost, Refused: s.refused}
	if i := slices.IndexFunc(s.queue, func(e entry) bool { return !e.dead }); i >= 0 {
		st.Oldest = time.UnixMilli(s.queue[i].at)
	}
	if info, err := os.Stat(s.Path()); err == nil {
		st.FileBytes = info.Size()
	}
	return st
}

// Path is the file that the spool keeps open, and in memory what it reads of it.
func (s *Spool) Path() string { return filepath.Join(s.dir, "spool.db") }

var errClosed = errors.New("spool is closed")

// checkFile finds a file that was cut or taken away under us before bbolt touches
// its memory map: a fault in one of bbolt's own goroutines could not be caught.
func (s *Spool) checkFile() error {
	info, err := os.Stat(s.Path())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return damaged("file is gone")
	case err != nil:
		return err
	case info.Size() < s.fileSize:
		return damaged("file was cut from %d to %d bytes", s.fileSize, info.Size())
	}
	s.fileSize = info.Size()
	return nil
}

// view reads in a transaction.
func (s *Spool) view(fn func(*bolt.Tx) error) error {
	if s.db == nil {
		return errClosed
	}
	if err := s.checkFile(); err != nil {
		return err
	}
	return guard(func() error { return s.db.View(fn) })
}

// updateLocked writes in a transaction. When it fails nothing has changed in memory;
// the file is checked before it is used again, unless it was only full.
func (s *Spool) updateLocked(fn func(*bolt.Tx) error) error {
	if s.lock == nil {
		return errClosed
	}
	if s.reopen {
		if err := s.reopenLocked(); err != nil {
			return err
		}
	}
	err := s.checkFile()
	if err == nil {
		err = guard(func() error { return s.db.Update(fn) })
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errDamaged):
		s.cfg.Log.Error("spool damaged", "err", err)
		return errors.Join(err, s.replaceLocked(err))
	case !diskFull(err):
		s.reopen = true
	}
	return fmt.Errorf("write spool %q: %w", s.Path(), err)
}
