package agent

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

// named are the paths that the source of the probes names, with what patterns stand for.
func named(t *testing.T) []string {
	t.Helper()
	clean := regexp.MustCompile(`^[~/][\w./*~@+-]*$`)
	fill := strings.NewReplacer("*", "0", "~", "/root")
	found := make(map[string]bool)
	must(t, filepath.WalkDir("probe", func(file string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return err
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		ast.Inspect(tree, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if s, err := strconv.Unquote(lit.Value); err == nil && clean.MatchString(s) {
					if name := strings.Trim(fill.Replace(s), "/"); strings.Contains(name, "/") {
						found[filepath.Clean(name)] = true
					}
				}
			}
			return true
		})
		return err
	}))
	if len(found) < 300 {
		t.Fatalf("the probes name %d paths", len(found))
	}
	return slices.Sorted(maps.Keys(found))
}

// pipe puts one in the place of a path, and returns what puts things right again; nil if
// something else than a folder lies above it.
func pipe(t *testing.T, root, name string) (undo func()) {
	t.Helper()
	at := filepath.Join(root, name)
	made := filepath.Dir(at) // the first folder that is not there yet
	for made != root {
		if _, err := os.Lstat(filepath.Dir(made)); err == nil {
			break
		}
		made = filepath.Dir(made)
	}
	_, lacks := os.Lstat(made)
	if os.MkdirAll(filepath.Dir(at), 0o755) != nil {
		return nil
	}
	kept := filepath.Join(t.TempDir(), "kept")
	moved := os.Rename(at, kept)
	must(t, syscall.Mkfifo(at, 0o644))
	return func() {
		must(t, os.Remove(at))
		if moved == nil {
			must(t, os.Rename(kept, at))
		} else if lacks != nil {
			must(t, os.RemoveAll(made))
		}
	}
}

// soon is how long an inventory of the tree may take, on a machine that has other work too.
const soon = 5 * time.Second

// quick is one inventory, which no pipe may delay.
func quick(t *testing.T, what, root string) map[facts.ID]facts.Reading {
	t.Helper()
	out := make(map[facts.ID]facts.Reading)
	begun := time.Now()
	for _, r := range probe.RunOnce(context.Background(), probe.RootHost(root), InventoryProbes(DefaultConfig())...).Readings {
		out[r.Section] = r
	}
	if took := time.Since(begun); took > soon {
		t.Errorf("%s: the inventory took %v", what, took)
	}
	return out
}

// TestAPipeNeitherStallsNorLooksEmpty puts a pipe in the place of one path after the other:
// of those that the probes name, and of the folders of recorded hosts. Those that the tree
// lacks come many at a time. In /proc and /sys nobody can make one.
func TestAPipeNeitherStallsNorLooksEmpty(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	files := everything(t)
	root := probetest.Tree(t, files)
	before := inventory(t, root)
	paths := make(map[string]bool)
	for _, name := range named(t) {
		paths[name] = true
	}
	digits, seen := regexp.MustCompile(`[0-9]+`), make(map[string]bool)
	for name := range files {
		for dir := filepath.Dir(name); strings.Contains(dir, "/"); dir = filepath.Dir(dir) {
			if kind := digits.ReplaceAllString(dir, ""); !seen[kind] {
				seen[kind], paths[dir] = true, true
			}
		}
	}
	var absent []string
	for _, name := range slices.Sorted(maps.Keys(paths)) {
		if strings.HasPrefix(name, "proc/") || strings.HasPrefix(name, "sys/") {
			continue
		}
		if _, err := os.Lstat(filepath.Join(root, name)); err != nil {
			absent = append(absent, name)
			continue
		}
		undo := pipe(t, root, name)
		silent(t, "a pipe at "+name, before, quick(t, name, root))
		undo()
	}
	for some := range slices.Chunk(absent, 30) {
		var undos []func()
		for _, name := range some {
			if undo := pipe(t, root, name); undo != nil {
				undos = append(undos, undo)
			}
		}
		now := quick(t, some[0], root)
		silent(t, "pipes at "+strings.Join(some, ", "), before, now)
		if r := now[facts.Packages]; len(r.Rows) < len(before[facts.Packages].Rows) {
			t.Errorf("pipes at %s: packages that lie elsewhere are lost: %v (%s)", some, r.Status, r.Reason)
		}
		for _, undo := range slices.Backward(undos) {
			undo()
		}
	}
	silent(t, "all as it was", before, quick(t, "all as it was", root))
}

// TestPipesEverywhereAreNamed puts pipes in the places of all paths at once.
func TestPipesEverywhereAreNamed(t *testing.T) {
	root := t.TempDir()
	for _, name := range slices.Backward(named(t)) { // what lies deeper comes first
		if at := filepath.Join(root, name); os.MkdirAll(filepath.Dir(at), 0o755) == nil {
			_ = syscall.Mkfifo(at, 0o644) // a folder of a deeper one
		}
	}
	for id, r := range quick(t, "pipes everywhere", root) {
		if r.Reason == "" {
			t.Errorf("%s is %v with %d rows and no reason", id, r.Status, len(r.Rows))
		}
	}
}
