package agent

import (
	"bufio"
	"bytes"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// releaseCode gives back the pages of the program itself: what an inventory runs is not
// needed for hours. The pages stay in the system's cache, and those that are needed come
// back from there one by one. What the program has written to is left alone.
func releaseCode() {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer maps.Close() // read only: nothing can be lost
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		if from, to, ok := codeOf(lines.Bytes(), exe); ok {
			// Refused: the pages stay.
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED)
		}
	}
}

// codeOf reads a line of proc_pid_maps(5) and tells whether it is one of exe that
// nothing can have been written to:
//
//	00400000-00a2d000 r-xp 00000000 08:01 131 /usr/bin/atalaya-agent
func codeOf(line []byte, exe string) (from, to uintptr, ok bool) {
	f := bytes.SplitN(line, []byte(" "), 6)
	if len(f) < 6 || len(f[1]) != 4 || f[1][1] != '-' || f[1][3] != 'p' || string(bytes.TrimLeft(f[5], " ")) != exe {
		return 0, 0, false
	}
	n, err := fmt.Sscanf(string(f[0]), "%x-%x", &from, &to)
	return from, to, err == nil && n == 2 && from < to
}
