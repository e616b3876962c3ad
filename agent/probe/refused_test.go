package probe

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"atalaya/shared/facts"
)

// twoSections has a row in each of its sections and fails to read one file of the first.
type twoSections struct{ file string }

func (twoSections) Info() Info {
	return Info{Name: "two", Sections: []facts.ID{facts.OS, facts.Kernel}}
}

func (p twoSections) Collect(_ context.Context, h *Host, r *Report) error {
	r.Add(facts.OS, &facts.OSRow{Name: "a"})
	r.Add(facts.Kernel, &facts.KernelRow{Release: "1"})
	_ = h.For(facts.OS).ReadString(p.file)
	return nil
}

func TestASectionIsToldWhatOfItsOwnCannotBeRead(t *testing.T) {
	f := func(file string, os facts.Status, reason string) {
		t.Helper()
		root := damaged(t)
		got := RunOnce(context.Background(), RootHost(root), twoSections{file}).Readings
		if got[0].Status != os || !strings.Contains(got[0].Reason, reason) || strings.Contains(got[0].Reason, root) {
			t.Errorf("%s: os is %v, %q, want %v with %q", file, got[0].Status, got[0].Reason, os, reason)
		}
		if got[1].Status != facts.StatusOK || got[1].Reason != "" {
			t.Errorf("%s: kernel is %v, %q", file, got[1].Status, got[1].Reason)
		}
	}
	f("/etc/folder", facts.StatusPartial, "read /etc/folder: not a regular file")
	f("/etc/loop", facts.StatusPartial, "/etc/loop: too many symbolic links")
	f("/etc/loop/below", facts.StatusPartial, "/etc/loop/below: too many symbolic links")
	f("/proc/cpuinfo", facts.StatusPartial, "/proc/cpuinfo: damaged: it is empty")
	f("/etc/empty", facts.StatusOK, "")
	f("/etc/missing", facts.StatusOK, "")
	f("/etc/empty/below", facts.StatusOK, "")
}

func damaged(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, err := range []error{
		os.MkdirAll(filepath.Join(root, "etc/folder"), 0o755), os.Mkdir(filepath.Join(root, "proc"), 0o755),
		os.WriteFile(filepath.Join(root, "etc/empty"), nil, 0o644), os.WriteFile(filepath.Join(root, "proc/cpuinfo"), nil, 0o644),
		os.Symlink("loop", filepath.Join(root, "etc/loop")),
	} {
		if err != nil {
			t.Skip(err) // no links on this system
		}
	}
	return root
}

func TestWhatCountsAsUnreadable(t *testing.T) {
	live, root := LiveHost(), RootHost(t.TempDir())
	f := func(h *Host, name string, err error, want int) {
		t.Helper()
		h.refused.take()
		got := h.note("read", name, err)
		if n := len(h.refused.take()); n != want || !errors.Is(got, err) {
			t.Errorf("%s: %v: %d are remembered, want %d", name, got, n, want)
		}
	}
	f(live, "/etc/a", syscall.EIO, 1)
	f(live, "/etc/a", syscall.ELOOP, 1)
	f(live, "/etc/a", errNoFile, 1)
	f(live, "/etc/a", errDevice, 0) // masked by a link to /dev/null
	f(live, "/etc/a", fs.ErrNotExist, 0)
	f(live, "/etc/a", syscall.ENOTDIR, 0)
	f(live, "/sys/class/net/eth0/speed", syscall.EIO, 0) // has nothing to tell
	f(root, "/sys/class/net/eth0/speed", syscall.EIO, 1) // is a copy
	f(live, "/proc/sys/kernel/osrelease", fs.ErrPermission, 1)
	f(live, "/proc/12/environ", fs.ErrPermission, 0)
}
