package probe

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

func TestChangedAnnouncesAnotherTableOfMounts(t *testing.T) {
	runtime.LockOSThread() // never unlocked: the thread and its name space end with the test
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		t.Skip("needs the right to make a name space:", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Skip("needs the right to mount:", err)
	}
	f := LiveHost().File("/proc/thread-self/mountinfo")
	defer f.Close()
	changed := func(when string, want bool) {
		t.Helper()
		if got := f.Changed(); got != want {
			t.Errorf("%s: Changed is %v", when, got)
		}
	}
	changed("before it was opened", true)
	if _, err := f.Read(nil); err != nil {
		t.Fatal(err)
	}
	changed("after reading", false)
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	changed("after a mount", true)
	changed("asked again", false)
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	changed("after the unmount", true)
}
