package probe

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRemotesAreKnownBeforeTheyAreAsked(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"far": "/net/home", "near": dir, "loop": dir + "/loop"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Skipf("no links here: %v", err)
		}
	}
	r := &Remotes{host: LiveHost(), mounts: make(map[string]bool), plain: make(map[string]bool)}
	r.parse("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:5 / /net/home rw shared:1 - nfs4 srv:/home rw\n" +
		"5 1 0:7 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw\n6 1 0:8 / /auto rw - autofs auto.home rw\n8 1 0:9 / /a\u00a0b\\134\\043\xff rw - fuse.x y rw\n7 1 0:9 / /mnt/c rw - 9p C: rw\n" +
		"3 1 0:6 / /with\\040blank rw - fuse.sshfs x rw\n4 2 0:7 / /net/home/local rw - ext4 /dev/sdb rw\nbroken\n")
	for path, want := range map[string]bool{
		"/": false, "/home/a": false, "/net": false, "/net/home": true, "/net/home/a/b": true, "/with blank/x": true,
		dir + "/far/alice": true, dir + "/near/x": false, dir + "/loop/x": true, "/net/homes": false, "/a/../net/home/x": true,
		"/auto/ann": true, "/proc/sys/fs/binfmt_misc": false, "/mnt/c/x": true, "/mnt": false,
		"/a\u00a0b\\#\xff/x": true, "/a": false,
	} {
		if got := r.Hold(path); got != want {
			t.Errorf("%s: remote %v, want %v", path, got, want)
		}
	}
	if !r.Hold(dir+"/far") || r.plain[dir+"/far"] || !r.plain[dir] {
		t.Errorf("remembered as no links: %v", r.plain)
	}
	root := &Remotes{host: LiveHost(), mounts: make(map[string]bool), plain: make(map[string]bool)}
	if root.parse("1 0 8:1 / / rw - nfs4 srv:/root rw\n"); root.Hold("/etc") || root.Hold("/") {
		t.Error("a root without which no program runs is remote")
	}
	if RootHost(dir).Remotes().Hold("/net/home/x") {
		t.Error("below a root nothing is remote")
	}
}

func TestPartsOfFilesAreRead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(name, []byte("aabbccddee"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := LiveHost()
	for limit, want := range map[int64]string{100: "aabbccddee", 10: "aabbccddee", 5: "ddee", 4: "ddee", 1: ""} {
		got, whole, err := h.ReadTail(name, limit, 2)
		if string(got) != want || whole != (limit >= 10) || err != nil {
			t.Errorf("the last %d: %q, whole %v, %v", limit, got, whole, err)
		}
	}
	var got string
	err := h.ReadRecords(name, 3, []int64{-1, 2, 0, 3, 1 << 62}, func(n int64, b []byte) { got += string(b) + " " })
	if got != "dde aab " || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
