package probe

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// openBeneath opens a file below root, of which links inside of root lead nowhere else.
// Kernels before 5.6 cannot promise that; there the path that was resolved before is
// opened, which a container that changes its links at that moment can lead astray to a
// file that the agent may read, of which only rows that look like packages are told.
func openBeneath(root, name string) (*os.File, error) {
	rest, err := filepath.Rel(root, name)
	if err != nil {
		return nil, err
	}
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: root, Err: err}
	}
	defer unix.Close(dir)
	how := unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	fd, err := unix.Openat2(dir, rest, &how)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // old, or a filter that does not know the call
		return openFile(name)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		unix.Close(fd)
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}
