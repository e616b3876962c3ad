// Package probetest runs probes on recorded hosts. It is for tests only.
//
// A recorded host is a text archive, testdata/hosts/<name>.txtar: a comment that tells
// its origin, then files below the root ("-- proc/cpuinfo --"). A name that ends in a
// slash is an empty folder; the file "links" holds symbolic links, one "path -> target"
// a line.
//
// What probes are expected to say of it lies in testdata/hosts/<name>.want: for a
// section <section>.jsonl, its status and then one row a line; for the metrics
// metrics.prom, as the agent prints them. `make golden` rewrites these files.
package probetest

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"atalaya/agent/probe"
)

// linkMark begins the content of a file that stands for a symbolic link.
const linkMark = "-> "

// modified is the time of every file of a tree.
var modified = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// Files returns the files of a recorded host by name. A content of "-> x" stands for a
// symbolic link to x.
func Files(t testing.TB, name string) map[string]string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(hosts(t), name+".txtar"))
	must(t, err)
	return parse(string(raw))
}

// Tree writes files, in the form that Files returns, to a folder and returns it. All
// are programs, as some probes ask, and equally old.
func Tree(t testing.TB, files map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	links := make(map[string]string)
	for name, content := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if target, ok := strings.CutPrefix(strings.TrimSuffix(content, "\n"), linkMark); ok {
			links[path] = target
			continue
		}
		if strings.HasSuffix(name, "/") {
			must(t, os.MkdirAll(path, 0o755))
			continue
		}
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(content), 0o755))
		must(t, os.Chtimes(path, modified, modified))
	}
	for path, target := range links { // last, so that no file is written through one
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		err := os.Symlink(target, path)
		if err != nil && runtime.GOOS == "windows" {
			t.Skipf("this user may not make symbolic links: %v", err)
		}
		must(t, err)
	}
	return root
}

// Unpack writes an archive to a folder and returns the host that it records.
func Unpack(t testing.TB, archive []byte) *probe.Host {
	t.Helper()
	return probe.RootHost(Tree(t, parse(string(archive))))
}

// Write replaces a file of a tree. Without data (nil) it removes it.
func Write(t testing.TB, root, name string, data []byte) {
	t.Helper()
	path := filepath.Join(root, filepath.FromSlash(name))
	if data == nil {
		must(t, os.Remove(path))
		return
	}
	must(t, os.WriteFile(path, data, 0o755))
}

// parse reads the txtar form: each file begins with a line "-- name --".
func parse(archive string) map[string]string {
	files := make(map[string]string)
	name, start, at := "", 0, 0
	end := func() {
		if name != "" {
			files[name] = archive[start:at]
		}
	}
	for line := range strings.Lines(archive) {
		if head, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "-- "); ok && strings.HasSuffix(head, " --") && len(head) > 3 {
			end()
			name, start = strings.TrimSuffix(head, " --"), at+len(line)
		}
		at += len(line)
	}
	end()
	for line := range strings.Lines(files["links"]) {
		from, to, _ := strings.Cut(strings.TrimSpace(line), " "+linkMark)
		files[from] = linkMark + to
	}
	delete(files, "links")
	return files
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// hosts is the folder of the recorded hosts.
func hosts(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	must(t, err)
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "testdata", "hosts")
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = parent
	}
}
