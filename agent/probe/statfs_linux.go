package probe

import (
	"errors"

	"golang.org/x/sys/unix"
)

// StatFS asks a file system how full it is. The call can hang and obeys no deadline: it
// is for file systems on local disks; the others are asked by a helper (StatFSTask).
func StatFS(path string) (Usage, error) {
	var st unix.Statfs_t
	err := unix.Statfs(path, &st)
	for errors.Is(err, unix.EINTR) {
		err = unix.Statfs(path, &st)
	}
	if err != nil {
		return Usage{}, err
	}
	unit := uint64(st.Frsize) // of the block counts; 0 before Linux 2.6.36
	if unit == 0 {
		unit = uint64(st.Bsize)
	}
	return Usage{
		Size: st.Blocks * unit, Free: st.Bfree * unit, Avail: st.Bavail * unit,
		Files: st.Files, FilesFree: st.Ffree,
	}, nil
}
