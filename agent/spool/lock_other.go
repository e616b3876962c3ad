//go:build !linux && !darwin && !freebsd && !netbsd && !openbsd && !windows

package spool

import (
	"errors"
	"os"
)

// tryLock is not written for this system.
func tryLock(*os.File) error { return errors.ErrUnsupported }
