package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// lockWait is how long Open waits for another process to let go of the file: a
// restart overlaps by less, and a second collector hears of it within two seconds.
const lockWait = 1500 * time.Millisecond

// lockFile is held while the state is open and names the holder.
type lockFile struct{ f *os.File }

// errHeld is what tryLock returns when another process has the lock.
var errHeld = errors.New("lock is held")

func lockPath(path string) (*lockFile, error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open state: the data folder %q does not exist: name the collector's by --data, or make it", filepath.Dir(path))
	}
	if err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	for deadline := time.Now().Add(lockWait); ; time.Sleep(50 * time.Millisecond) {
		err = tryLock(f)
		if !errors.Is(err, errHeld) || time.Now().After(deadline) {
			break
		}
	}
	if errors.Is(err, errHeld) {
		pid, _ := io.ReadAll(io.LimitReader(f, 32)) // only for the message
		err = fmt.Errorf("%w: process %s already runs on the data folder %q: stop it, or give another folder",
			ErrLocked, strings.TrimSpace(string(pid)), filepath.Dir(path))
	}
	if err == nil {
		err = writePID(f)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &lockFile{f}, nil
}

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	return err
}

// release gives the lock up by closing the file, which stays for the next holder.
func (l *lockFile) release() error { return l.f.Close() }
