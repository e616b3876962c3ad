package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"atalaya/collector/api/apitest"
)

// TestBackupTakesNothingAway: what is at the place of a backup stays, unless it is a
// file and was meant.
func TestBackupTakesNothingAway(t *testing.T) {
	dir, data := t.TempDir(), t.TempDir()
	put := func(path string) string {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	put(filepath.Join(data, "state.db.lock"))
	state, key, deep := put(filepath.Join(data, "state.db")), put(filepath.Join(data, "ca.key")), put(filepath.Join(data, "metrics", "x"))
	file := put(filepath.Join(dir, "old.db"))
	link := filepath.Join(dir, "link")
	round := filepath.Join(dir, "round")
	for from, to := range map[string]string{link: file, round: data} {
		if err := os.Symlink(to, from); err != nil {
			t.Skip(err) // Windows without the right to
		}
	}
	refused := func(want string, args ...string) {
		t.Helper()
		status, _, talk := run(t, apitest.Sample(), append([]string{"backup"}, args...)...)
		if status != 1 || !strings.Contains(talk, want) {
			t.Errorf("%q: status %d, %q; want %q", args, status, talk, want)
		}
	}
	refused("or replace it with --force", file)
	for _, path := range []string{state, key, deep, filepath.Join(data, "new.db"), filepath.Join(round, "new.db")} {
		refused("data folder of a collector: name a file elsewhere", "--force", path)
	}
	for _, path := range []string{link, dir, os.DevNull} {
		refused("not a regular file", "--force", path)
	}
	for _, path := range []string{state, key, deep, file} {
		if got, err := os.ReadFile(path); err != nil || string(got) != "mine" {
			t.Errorf("%s: %q, %v after what was refused", path, got, err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(data, ".*")); err != nil || len(left) > 0 {
		t.Errorf("left in the data folder: %q, %v", left, err)
	}
	fleet := apitest.Sample()
	for _, args := range [][]string{{filepath.Join(dir, "new.db")}, {"--force", file}} {
		if status, _, talk := run(t, fleet, append([]string{"backup"}, args...)...); status != 0 {
			t.Errorf("%q: status %d, %s", args, status, talk)
		}
		if got, err := os.ReadFile(args[len(args)-1]); err != nil || string(got) != string(fleet.Saved) {
			t.Errorf("%q: %d bytes, %v", args, len(got), err)
		}
	}
}
