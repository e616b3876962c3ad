// Package store is the only door to the collector's state file: transactions,
// facts with their change log, duplicate removal, and tables for other packages.
//
// What hosts share of their rows is an item of a dictionary; a host holds a set of
// items and an item a set of hosts (docs/adr/0021). The log tells how each state came
// from the one before, so that a State can be had of any moment (docs/adr/0022).
//
// The file is bbolt. Every value carries a checksum over table, key and value that
// is verified on each read; a mismatch is ErrCorrupt and never a value. Every table
// carries the number and the sum of its records, so that a page that silently
// returned to an older state is noticed too. Open checks all of it with its own
// reader (see Check) before bbolt maps the file, because bbolt ends the process on
// many kinds of damage.
//
// Beside the file F lie F.lock, which names the process that holds it, and F.high,
// the number of the last transaction, by which a lost one is noticed.
//
// One write transaction runs at a time; readers see the state of their beginning and
// never wait for the writer. A function given to View or Update must not call View
// or Update. The store starts no goroutine.
package store

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
)

// FileName is the usual name of the state file in the collector's data folder.
const FileName = "state.db"

// formatVersion is the layout of the tables of this package. A file with a higher
// one was written by a newer collector and is refused.
const formatVersion = 3

// Config says where the state is and how to treat it.
type Config struct {
	Path   string           // of the file, usually <data>/state.db; its folder must exist
	Now    func() time.Time // nil: time.Now
	Log    *slog.Logger     // nil: nothing is logged
	NoSync bool             // for tests: commits are not durable
	// Verify looks at a Snapshot for Scrub; nil: Snapshot.Verify.
	Verify func(Snapshot) (Report, error)
}

// Store is an open state file. Its methods may be called from any goroutine.
type Store struct {
	db     *bolt.DB
	path   string
	now    func() time.Time
	log    *slog.Logger
	codec  *codec
	lock   *lockFile
	high   *highMark
	found  Report    // damage to mend when the file is opened
	behind *rollback // not yet told of in the file
	known  knownItems
	past   turnedPasts
	told   lastTellings
	block  int // see blockBytes

	together together

	verify func(Snapshot) (Report, error)

	mu      sync.Mutex // guards what follows
	changed chan struct{}
	seen    map[[8]byte]time.Time // moments of Seen not yet written
	flushed time.Time             // when seen was last written
	asking  map[uint32]asking     // by host index
	failed  error                 // the file cannot be written any more

	full      error // the last commit found no space
	fullSince time.Time
}

