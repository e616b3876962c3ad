package probe

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// strayed makes a host, and beside it what is not its own: a folder with a file and a link.
func strayed(t *testing.T) (h *Host, root, outside string) {
	t.Helper()
	dir := t.TempDir()
	root, outside = dir+"/root", dir+"/outside"
	for name, target := range map[string]string{"root/place/own": "", "outside/secret": "", "outside/link": "secret", "root/swap": outside} {
		at := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(at), 0o755)
		if err == nil && target == "" {
			err = os.WriteFile(at, []byte(name), 0o644)
		} else if err == nil {
			err = os.Symlink(target, at)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	h, err := LiveHost().Within(root)
	if err != nil {
		t.Fatal(err)
	}
	return h, root, outside
}

// TestWhatBecameALinkLeadsNowhere gives places as if they had been resolved before one of
// their folders became a link.
func TestWhatBecameALinkLeadsNowhere(t *testing.T) {
	within, root, _ := strayed(t)
	for name, h := range map[string]*Host{"within": within, "root": RootHost(root)} {
		if entries, err := h.readDir(root + "/swap"); err == nil {
			t.Errorf("%s: lists %v", name, entries)
		}
		for _, place := range []string{"/swap/secret", "/swap/link"} {
			if info, err := h.lstat(root + place); err == nil {
				t.Errorf("%s: sees %v", name, info)
			}
		}
		if target, err := linkBeneath(h.layerOf(root), root+"/swap/link"); err == nil {
			t.Errorf("%s: reads the link to %q", name, target)
		}
		if entries, err := h.readDir(root + "/place"); err != nil || len(entries) != 1 {
			t.Errorf("%s: its own folder: %v, %v", name, entries, err)
		}
		if info, err := h.lstat(root + "/swap"); err != nil || info.Mode()&os.ModeSymlink == 0 || info.Name() != "swap" {
			t.Errorf("%s: its own link: %v, %v", name, info, err)
		}
		if _, err := h.Readlink("/place"); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%s: a folder as a link: %v", name, err)
		}
	}
}

// TestAFolderThatIsSwappedIsNotLeft lists a folder that becomes a link to another one, and a
// folder again, all the while: of 200,000 listings 153 showed what lies outside.
func TestAFolderThatIsSwappedIsNotLeft(t *testing.T) {
	h, root, outside := strayed(t)
	swap := func() error {
		return unix.Renameat2(unix.AT_FDCWD, root+"/place", unix.AT_FDCWD, root+"/swap", unix.RENAME_EXCHANGE)
	}
	if err := swap(); err != nil {
		t.Skipf("no exchange of names here: %v", err)
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			default:
				_ = swap() // it has worked once
			}
		}
	}()
	defer func() { close(end); <-ended }()
	seen := 0
	for range 2_000 {
		entries, _ := h.ReadDir("/place") // or a link that leads to nothing inside
		for _, e := range entries {
			if seen++; e.Name() != "own" {
				t.Fatalf("it lists %q of %s", e.Name(), outside)
			}
		}
		if _, err := h.Stat("/place/secret"); err == nil {
			t.Fatal("it sees the file outside")
		}
		if found, _ := h.Glob("/place/*"); slices.Contains(found, "/place/secret") {
			t.Fatalf("it finds %q", found)
		}
		if target, err := h.Readlink("/place/link"); err == nil {
			t.Fatalf("it reads the link to %q outside", target)
		}
		if h.Stamp("/place/secret") != (Stamp{}) {
			t.Fatal("it stamps the file outside")
		}
	}
	if seen == 0 {
		t.Error("it was never seen as a folder")
	}
}

func TestOldKernelsOpenOneFolderInTheOther(t *testing.T) {
	_, root, _ := strayed(t)
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(dir)
	before := openFiles(t)
	for _, c := range []struct {
		name  string
		flags int
		want  error
	}{
		{".", toList, nil}, {"place", toList, nil}, {"place", toLook, nil}, {"place/own", toRead, nil}, {"place/own", toLook, nil}, {"swap", toLook, nil},
		{"place/own", toList, unix.ENOTDIR}, {"swap", toList, unix.ENOTDIR}, {"swap/secret", toRead, unix.ENOTDIR}, {"swap/link", toLook, unix.ENOTDIR},
		{"swap", toRead, unix.ELOOP}, {"..", toList, unix.EXDEV}, {"place/../../outside", toList, unix.EXDEV}, {"none/x", toRead, unix.ENOENT},
	} {
		fd, err := openSteps(dir, c.name, c.flags)
		if !errors.Is(err, c.want) {
			t.Errorf("%s with %#x: %v, want %v", c.name, c.flags, err, c.want)
		}
		if err == nil {
			unix.Close(fd)
		}
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d files are open, %d were", after, before)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(list)
}
