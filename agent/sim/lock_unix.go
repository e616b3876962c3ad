//go:build linux || darwin || freebsd || netbsd || openbsd

package sim

import (
	"errors"
	"os"
	"syscall"
)

// tryLock takes an exclusive lock on the open file, see flock(2).
func tryLock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errLocked
	}
	return err
}
