package series

import (
	"os"
	"syscall"
)

// allocate makes a file as long as given, and takes the space for it.
func allocate(f *os.File, size int64) error {
	return syscall.Fallocate(int(f.Fd()), 0, 0, size)
}