// Open opens the state file and creates it when there is none. It refuses when
// another process holds it (ErrLocked), when it is damaged (ErrCorrupt) and when a
// newer collector wrote it (ErrNewer).
func Open(c Config) (_ *Store, err error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{path: c.Path, now: c.Now, log: c.Log, verify: c.Verify, changed: make(chan struct{}), seen: map[[8]byte]time.Time{}, asking: map[uint32]asking{}, block: blockBytes}
	s.flushed = c.Now()
	if s.codec, err = newCodec(); err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	if s.lock, err = lockPath(c.Path); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.release()
		}
	}()
	if s.high, err = openHighMark(c.Path + ".high"); err != nil {
		return nil, err
	}
	if err := s.prepareFile(); err != nil {
		return nil, err
	}
	if err := s.openSound(c.NoSync); err != nil {
		return nil, err
	}
	if err := s.upgrade(); err != nil {
		return nil, err
	}
	if s.behind != nil {
		if err := s.ready(func(*Tx) error { return nil }); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// openSound opens the file. What is damaged of it is mended where it lies, if single
// records are, and otherwise in a fresh file that takes its place.
func (s *Store) openSound(noSync bool) (err error) {
	open := func() error {
		if s.db, err = openBolt(s.path, noSync); err != nil {
			return fmt.Errorf("open state file %q: %w", s.path, err)
		}
		return nil
	}
	if s.found.Count == 0 {
		return open()
	}
	s.log.Error("the state file is damaged", "file", s.path, "findings", s.found.Count)
	for _, name := range s.found.worst() {
		f := s.found.Tables[name]
		s.log.Error("damage found", "table", name, "findings", f.Count, "first", f.First)
	}
	if s.found.Repairable() {
		if err := open(); err != nil {
			return err
		}
		err := s.Repair(s.found)
		if !errors.Is(err, ErrCorrupt) {
			return err
		}
		s.log.Error("damaged records cannot be mended where they are", "err", err)
		if err := s.db.Close(); err != nil {
			return err
		}
		s.forgetFile()
	}
	if err := s.salvage(s.found); err != nil {
		return err
	}
	return open()
}

// forgetFile begins anew with another file: that writing to the one before failed, and what
// was remembered of it, says nothing of that.
func (s *Store) forgetFile() {
	s.db = nil
	s.mu.Lock()
	s.failed = nil
	s.mu.Unlock()
	(&Tx{store: s}).forgetItems()
}

// prepareFile creates the file when there is none and checks it otherwise.
func (s *Store) prepareFile() error {
	_, err := os.Stat(s.path)
	switch {
	case err == nil:
		report, err := Check(s.path)
		if err != nil {
			return err
		}
		s.found = report
		if report.TxID < s.high.txid { // as it was found: what mends the file commits too
			s.behind = &rollback{transactions: s.high.txid - report.TxID, lastChange: s.high.lastChange, oneRoot: report.OneRoot}
		}
		if report.Count > 0 && (report.Version == 0 || report.Version > formatRows) && report.Version <= formatVersion {
			return nil // mended once the file is open, or in a fresh one
		}
		return report.Err()
	case !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("open state file: %w", err)
	case s.high.txid > 0:
		return fmt.Errorf("state file %q is gone, but %q says that there was one: restore a backup, or remove %q to begin with an empty state",
			s.path, s.high.path, s.high.path)
	}
	return createFile(s.path)
}

// createFile makes an empty state file aside and renames it: a creation that is cut
// short leaves a file on which bbolt would end the process.
func createFile(path string) (err error) {
	aside := path + ".new"
	if err := remove(aside); err != nil {
		return fmt.Errorf("create state file: %w", err)
	}
	db, err := openBolt(aside, false)
	if err != nil {
		return fmt.Errorf("create state file: %w", err)
	}
	s := &Store{db: db, path: aside, changed: make(chan struct{}), now: time.Now, log: slog.New(slog.DiscardHandler)}
	err = s.Update(func(tx *Tx) error {
		return errors.Join(tx.putMeta(metaVersion, formatVersion), tx.putMeta(metaDated, 1))
	})
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("create state file: %w", err)
	}
	if err := os.Rename(aside, path); err != nil {
		return fmt.Errorf("create state file: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

// pageSize of a new file. What a host has is about 4 KB, of which pages of the usual
// 4 KB would hold one, and stand half empty.
const pageSize = 8 << 10

// openBolt opens the file. The list of free pages is not stored: a damaged list
// would let bbolt overwrite live pages, and rebuilding it costs one walk at open.
func openBolt(path string, noSync bool) (*bolt.DB, error) {
	return bolt.Open(path, 0o600, &bolt.Options{
		Timeout:         time.Second,
		PageSize:        pageSize,
		NoFreelistSync:  true,
		FreelistType:    bolt.FreelistMapType,
		InitialMmapSize: initialMmap,
		NoSync:          noSync,
	})
}

// Close writes what is pending and releases the file.
func (s *Store) Close() error {
	err := s.Update(func(tx *Tx) error { return tx.flushSeen(s.takeSeen()) })
	if s.failure() != nil {
		err = nil // reported when it happened
	}
	return errors.Join(err, s.release())
}

func (s *Store) release() error {
	var errs []error
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.high != nil {
		errs = append(errs, s.high.close())
	}
	return errors.Join(append(errs, s.lock.release())...)
}

// Changed returns a channel that is closed at the next commit that adds to the
// change log, or has views made anew. Take the channel before looking at the log.
func (s *Store) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Now is the store's clock, so that views over it share it.
func (s *Store) Now() time.Time { return s.now() }

// View runs fn with a consistent state to read. Slices from tx are valid until fn
// returns.
func (s *Store) View(fn func(*Tx) error) error {
	b, err := s.db.Begin(false)
	if err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	defer b.Rollback() // a read transaction has nothing to lose
	return fn(&Tx{store: s, b: b})
}

// Update runs fn and makes durable what it wrote, or nothing when it returns an error.
func (s *Store) Update(fn func(*Tx) error) error {
	if err := s.failure(); err != nil {
		return err
	}
	b, err := s.db.Begin(true)
	if err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	done := false
	defer func() {
		if !done {
			b.Rollback() // the reason is what fn or commit returned
		}
	}()
	tx := &Tx{store: s, b: b}
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.flush(); err != nil {
		return err
	}
	txid := uint64(b.ID())
	err = s.commit(b)
	s.noteFull(err)
	if err != nil {
		return err
	}
	done = true
	return s.committed(tx, txid)
}

// flush writes what the transaction gathered.
func (tx *Tx) flush() error {
	if err := tx.dateBack(); err != nil {
		return err
	}
	if err := tx.flushHave(); err != nil {
		return err
	}
	if err := tx.flushLog(); err != nil {
		return err
	}
	return tx.flushTables()
}

// commit makes the transaction durable. When bbolt panics over a damaged page the
// store stays readable and refuses further writes.
func (s *Store) commit(b *bolt.Tx) (err error) {
	defer func() {
		if errors.Is(err, ErrCorrupt) {
			s.mu.Lock()
			s.failed = err
			s.mu.Unlock()
		}
	}()
	defer guard(faults(), &err, "", nil)
	if err := b.Commit(); err != nil {
		return FullAt(s.path, fmt.Errorf("write state file %q: %w", s.path, err))
	}
	return nil
}

// FullAt makes ErrFull of an error by which a file was not written when its disk is full.
func FullAt(path string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w of %s: free some space, nothing was written; then do it again: %w", ErrFull, filepath.Dir(path), err)
	}
	return err
}

// committed tells the high mark and those who wait for changes.
func (s *Store) committed(tx *Tx, txid uint64) error {
	if s.high != nil {
		if err := s.high.write(txid, tx.lastChange); err != nil {
			s.log.Warn("high mark not written", "err", err)
		}
	}
	s.known.add(tx.met)
	if tx.lastChange == 0 && !tx.refills {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

func (s *Store) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// Backup writes a consistent copy of the file as of now; writers go on meanwhile.
func (s *Store) Backup(w io.Writer) (err error) {
	return s.View(func(tx *Tx) (err error) {
		defer guard(faults(), &err, "", nil)
		_, err = tx.b.WriteTo(w)
		return err
	})
}

// TableSize is what a table takes in the state file.
type TableSize struct {
	Name    string
	Records uint64
	Bytes   uint64 // of keys and values with their frame, without free space in pages
	Pages   uint64 // bytes of the pages in use
}

// Tables returns the sizes of all tables by name. It reads the whole file.
func (s *Store) Tables() (out []TableSize, err error) {
	err = s.View(func(tx *Tx) (err error) {
		defer guard(faults(), &err, "", nil)
		return tx.b.ForEach(func(name []byte, b *bolt.Bucket) error {
			st := b.Stats()
			out = append(out, TableSize{string(name), uint64(st.KeyN), uint64(st.LeafInuse + st.BranchInuse), uint64(st.LeafAlloc + st.BranchAlloc)})
			return nil
		})
	})
	return out, err
}

// Size returns the length of the state file in bytes.
func (s *Store) Size() (int64, error) {
	info, err := os.Stat(s.path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
