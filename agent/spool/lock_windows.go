package spool

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// lockOffset lies behind everything the lock file holds: Windows locks are
// mandatory, and the second process is to read the first one's number.
const lockOffset = 1 << 20

// TryLock takes an exclusive lock on one byte of the open file without waiting, see
// LockFileEx: ErrLocked when another process holds it. The lock ends when the file is
// closed or the process ends.
func TryLock(f *os.File) error {
	at := windows.Overlapped{Offset: lockOffset}
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrLocked
	}
	return err
}
