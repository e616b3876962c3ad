package patches

import (
	"io/fs"
	"syscall"
	"time"
)

// changeTime is the ctime of a file, which package fs does not tell: when its content,
// owner, mode or name changed last. Zero: not known.
func changeTime(info fs.FileInfo) time.Time {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return time.Time{}
	}
	return time.Unix(int64(st.Ctim.Sec), int64(st.Ctim.Nsec))
}
