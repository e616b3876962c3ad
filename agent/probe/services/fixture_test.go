package services

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

var update = flag.Bool("update", false, "rewrite golden files")

const hosts = "../../../testdata/hosts/"

// fixtureTime is the time of every file of a tree.
var fixtureTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// tree makes a folder with files; a content of "-> x" makes a symbolic link to x.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		target, isLink := strings.CutPrefix(strings.TrimSuffix(content, "\n"), "-> ")
		var err error
		if isLink {
			err = os.Symlink(target, p)
		} else if err = os.WriteFile(p, []byte(content), 0o755); err == nil {
			err = os.Chtimes(p, fixtureTime, fixtureTime)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// fixture returns the files of a real host.
func fixture(t testing.TB, name string) map[string]string {
	t.Helper()
	ar, err := txtar.ParseFile(hosts + name + ".txtar")
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for _, f := range ar.Files {
		files[f.Name] = string(f.Data)
	}
	return files
}

// readings runs the probe on the files.
func readings(t testing.TB, p probe.Probe, root string) map[facts.ID]facts.Reading {
	t.Helper()
	out := make(map[facts.ID]facts.Reading)
	for _, r := range probe.RunOnce(context.Background(), probe.RootHost(root), p).Readings {
		out[r.Section] = r
	}
	return out
}

// golden compares the rows with the expected ones of the fixture.
func golden(t *testing.T, name string, r facts.Reading) {
	t.Helper()
	var got bytes.Buffer
	enc := json.NewEncoder(&got)
	enc.SetEscapeHTML(false)
	for _, row := range r.Rows {
		if err := enc.Encode(row); err != nil {
			t.Fatal(err)
		}
	}
	file := hosts + name + ".want/" + r.Section.String() + ".jsonl"
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", r.Section, diff)
	}
}
