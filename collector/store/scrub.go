package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Snapshot is the open file as of one transaction: what is to be verified of it. It holds
// while the transaction that it was taken in lasts, and is told to another process as JSON.
type Snapshot struct {
	Path     string
	TxID     uint64
	Root     uint64 // page of the table of tables
	PageSize uint64
	Bytes    uint64 // up to the last page in use
}

// Scrub verifies all of the open file as Check does, while it is read and written: a
// read transaction keeps the pages that are looked at. Config.Verify does it, in
// another process if that is what it is; nil: this one.
func (s *Store) Scrub() (r Report, err error) {
	verify := s.verify
	if verify == nil {
		verify = Snapshot.Verify
	}
	err = s.View(func(tx *Tx) (err error) {
		defer guard(faults(), &err, "", nil)
		r, err = verify(Snapshot{
			Path: s.path, TxID: uint64(tx.b.ID()), Root: uint64(tx.b.Cursor().Bucket().Root()),
			PageSize: uint64(s.db.Info().PageSize), Bytes: uint64(tx.b.Size()),
		})
		return err
	})
	if err != nil {
		return r, fmt.Errorf("scrub state file %q: %w", s.path, err)
	}
	return r, nil
}

// Verify reads the file itself, not what is mapped of it, and believes no length.
func (n Snapshot) Verify() (r Report, err error) {
	if n.PageSize < 1<<10 || n.Bytes < 4*n.PageSize {
		return r, fmt.Errorf("pages of %d bytes, %d bytes in all: not a state file", n.PageSize, n.Bytes)
	}
	f, err := os.Open(n.Path)
	if err != nil {
		return r, err
	}
	defer f.Close() // only read
	c := newChecker(f, int64(n.Bytes), n.Path)
	c.pageSize, c.pages, c.root = n.PageSize, n.Bytes/n.PageSize, n.Root
	c.report.TxID, c.report.Bytes = n.TxID, n.Bytes
	c.walk()
	return c.report, c.ioErr
}

// Trouble returns why the state cannot be written at the moment, empty when it can.
// Reading goes on meanwhile, and hosts keep what they are not told is durable.
func (s *Store) Trouble() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.failed != nil:
		return fmt.Sprintf("the state is read-only, its file is damaged: %v (restart the collector: it mends the file, or says which backup to restore)", s.failed)
	case s.full != nil:
		return fmt.Sprintf("the state is read-only since %s: no space is left on the disk of %q; hosts keep what they have to tell",
			s.fullSince.UTC().Format(time.RFC3339), filepath.Dir(s.path))
	}
	return ""
}

// noteFull remembers whether the last commit found no space.
func (s *Store) noteFull(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !errors.Is(err, ErrFull):
		if s.full != nil && err == nil {
			s.full = nil
			s.log.Info("the state can be written again", "file", s.path)
		}
	case s.full == nil:
		s.full, s.fullSince = err, s.now()
		s.log.Error("the state is read-only until there is space", "file", s.path, "err", err)
	}
}

// Restore puts a backup in the place of the state file of a collector that does not
// run. The copy that takes its place is verified before, and the file that was there is
// kept beside it under the name that is returned, empty when there was none. When the
// collector starts it notices that the state is older and asks every host for its facts.
func Restore(backup, path string) (kept string, err error) {
	if err := restorable(backup); err != nil {
		return "", fmt.Errorf("%w; nothing was restored, the state is as it was", err)
	}
	if err := verifyCopy(backup, backup); err != nil { // before anything is made in the folder
		return "", err
	}
	lock, err := lockPath(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, lock.release()) }()
	aside := path + ".new"
	if err := copyFile(backup, aside); err != nil {
		return "", errors.Join(fmt.Errorf("restore: %w; nothing was restored, the state is as it was", err), remove(aside))
	}
	if err := verifyCopy(backup, aside); err != nil {
		return "", errors.Join(err, remove(aside))
	}
	if _, err := os.Stat(path); err == nil {
		kept = fmt.Sprintf("%s.before-%s", path, time.Now().UTC().Format("20060102T150405Z"))
		// A second name first, where files can have two: there is a state at every moment.
		err := os.Link(path, kept)
		if err != nil {
			err = os.Rename(path, kept)
		}
		if err != nil {
			return "", errors.Join(fmt.Errorf("restore: %w", err), remove(aside))
		}
	}
	if err := os.Rename(aside, path); err != nil {
		return kept, fmt.Errorf("restore: %w", err)
	}
	return kept, syncDir(filepath.Dir(path))
}

// restorable refuses what cannot be a backup, and says what to name instead.
func restorable(backup string) error {
	info, err := os.Stat(backup)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("backup %q does not exist: name a file that `atalaya backup` wrote", backup)
	case err != nil:
		return fmt.Errorf("backup: %w: run this as a user who may read it", err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("backup %q is not a file: name a file that `atalaya backup` wrote", backup)
	}
	return nil
}

// verifyCopy checks the copy of a backup.
func verifyCopy(backup, aside string) error {
	report, err := Check(aside)
	if err != nil {
		return fmt.Errorf("backup %q: %w", backup, err)
	}
	if report.Count > 0 {
		return &CorruptError{Findings: report.Summary(), Detail: fmt.Sprintf("backup %q, %d findings; nothing was restored, the state is as it was: "+
			"restore an older backup, or start the collector on what it has", backup, report.Count)}
	}
	if err := report.Err(); err != nil {
		return fmt.Errorf("backup %q: %w", backup, err)
	}
	return nil
}

// remove removes a file if it is there.
func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// copyFile copies a file durably.
func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() // only read
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
