package store

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// initialMmap is zero: on Windows bbolt makes the file as long as its mapping.
const initialMmap = 0

// lockOffset is where the lock lies, far behind the text, so that others can read it.
const lockOffset = 1 << 30

func tryLock(f *os.File) error {
	at := &windows.Overlapped{Offset: lockOffset}
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return errHeld
	}
	return err
}

// syncDir does nothing: NTFS keeps renames in its journal and folders cannot be flushed.
func syncDir(string) error { return nil }
