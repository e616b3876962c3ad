package patches

import (
	"io/fs"
	"syscall"
	"time"
)

// times returns what package fs does not tell of a file.
func times(info fs.FileInfo) fileTimes {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileTimes{}
	}
	return fileTimes{changed: time.Unix(int64(st.Ctim.Sec), int64(st.Ctim.Nsec)), inode: uint64(st.Ino)}
}
