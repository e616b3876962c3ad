//go:build !linux && !darwin && !freebsd && !netbsd && !openbsd && !windows

package spool

import (
	"errors"
	"os"
)

// TryLock is not written for this system: it returns errors.ErrUnsupported.
func TryLock(*os.File) error { return errors.ErrUnsupported }
