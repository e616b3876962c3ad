package probe

import (
	"bytes"
	"strconv"
)

// Locked reports whether some process holds a lock on a file, as /proc/locks lists
// them. It takes no lock itself, and says no where that cannot be told: on other
// systems, below a root, for processes of other containers.
func (h *Host) Locked(path string) bool {
	if !h.Live() {
		return false
	}
	info, err := h.Stat(path)
	if err != nil {
		return false
	}
	inode := inodeOf(info)
	if inode == 0 {
		return false
	}
	locks, err := h.ReadFile("/proc/locks")
	return err == nil && holdsLock(locks, inode)
}

// holdsLock looks for a held lock on an inode in the form of proc_locks(5):
//
//	1: POSIX  ADVISORY  WRITE 1234 08:02:3147 0 EOF
//
// Lines of processes that wait for a lock have "->" after the number. The device is
// not compared: what it is called here differs from stat's on some file systems.
func holdsLock(locks []byte, inode uint64) bool {
	want := []byte(":" + strconv.FormatUint(inode, 10))
	for line := range bytes.Lines(locks) {
		f := bytes.Fields(line)
		if len(f) >= 6 && string(f[1]) != "->" && bytes.HasSuffix(f[5], want) {
			return true
		}
	}
	return false
}
