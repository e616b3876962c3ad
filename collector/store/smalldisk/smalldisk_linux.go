// Package smalldisk mounts a file system that a test fills, to see what the collector's
// files do on a full disk.
package smalldisk

import (
	"os"
	"syscall"
	"testing"
)

// Disk is a small file system in memory, gone at the end of the test.
type Disk struct {
	Dir string
	t   testing.TB
}

// New mounts a disk of a size such as "1m". It skips the test where that cannot be done.
func New(t testing.TB, size string) Disk {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("mounting a small file system: %v", err)
	}
	t.Cleanup(func() {
		// Detached, as what a test had to abandon keeps its files open.
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return Disk{Dir: dir, t: t}
}

// Grow gives the disk another size.
func (d Disk) Grow(size string) {
	d.t.Helper()
	if err := syscall.Mount("tmpfs", d.Dir, "tmpfs", syscall.MS_REMOUNT, "size="+size); err != nil {
		d.t.Fatal(err)
	}
}
