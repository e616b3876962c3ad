package probe

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// tree makes a folder with files; a content of "-> x" makes a symbolic link to x.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			err = os.Symlink(target, p)
		} else {
			err = os.WriteFile(p, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestRootHostFollowsLinksInsideItsRoot(t *testing.T) {
	outside := tree(t, map[string]string{"secret": "outside"})
	root := tree(t, map[string]string{
		"etc/hostname":      "inside\n",
		"usr/etc/os":        "os",
		"lib":               "-> usr",
		"abs":               "-> /etc/hostname",
		"rel":               "-> etc/../etc/hostname",
		"up":                "-> ../../../../../../etc/hostname",
		"out":               "-> " + outside + "/secret",
		"outdir":            "-> " + outside,
		"loop":              "-> loop",
		"chain/a":           "-> ../lib/etc",
		"dir/with/file":     "x",
		"dir/with/dangling": "-> /nowhere/at/all",
	})
	h := RootHost(root)
	read := func(name, want string) {
		t.Helper()
		got, err := h.ReadFile(name)
		if err != nil || string(got) != want {
			t.Errorf("ReadFile(%q) = %q, %v; want %q", name, got, err, want)
		}
	}
	read("/etc/hostname", "inside\n")
	read("/abs", "inside\n")
	read("/rel", "inside\n")
	read("/up", "inside\n")
	read("/../../etc/hostname", "inside\n")
	read("/lib/etc/os", "os")
	read("/chain/a/os", "os")
	read("//etc/./hostname", "inside\n")

	refused := func(name string) {
		t.Helper()
		if got, err := h.ReadFile(name); err == nil {
			t.Errorf("ReadFile(%q) = %q, want an error", name, got)
		}
	}
	refused("/out")
	refused("/outdir/secret")
	refused("/loop")
	refused("/dir/with/dangling")
	refused("/dir")
	refused("etc/hostname")

	if got := h.ReadString("/abs"); got != "inside" {
		t.Errorf("ReadString = %q", got)
	}
	if got, err := h.Readlink("/abs"); err != nil || got != "/etc/hostname" {
		t.Errorf("Readlink(/abs) = %q, %v", got, err)
	}
	if got, err := h.Readlink("/chain/a"); err != nil || got != "../lib/etc" {
		t.Errorf("Readlink(/chain/a) = %q, %v", got, err)
	}
	if info, err := h.Stat("/abs"); err != nil || info.Size() != 7 {
		t.Errorf("Stat(/abs) = %v, %v", info, err)
	}
	if _, err := h.Stat("/dir/with/dangling"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat of a dangling link: %v, want not exist", err)
	}
}

func TestRootHostGlob(t *testing.T) {
	h := RootHost(tree(t, map[string]string{
		"sys/class/net/eth0": "-> ../../devices/net/eth0", "sys/devices/net/eth0/mtu": "1500",
		"sys/class/net/lo": "-> ../../devices/net/lo", "sys/devices/net/lo/mtu": "65536",
		"sys/class/file": "x", "etc/a.list": "", "etc/b.list": "-> /nowhere",
	}))
	f := func(pattern string, want ...string) {
		t.Helper()
		got, err := h.Glob(pattern)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("Glob(%q) = %q, %v; want %q", pattern, got, err, want)
		}
	}
	f("/sys/class/net/*/mtu", "/sys/class/net/eth0/mtu", "/sys/class/net/lo/mtu")
	f("/sys/class/net/e*", "/sys/class/net/eth0")
	f("/sys/class/*/eth0/mtu", "/sys/class/net/eth0/mtu")
	f("/etc/*.list", "/etc/a.list", "/etc/b.list")
	f("/etc/a.list", "/etc/a.list")
	f("/none/*")
	f("/none")
	if _, err := h.Glob("/etc/[a"); !errors.Is(err, filepath.ErrBadPattern) {
		t.Errorf("malformed pattern: %v", err)
	}
}

func TestReadFileKeepsItsLimit(t *testing.T) {
	h := RootHost(tree(t, map[string]string{"ten": "0123456789", "eleven": "0123456789a"}))
	h = h.forProbe(Info{MaxBytes: 10})
	if got, err := h.ReadFile("/ten"); err != nil || len(got) != 10 {
		t.Errorf("at the limit: %q, %v", got, err)
	}
	if _, err := h.ReadFile("/eleven"); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("beyond the limit: %v", err)
	}
	if n := h.bytes.Load(); n != 10 {
		t.Errorf("counted %d bytes, want 10", n)
	}
	if runtime.GOOS == "linux" {
		// The size of this one is 0 until it is read.
		if _, err := LiveHost().forProbe(Info{MaxBytes: 10}).ReadFile("/proc/self/status"); err == nil {
			t.Error("a file of /proc passed the limit")
		}
	}
}

func TestKeptFileReadsAgainFromTheStart(t *testing.T) {
	root := tree(t, map[string]string{"f": "one"})
	f := RootHost(root).File("/f")
	defer f.Close()
	read := func(want string) {
		t.Helper()
		if got, err := f.Read(nil); err != nil || string(got) != want {
			t.Errorf("Read = %q, %v; want %q", got, err, want)
		}
	}
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, "f"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	read("one")
	write("second")
	read("second")
	long := strings.Repeat("0123456789", 10_000)
	write(long)
	read(long)
	write("")
	read("")
}

func TestKeptFileOpensWhenItAppears(t *testing.T) {
	root := tree(t, nil)
	f := RootHost(root).File("/f")
	defer f.Close()
	if _, err := f.Read(nil); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("absent file: %v", err)
	}
	if err := os.WriteFile(filepath.Join(root, "f"), []byte("here"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range missingRetry - 1 {
		if _, err := f.Read(nil); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("looked for before its time: %v", err)
		}
	}
	if got, err := f.Read(nil); err != nil || string(got) != "here" {
		t.Errorf("Read = %q, %v", got, err)
	}
}

func TestKeptFileReadsWithoutAllocating(t *testing.T) {
	f := RootHost(tree(t, map[string]string{"f": strings.Repeat("x", 3000)})).File("/f")
	defer f.Close()
	var buf []byte
	n := testing.AllocsPerRun(100, func() {
		var err error
		if buf, err = f.Read(buf); err != nil || len(buf) != 3000 {
			t.Fatalf("%d bytes, %v", len(buf), err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestReadingAPipeFailsAtOnce(t *testing.T) {
	root := t.TempDir()
	makePipe(t, filepath.Join(root, "pipe"))
	h := RootHost(root)
	if _, err := h.ReadFile("/pipe"); err == nil || !strings.Contains(err.Error(), "a pipe") {
		t.Errorf("ReadFile: %v", err)
	}
	if _, err := h.File("/pipe").Read(nil); err == nil || !strings.Contains(err.Error(), "a pipe") {
		t.Errorf("File.Read: %v", err)
	}
	for _, name := range []string{"/pipe", "/pipe/below"} {
		if _, err := h.OpenDir(name); err == nil {
			t.Errorf("OpenDir of %s opened a pipe", name)
		}
		if _, err := h.Readlink(name); err == nil {
			t.Errorf("Readlink of %s read a pipe", name)
		}
		if r := h.refused.take(); len(r) != 1 || r[0].Path != "/pipe" || r[0].Err != errPipe {
			t.Errorf("%s: refused %v", name, r)
		}
	}
	if found, err := h.Glob("/pipe/*"); len(found) > 0 || err != nil || h.Refusals() == 0 {
		t.Errorf("Glob: %q, %v, %d refusals", found, err, h.Refusals())
	}
}
