package probe

import (
	"errors"
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// isWhiteout reports whether overlayfs put this in the place of what was removed: a device
// with no number.
func isWhiteout(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode()&fs.ModeCharDevice != 0 && st.Rdev == 0
}

// mark is how a mark of overlayfs begins, which only root sees, or one of somebody without
// rights; 0 if there is none.
func mark(dir, name string) byte {
	var value [256]byte // more than a name in the same folder; longer is a path
	for _, kind := range []string{"trusted.overlay.", "user.overlay."} {
		switch n, err := unix.Lgetxattr(dir, kind+name, value[:]); {
		case errors.Is(err, unix.ERANGE):
			return '/'
		case err == nil && n > 0:
			return value[0]
		}
	}
	return 0
}
