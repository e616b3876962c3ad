package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"atalaya/collector/cli"
	"atalaya/collector/store"
	"atalaya/shared/identity"
)

// names are the hosts of a state file.
func names(t *testing.T, path string, change func(tx *store.Tx) error) (out []string) {
	t.Helper()
	s, err := store.Open(store.Config{Path: path, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if change != nil {
		if err := s.Update(change); err != nil {
			t.Fatal(err)
		}
	}
	err = s.View(func(tx *store.Tx) error {
		return tx.Hosts(func(h store.Host) error { out = append(out, h.Name); return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRestorePutsTheBackupInPlace(t *testing.T) {
	dir := t.TempDir()
	state, backup := filepath.Join(dir, store.FileName), filepath.Join(t.TempDir(), "backup.db")
	put := func(n byte, name string) func(*store.Tx) error {
		return func(tx *store.Tx) error { return tx.PutHost(store.Host{ID: identity.HostID{n}, Name: name}) }
	}
	names(t, state, put(1, "web1"))
	content, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(backup, content, 0o600); err != nil {
		t.Fatal(err)
	}
	names(t, state, put(2, "later"))
	run := func(want int, args ...string) string {
		t.Helper()
		var out, talk strings.Builder
		env := cli.Env{Stdout: &out, Stderr: &talk, Now: time.Now, Getenv: func(string) string { return "" }}
		if got := cli.Run(context.Background(), env, newRoot(), append([]string{"restore"}, args...)); got != want {
			t.Fatalf("%q: status %d, want %d: %s", args, got, want, talk.String())
		}
		return out.String() + talk.String()
	}
	broken := filepath.Join(t.TempDir(), "broken.db")
	if err := os.WriteFile(broken, content[:10_000], 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run(1, broken, "--data", dir); !strings.Contains(got, "nothing was restored, the state is as it was: restore an older backup") {
		t.Errorf("of a broken backup: %q", got)
	}
	if got := run(1, backup, "--data", filepath.Join(dir, "none")); !strings.Contains(got, "does not exist: name the collector's by --data") {
		t.Errorf("without a data folder: %q", got)
	}
	if got := names(t, state, nil); len(got) != 2 {
		t.Errorf("after a broken backup: %q, want what was there", got)
	}
	if got := run(0, backup, "--data", t.TempDir()); !strings.Contains(got, "next      copy ca.key and ca.pem") {
		t.Errorf("in a folder without the CA's key: %q", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.key"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run(0, backup, "--data", dir); !strings.Contains(got, "kept      "+state+".before-") || !strings.Contains(got, "next      start") {
		t.Errorf("says %q", got)
	}
	if got := names(t, state, nil); len(got) != 1 || got[0] != "web1" {
		t.Errorf("restored hosts %q", got)
	}
	s, err := store.Open(store.Config{Path: state, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := run(1, backup, "--data", dir); !strings.Contains(got, "already runs") {
		t.Errorf("while it runs: %q", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := run(0, backup, "--data", t.TempDir(), "--output", "json"); !strings.Contains(got, `"state": "`) {
		t.Errorf("as JSON: %q", got)
	}
	run(2)
	run(0, "--help")
}

func TestServeOnADamagedStateTellsTheServiceManagerNotToTryAgain(t *testing.T) {
	dir := t.TempDir()
	state := filepath.Join(dir, store.FileName)
	names(t, state, nil)
	content, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	clear(content)
	if err := os.WriteFile(state, content, 0o600); err != nil {
		t.Fatal(err)
	}
	var out, msg strings.Builder
	code := cli.Run(context.Background(), cli.Env{Stdout: &out, Stderr: &msg}, newRoot(), []string{"serve", "--data", dir})
	if code != exitLasting || !strings.Contains(msg.String(), "restore the last backup") || !strings.Contains(msg.String(), "atalaya restore BACKUP --data "+dir) {
		t.Errorf("exit %d, %q; want %d and the next step", code, msg.String(), exitLasting)
	}
}
