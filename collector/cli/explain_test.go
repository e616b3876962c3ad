package cli

import (
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestOnlyADialMeansThatTheCollectorIsNotReached(t *testing.T) {
	c := &connection{place: "/run/s", local: true}
	f := func(err error, want string) {
		t.Helper()
		if got := c.explain(err).Error(); !strings.HasPrefix(got, want) {
			t.Errorf("explain(%v) = %q, want %q", err, got, want)
		}
	}
	file := func(errno syscall.Errno) error { return &fs.PathError{Op: "open", Path: "x", Err: errno} }
	dial := func(errno syscall.Errno) error {
		return &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", errno)}
	}
	f(file(syscall.EACCES), "open x: ")
	f(file(syscall.ENOENT), "open x: ")
	f(dial(syscall.EACCES), "cannot reach the collector at /run/s: permission denied")
	f(dial(syscall.ENOENT), "cannot reach the collector at /run/s: is `atalaya serve` running?")
	f(dial(syscall.ECONNREFUSED), "cannot reach the collector at /run/s: is `atalaya serve` running?")
}
