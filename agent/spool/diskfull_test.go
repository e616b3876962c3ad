//go:build linux

package spool

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"atalaya/shared/facts"
	"atalaya/shared/metric"
)

// smallDisk mounts a file system of the given size, with a file on it that takes up
// all but what the spool needs at first.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a small file system")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skip("mount:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestFullDiskHoldsReadingsUntilThereIsSpace(t *testing.T) {
	dir := smallDisk(t, "512k")
	s := open(t, filepath.Join(dir, "state"), Config{})
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 300<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Now().UnixMilli()
	var sent, failed int64
	for failed < 20 {
		err := s.AppendMetrics([]metric.Frame{frame(s, now+sent, 150)})
		sent++
		if err != nil {
			failed++
			if !strings.Contains(err.Error(), "no space left") || strings.Contains(err.Error(), "\n") {
				t.Fatalf("append %d: %v", sent, err)
			}
		}
		if sent > 2000 {
			t.Fatal("the disk never got full")
		}
	}
	if err := s.AppendInventory([]facts.Reading{users(facts.StatusOK, now, "ann")}); err == nil {
		t.Log("a small inventory still fitted")
	}
	if st := s.Stats(); st.HeldFrames != 20 {
		t.Errorf("%d readings held, want 20", st.HeldFrames)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := s.AppendMetrics([]metric.Frame{frame(s, now+sent, 150)}); err != nil {
		t.Fatalf("append after space came back: %v", err)
	}
	s = reopen(t, s)
	var frames int64
	for _, b := range drain(t, s) {
		for _, f := range b.Frames {
			if f.At != now+frames {
				t.Fatalf("frame %d has time %d, want %d", frames, f.At-now, frames)
			}
			frames++
		}
	}
	if frames != sent+1 || s.Stats().Lost != 0 {
		t.Errorf("%d frames of %d, %d lost", frames, sent+1, s.Stats().Lost)
	}
	if found, _ := filepath.Glob(filepath.Join(s.dir, "*.damaged-*")); len(found) > 0 {
		t.Errorf("a full disk damaged the file: %v", found)
	}
}

func TestHeldReadingsAreBoundedAndCounted(t *testing.T) {
	dir := smallDisk(t, "256k")
	s := open(t, filepath.Join(dir, "state"), Config{})
	ballast := filepath.Join(dir, "ballast")
	os.WriteFile(ballast, make([]byte, 256<<10), 0o600)
	now := time.Now().UnixMilli()
	const each = 5000
	var sent, kept uint64
	for ; sent < 60; sent++ {
		if err := s.AppendMetrics([]metric.Frame{frame(s, now+int64(sent), each)}); err == nil {
			kept++
		}
	}
	st := s.Stats()
	if st.HeldFrames != maxHeldSamples/each || st.Lost+kept+uint64(st.HeldFrames) != sent {
		t.Errorf("%d written, %d held, %d lost of %d", kept, st.HeldFrames, st.Lost, sent)
	}
}

func TestFullDiskAtOpening(t *testing.T) {
	dir := smallDisk(t, "64k")
	os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 64<<10), 0o600)
	_, err := Open(filepath.Join(dir, "state"), Config{})
	if err == nil || !strings.Contains(err.Error(), "no space left") || strings.Contains(err.Error(), "\n") {
		t.Errorf("Open on a full disk: %v", err)
	}
}
