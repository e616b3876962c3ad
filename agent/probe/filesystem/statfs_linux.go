package filesystem

import (
	"errors"

	"golang.org/x/sys/unix"
)

func statfs(path string) (usage, error) {
	var st unix.Statfs_t
	err := unix.Statfs(path, &st)
	for errors.Is(err, unix.EINTR) {
		err = unix.Statfs(path, &st)
	}
	if err != nil {
		return usage{}, err
	}
	unit := uint64(st.Frsize) // of the block counts; 0 before Linux 2.6.36
	if unit == 0 {
		unit = uint64(st.Bsize)
	}
	return usage{
		size: st.Blocks * unit, free: st.Bfree * unit, avail: st.Bavail * unit,
		files: st.Files, filesFree: st.Ffree,
	}, nil
}
