package probe

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The ways to open what lies below a root.
const (
	toRead = unix.O_RDONLY | unix.O_NONBLOCK // a file, without waiting for the writer of a pipe
	toList = unix.O_RDONLY | unix.O_DIRECTORY
	toLook = unix.O_PATH | unix.O_NOFOLLOW // anything, a link itself
)

// openBeneath opens what lies below root, at a place that was resolved before. Should one of
// its folders have become a link since, that leads to nothing outside of root.
func openBeneath(root, name string, flags int) (*os.File, error) {
	rest, err := filepath.Rel(root, name)
	if err != nil {
		return nil, err
	}
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: root, Err: err}
	}
	defer unix.Close(dir)
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(dir, rest, &how)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // old, or a filter that does not know the call
		fd, err = openSteps(dir, rest, flags)
	}
	if err == nil && flags == toRead { // os.NewFile polls what does not block
		if err = unix.SetNonblock(fd, false); err != nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// openSteps is openat2(2) for kernels before 5.6: it opens one folder in the other, and no
// link.
func openSteps(dir int, rest string, flags int) (fd int, err error) {
	for at, more := dir, true; more; at = fd {
		var part string
		how := unix.O_PATH | unix.O_DIRECTORY
		if part, rest, more = strings.Cut(rest, "/"); !more {
			how = flags
		}
		if part == ".." { // no place that was resolved has it
			fd, err = -1, unix.EXDEV
		} else {
			fd, err = unix.Openat(at, part, how|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		}
		if at != dir {
			unix.Close(at)
		}
		if err != nil {
			return -1, err
		}
	}
	return fd, nil
}

// lookBeneath is os.Lstat below root.
func lookBeneath(root, name string) (fs.FileInfo, error) {
	f, err := openBeneath(root, name, toLook)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only looked at: nothing can be lost
	return f.Stat()
}

// linkBeneath is os.Readlink below root.
func linkBeneath(root, name string) (string, error) {
	f, err := openBeneath(root, name, toLook)
	if err != nil {
		return "", err
	}
	defer f.Close() // only looked at: nothing can be lost
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(f.Fd()), "", buf)
	if errors.Is(err, unix.ENOENT) { // it is no link
		err = syscall.EINVAL
	}
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	return string(buf[:n]), nil
}
