package probe

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestAChangeUnderALockIsReadWhenTheLockIsGone(t *testing.T) {
	dir := t.TempDir()
	watchedFile, lock := filepath.Join(dir, "status"), filepath.Join(dir, "lock")
	for _, p := range []string{watchedFile, lock} {
		if err := os.WriteFile(p, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := LiveHost()
	r := &runner{host: h, info: Info{Watch: []string{watchedFile}, Locks: []string{lock}}}
	requests := 0
	w := newWatcher([]*runner{r}, func(...*runner) { requests++ })

	f, err := os.OpenFile(lock, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if !h.Locked(lock) {
		t.Skip("/proc/locks does not show the lock here")
	}
	if err := os.WriteFile(watchedFile, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	collect := func() {
		if err := w.Collect(context.Background(), h, nil); err != nil {
			t.Fatal(err)
		}
	}
	collect()
	if requests != 0 {
		t.Errorf("read while the lock was held")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	collect()
	collect()
	if requests != 1 {
		t.Errorf("%d readings after the lock was gone, want 1", requests)
	}
}
