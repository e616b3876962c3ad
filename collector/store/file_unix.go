//go:build unix

package store

import (
	"errors"
	"os"
	"syscall"
)

// initialMmap is mapped from the start, so that a growing file need not wait for
// readers to end. It is address space, not memory.
const initialMmap = 1 << 30

func tryLock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errHeld
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
