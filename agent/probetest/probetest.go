// Package probetest runs probes on recorded hosts. It is for tests only.
//
// A recorded host is a text archive in testdata/hosts: a comment that tells its
// origin, then files below the root ("-- proc/cpuinfo --"), then what the probes are
// expected to say ("-- expected.json --"). A name that ends in a slash is an empty
// folder; the file "links" holds symbolic links, one "path -> target" a line.
package probetest

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

var update = flag.Bool("update", false, "rewrite the expected output of recorded hosts")

// expectedFile is the last file of an archive.
const expectedFile = "expected.json"

// Section is the outcome of a section as the archives hold it.
type Section struct {
	Status facts.Status `json:"status"`
	Reason string       `json:"reason,omitempty"`
	Rows   []facts.Row  `json:"rows,omitempty"`
}

// Golden runs the probes on the host recorded in testdata/hosts/<name>.txtar and
// compares with what is expected there.
func Golden(t *testing.T, name string, probes ...probe.Probe) {
	t.Helper()
	file := filepath.Join(top(t), "testdata", "hosts", name+".txtar")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(Sections(Unpack(t, raw), probes...), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	mark := []byte("-- " + expectedFile + " --\n")
	head, want, _ := bytes.Cut(raw, mark)
	if *update {
		if err := os.WriteFile(file, append(append(head, mark...), append(got, '\n')...), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if g, w := string(got), strings.TrimSpace(string(want)); g != w {
		t.Errorf("%s: got\n%s\nwant\n%s", name, g, w)
	}
}

// Sections runs the probes and returns their sections by name.
func Sections(h *probe.Host, probes ...probe.Probe) map[string]Section {
	out := make(map[string]Section)
	for _, r := range probe.RunOnce(context.Background(), h, probes...).Readings {
		out[r.Section.String()] = Section{r.Status, r.Reason, r.Rows}
	}
	return out
}

// Unpack writes an archive to a folder and returns the host that it records.
func Unpack(t testing.TB, archive []byte) *probe.Host {
	t.Helper()
	root := t.TempDir()
	for name, data := range parse(string(archive)) {
		switch {
		case name == expectedFile:
		case name == "links":
			for line := range strings.Lines(data) {
				from, to, _ := strings.Cut(strings.TrimSpace(line), " -> ")
				must(t, os.MkdirAll(filepath.Dir(filepath.Join(root, from)), 0o755))
				must(t, os.Symlink(to, filepath.Join(root, from)))
			}
		case strings.HasSuffix(name, "/"):
			must(t, os.MkdirAll(filepath.Join(root, name), 0o755))
		default:
			must(t, os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755))
			must(t, os.WriteFile(filepath.Join(root, name), []byte(data), 0o644))
		}
	}
	return probe.RootHost(root)
}

// parse reads the txtar form: each file begins with a line "-- name --".
func parse(archive string) map[string]string {
	files := make(map[string]string)
	var name string
	var body strings.Builder
	for line := range strings.Lines(archive) {
		trimmed := strings.TrimRight(line, "\n")
		if strings.HasPrefix(trimmed, "-- ") && strings.HasSuffix(trimmed, " --") && len(trimmed) > 6 {
			if name != "" {
				files[name] = body.String()
			}
			name = trimmed[3 : len(trimmed)-3]
			body.Reset()
			continue
		}
		body.WriteString(line)
	}
	if name != "" {
		files[name] = body.String()
	}
	return files
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// top is the folder of go.mod.
func top(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	must(t, err)
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = parent
	}
}
