package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"atalaya/agent/probetest"
)

func TestParseRefusesWhatMayNeverEnd(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{pipe, "/dev/zero"} {
		_, talk, code := play(t, "", "parse", "dpkg", name)
		if code != exitFailed || !strings.Contains(talk, "may never end (if you mean it: atalaya-agent parse KIND - < "+name+")") {
			t.Errorf("%s: exit %d: %s", name, code, talk)
		}
	}
}

// TestParseReadsNoMoreThanTheKindCanHave gives files of 2 GB: what is too large is not read
// at all, and of a disk's image the beginning is.
func TestParseReadsNoMoreThanTheKindCanHave(t *testing.T) {
	file := filepath.Join(t.TempDir(), "image")
	swap := append(make([]byte, 4086), "SWAPSPACE2"...)
	swap[1024], swap[1028], swap[1036] = 1, 9, 1 // version, last page, first byte of the UUID
	if err := os.WriteFile(file, swap, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 2<<30); err != nil {
		t.Skipf("no sparse files here: %v", err)
	}
	for kind, limit := range map[string]string{"edid": "1024 KiB", "cpuinfo": "4096 KiB", "dpkg": "65536 KiB", "rpm": "262144 KiB"} {
		var out, talk string
		var code int
		used := probetest.Allocated(func() { out, talk, code = play(t, "", "parse", kind, file) })
		if code != exitFailed || out != "" || !strings.Contains(talk, "larger than the "+limit+" that a file of kind "+kind+" may have") {
			t.Errorf("%s: exit %d: %s", kind, code, talk)
		}
		if used > 8<<20 {
			t.Errorf("%s: %d bytes allocated", kind, used)
		}
	}
	if out, talk, code := play(t, "", "parse", "superblock", file); code != 0 || !strings.Contains(out, `"swap"`) {
		t.Errorf("superblock: exit %d: %s%s", code, out, talk)
	}
	if out, talk, code := play(t, string(swap)+strings.Repeat("\x00", 1<<20), "parse", "superblock", "-"); code != 0 || !strings.Contains(out, `"swap"`) {
		t.Errorf("superblock from a pipe: exit %d: %s%s", code, out, talk)
	}
	if _, talk, code := play(t, strings.Repeat("x", 2<<20), "parse", "edid", "-"); code != exitFailed || !strings.Contains(talk, "larger than the 1024 KiB") {
		t.Errorf("edid from a pipe: exit %d: %s", code, talk)
	}
}

func TestParseReadsAPipeThatTheCallerHasOpened(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	fmt.Fprint(w, "root:x:0:0:root:/root:/bin/sh\n")
	w.Close()
	out, talk, code := play(t, "", "parse", "passwd", fmt.Sprintf("/dev/fd/%d", r.Fd()))
	if code != 0 || !strings.Contains(out, `"root"`) {
		t.Errorf("exit %d: %s%s", code, out, talk)
	}
}
