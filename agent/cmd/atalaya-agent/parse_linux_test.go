package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
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
