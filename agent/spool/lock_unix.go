//go:build linux || darwin || freebsd || netbsd || openbsd

package spool

import (
	"errors"
	"os"
	"syscall"
)

// TryLock takes an exclusive lock on the open file without waiting, see flock(2): ErrLocked
// when another process holds it. The lock ends when the file is closed or the process ends.
func TryLock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}
