package agent

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// releaseFiles gives back the pages of the program itself and those of the spool's file:
// what an inventory runs and writes is not needed for hours. The pages stay in the
// system's cache, and those that are needed come back from there one by one. What the
// program has written to in memory is left alone.
func releaseFiles(spoolFile string) {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	if whole, err := filepath.Abs(spoolFile); err == nil {
		spoolFile = whole
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer maps.Close() // read only: nothing can be lost
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		if from, to, ok := pagesOf(lines.Bytes(), exe, spoolFile); ok {
			// Refused: the pages stay.
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED)
		}
	}
}

// pagesOf reads a line of proc_pid_maps(5) and tells whether it is one of the files whose
// pages this process cannot have written to:
//
//	00400000-00a2d000 r-xp 00000000 08:01 131 /usr/bin/atalaya-agent
func pagesOf(line []byte, files ...string) (from, to uintptr, ok bool) {
	f := bytes.SplitN(line, []byte(" "), 6)
	if len(f) < 6 || len(f[1]) != 4 || f[1][1] != '-' || !slices.Contains(files, string(bytes.TrimLeft(f[5], " "))) {
		return 0, 0, false
	}
	n, err := fmt.Sscanf(string(f[0]), "%x-%x", &from, &to)
	return from, to, err == nil && n == 2 && from < to
}
