package probetest

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// nobody is a user without rights.
const nobody = 65534

// Deny takes all rights from the named files and folders of a tree, until the test ends. A
// test that runs as root becomes another user meanwhile, in all its threads: it must not
// run in parallel with others.
func Deny(t testing.TB, root string, names ...string) {
	t.Helper()
	must(t, os.Chmod(filepath.Dir(root), 0o755))
	for _, name := range names {
		file := filepath.Join(root, name)
		info, err := os.Stat(file)
		must(t, err)
		must(t, os.Chmod(file, 0))
		t.Cleanup(func() { must(t, os.Chmod(file, info.Mode().Perm())) })
	}
	if os.Geteuid() == 0 {
		must(t, syscall.Setresuid(-1, nobody, -1))
		t.Cleanup(func() { must(t, syscall.Setresuid(-1, 0, -1)) })
	}
}
