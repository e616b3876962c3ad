//go:build unix

package probe

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// openFile opens a file to be read, without waiting for the writer of a pipe and out
// of reach of the runtime's poller: that one would take the kernel's announcement of
// a changed table of mounts before File.Changed asks for it.
func openFile(name string) (*os.File, error) {
	const flags = syscall.O_RDONLY | syscall.O_CLOEXEC | syscall.O_NONBLOCK
	fd, err := syscall.Open(name, flags, 0)
	for errors.Is(err, syscall.EINTR) {
		fd, err = syscall.Open(name, flags, 0)
	}
	if err == nil {
		err = syscall.SetNonblock(fd, false) // os.NewFile polls what does not block
		if err != nil {
			syscall.Close(fd)
		}
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// openFolder opens a folder: what is none is refused before it is opened.
func openFolder(name string) (*os.File, error) {
	return os.OpenFile(name, syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
}
