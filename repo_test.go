// Package atalaya holds no code: this file checks the shape of the repository.
package atalaya

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"atalaya/collector/cmdb"
	"atalaya/shared/facts"
	"atalaya/shared/metric"
)

const module = "atalaya"

// topLevel is what may lie at the top of the repository.
var topLevel = []string{
	"agent", "collector", "shared", "installers", "testdata", "docs",
	"go.mod", "go.sum", "Makefile", "README.md", "LICENSE",
	"repo_test.go", "e2e_test.go", "e2e_fleet_test.go", "e2e_ledger_test.go", "e2e_identity_test.go", "e2e_machine_test.go", "e2e_start_linux_test.go", ".ci", ".git", ".gitignore",
	"bin", "var", "dist", // outputs, ignored by git
}

// doors names the only folders that may import an outside module. A folder covers
// what lies below it, except where it ends in "." (that folder alone). Modules
// that are not listed may not be imported at all.
var doors = map[string][]string{
	"github.com/fxamacker/cbor/v2":        {"shared/wire"},
	"github.com/klauspost/compress":       {"shared/wire", "agent/probe/devices", "agent/probe/patches", "collector/store"},
	"github.com/shirou/gopsutil/v3":       {"agent/probe"},
	"github.com/therootcompany/xz":        {"agent/probe/patches"},
	"go.etcd.io/bbolt":                    {"agent/spool", "collector/store"},
	"github.com/RoaringBitmap/roaring/v2": {"collector/store"},
	"github.com/quic-go/quic-go":          {"agent/uplink", "collector/ingest"},
	"github.com/prometheus/":              {"collector/series", "collector/alert"},
	"github.com/danielgtaylor/huma/v2":    {"collector/api"},
	"github.com/spf13/":                   {"agent/cmd", "collector/cmd", "collector/cli", "installers"},
	"github.com/kardianos/service":        {"installers"},
	"go.yaml.in/yaml/v3":                  {"agent.", "collector.", "collector/alert"},
	"golang.org/x/sync":                   {"collector."},
	"golang.org/x/sys":                    {"agent", "collector"},
	"golang.org/x/term":                   {"collector/cli"},
	"modernc.org/":                        {"collector/query"},
	"github.com/google/go-cmp":            {"test"},
	"github.com/rogpeppe/go-internal":     {"test"},
	"pgregory.net/rapid":                  {"test"},
	"go.uber.org/goleak":                  {"test"},
}

// forbidden names pairs of folders of which the first never imports the second.
var forbidden = []struct{ from, to, why string }{
	{"agent", "collector", "the two sides meet in shared"},
	{"collector", "agent", "the two sides meet in shared"},
	{"shared", "agent", "shared stands below both sides"},
	{"shared", "collector", "shared stands below both sides"},
	{"agent/probe", "agent/spool", "a probe does not know who listens"},
	{"agent/probe", "agent/uplink", "a probe does not know who listens"},
	{"collector/ingest", "collector/store", "ingest declares Sink"},
	{"collector/inventory", "collector/ingest", "views read the change log"},
	{"collector/inventory", "collector/api", "views know nothing of their readers"},
	{"collector/cmdb", "collector/ingest", "views read the change log"},
	{"collector/cmdb", "collector/api", "views know nothing of their readers"},
	{"collector/alert", "collector/ingest", "views read the change log"},
	{"collector/alert", "collector/api", "views know nothing of their readers"},
	{"collector/alert", "collector/cmdb", "rules see series, not relations"},
	{"collector/alert", "collector/inventory", "rules see series, not conclusions"},
}

type goFile struct {
	path    string // from the top, with slashes
	dir     string
	test    bool
	imports []string
}

func goFiles(t *testing.T) []goFile {
	t.Helper()
	var files []goFile
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (slices.Contains([]string{".git", "testdata", "bin", "var", "dist", "warm"}, d.Name())):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(p, ".go"):
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		g := goFile{path: filepath.ToSlash(p), dir: path.Dir(filepath.ToSlash(p)), test: strings.HasSuffix(p, "_test.go")}
		for _, im := range f.Imports {
			s, err := strconv.Unquote(im.Path.Value)
			if err != nil {
				return err
			}
			g.imports = append(g.imports, s)
		}
		files = append(files, g)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("found only %d Go files: the walk is broken", len(files))
	}
	return files
}

func TestTopLevelHoldsOnlyWhatWasAgreed(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(topLevel, e.Name()) {
			t.Errorf("%s: not in the agreed layout (docs/architecture.md)", e.Name())
		}
	}
}

func TestOutsideModulesHaveOneDoor(t *testing.T) {
	for _, f := range goFiles(t) {
		for _, im := range f.imports {
			first, _, _ := strings.Cut(im, "/")
			if !strings.Contains(first, ".") {
				continue // standard library and our own
			}
			if !allowed(f, im) {
				t.Errorf("%s imports %s: not one of its doors (see doors in repo_test.go)", f.path, im)
			}
		}
	}
}

func allowed(f goFile, im string) bool {
	for mod, dirs := range doors {
		if !within(im, strings.TrimSuffix(mod, "/")) && !strings.HasPrefix(im, mod) {
			continue
		}
		for _, d := range dirs {
			if exact, ok := strings.CutSuffix(d, "."); ok && f.dir == exact {
				return true
			} else if !ok && within(f.dir, d) {
				return true
			} else if d == "test" && f.test {
				return true
			}
		}
		// Tests of one side may look at the other end of their own protocol.
		if f.test && (mod == "github.com/shirou/gopsutil/v3" || mod == "github.com/klauspost/compress") {
			return true
		}
	}
	return false
}

func TestPackagesImportOnlyDownwards(t *testing.T) {
	for _, f := range goFiles(t) {
		for _, im := range f.imports {
			to, ok := strings.CutPrefix(im, module+"/")
			if !ok || f.dir == "." || crossSideTest(f) {
				continue
			}
			for _, rule := range forbidden {
				if within(f.dir, rule.from) && within(to, rule.to) {
					t.Errorf("%s imports %s: %s", f.path, to, rule.why)
				}
			}
			if within(f.dir, "collector/store") && within(to, "collector") && !within(to, "collector/store") {
				t.Errorf("%s imports %s: store stands below every other collector package", f.path, to)
			}
			if (within(f.dir, "collector/cli") || within(f.dir, "collector/web")) && within(to, "collector") &&
				!f.test && to != "collector/api/v1" && !within(to, f.dir) {
				t.Errorf("%s imports %s: cli and web know api/v1 only", f.path, to)
			}
			if family(f.dir) != "" && family(to) != "" && family(f.dir) != family(to) {
				t.Errorf("%s imports %s: a probe family never imports another", f.path, to)
			}
		}
	}
}

// crossSideTest reports whether the test drives both ends of the wire, which only
// those in one folder may do.
func crossSideTest(f goFile) bool { return f.test && f.dir == "collector/ingest/session" }

// family returns the probe family a folder belongs to, "" for none.
func family(dir string) string {
	rest, ok := strings.CutPrefix(dir, "agent/probe/")
	if !ok {
		return ""
	}
	first, _, _ := strings.Cut(rest, "/")
	return first
}

func TestSharedImportsTheStandardLibraryOnly(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.test || !within(f.dir, "shared") || within(f.dir, "shared/wire") {
			continue
		}
		for _, im := range f.imports {
			if first, _, _ := strings.Cut(im, "/"); strings.Contains(first, ".") {
				t.Errorf("%s imports %s: only shared/wire may import modules", f.path, im)
			}
		}
	}
}

// TestTheAgentRunsNoProgram but itself, as its helper. The collector runs itself in
// collector/verify.go, and an installation the programs that make users and services.
func TestTheAgentRunsNoProgram(t *testing.T) {
	starts := regexp.MustCompile(`\b(StartProcess|ForkExec|(syscall|unix)\.Exec)\(`)
	for _, f := range goFiles(t) {
		if f.test || f.dir == "installers" || f.path == "collector/verify.go" {
			continue
		}
		if slices.Contains(f.imports, "os/exec") {
			t.Errorf("%s imports os/exec: no program runs (docs/adr/0049-no-program-runs.md)", f.path)
		}
		b, err := os.ReadFile(f.path)
		if err != nil {
			t.Fatal(err)
		}
		if m := starts.Find(b); m != nil && f.path != "agent/probe/child_linux.go" {
			t.Errorf("%s: %s...): only the helper is started, in agent/probe/child_linux.go", f.path, m)
		}
	}
}

func TestPackageNamesAreNouns(t *testing.T) {
	bad := regexp.MustCompile(`(^|/)(util|utils|common|helper|helpers|base|types|manager|model|models|service)(/|$)`)
	for _, f := range goFiles(t) {
		if bad.MatchString(f.dir) {
			t.Errorf("%s: the folder's name says nothing", f.dir)
		}
	}
}

// TestNothingIsLeftBehind refuses notes to oneself in code.
func TestNothingIsLeftBehind(t *testing.T) {
	left := regexp.MustCompile(`\b(TODO|FIX` + `ME|XX` + `X|HA` + `CK)\b`)
	for _, f := range goFiles(t) {
		b, err := os.ReadFile(f.path)
		if err != nil {
			t.Fatal(err)
		}
		if f.path == "repo_test.go" {
			continue
		}
		if m := left.Find(b); m != nil {
			t.Errorf("%s: %s left behind", f.path, m)
		}
	}
}

// TestDocumentsAreNumbered holds decisions and change notes to one number each, and the
// number of a decision to its title.
func TestDocumentsAreNumbered(t *testing.T) {
	name := regexp.MustCompile(`^(\d{4})-[a-z0-9-]+\.md$`)
	for _, dir := range []string{"docs/adr", "docs/changes/unreleased"} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]string{}
		for _, e := range entries {
			m := name.FindStringSubmatch(e.Name())
			if m == nil {
				t.Errorf("%s/%s: documents are named NNNN-title.md", dir, e.Name())
				continue
			}
			if seen[m[1]] != "" {
				t.Errorf("%s: %s and %s share a number", dir, seen[m[1]], e.Name())
			}
			seen[m[1]] = e.Name()
			b, err := os.ReadFile(path.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			title := "# " + strings.TrimLeft(m[1], "0") + ". "
			if dir == "docs/adr" && !strings.HasPrefix(string(b), title) {
				t.Errorf("%s/%s does not begin with %q", dir, e.Name(), title)
			}
		}
	}
}

func within(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

var update = flag.Bool("update", false, "rewrite the generated parts of docs/data-model.md")

// TestDataModelIsDocumented holds the tables of docs/data-model.md to the code.
func TestDataModelIsDocumented(t *testing.T) {
	const file = "docs/data-model.md"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for name, table := range map[string]string{"sections": sectionTable(), "metrics": metricTable(), "metric groups": groupTable(t), "relations": relationTable()} {
		begin, end := "<!-- "+name+" -->\n", "<!-- end "+name+" -->"
		head, rest, ok := strings.Cut(text, begin)
		old, tail, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s: no place for the %s", file, name)
		}
		if old != table && !*update {
			t.Errorf("%s: the %s are not those of the code; go test . -run DataModel -update, and review", file, name)
		}
		text = head + begin + table + end + tail
	}
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDataModelColumnsAreExplained holds what SQL tells of columns to the comments of
// shared/facts, which agents do not carry.
func TestDataModelColumnsAreExplained(t *testing.T) {
	const file = "collector/query/columns.tsv"
	types := map[string]string{} // of rows -> section
	for _, s := range facts.Sections() {
		types[reflect.TypeOf(s.New()).Elem().Name()] = s.Name
	}
	files, err := filepath.Glob("shared/facts/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, name := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || types[spec.Name.Name] == "" {
				return true
			}
			if row, ok := spec.Type.(*ast.StructType); ok {
				lines = append(lines, columnComments(types[spec.Name.Name], row)...)
			}
			return false
		})
	}
	slices.Sort(lines)
	want := strings.Join(lines, "")
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != want {
		t.Errorf("%s is not what the comments in shared/facts say (%v); go test . -run DataModel -update, and review", file, err)
	}
}

// columnComments are lines of section, column and what the comment of the column says.
func columnComments(section string, row *ast.StructType) (lines []string) {
	for _, f := range row.Fields.List {
		if f.Tag == nil {
			continue
		}
		tag := reflect.StructTag(strings.Trim(f.Tag.Value, "`"))
		column, _, _ := strings.Cut(tag.Get("json"), ",")
		text := strings.Join(strings.Fields(f.Doc.Text()+" "+f.Comment.Text()), " ")
		for _, name := range f.Names {
			text = strings.TrimPrefix(strings.TrimPrefix(text, name.Name+" is "), name.Name+" are ")
		}
		if first, _, more := strings.Cut(text, ". "); more {
			text = first
		}
		if !strings.HasSuffix(text, "...") {
			text = strings.TrimSuffix(text, ".")
		}
		if column != "" && column != "-" && text != "" {
			lines = append(lines, section+"\t"+column+"\t"+text+"\n")
		}
	}
	return lines
}

func sectionTable() string {
	var b strings.Builder
	b.WriteString("| no. | section | what | columns |\n|---|---|---|---|\n")
	for _, s := range facts.Sections() {
		doc := s.Doc
		if s.Personal {
			doc += " (may hold personal data)"
		}
		fmt.Fprintf(&b, "| %d | `%s` | %s | %s |\n", s.ID, s.Name, doc, strings.Join(s.Columns(), ", "))
	}
	return b.String()
}

func relationTable() string {
	var b strings.Builder
	b.WriteString("| relation | from | to | how many | when one fails |\n|---|---|---|---|---|\n")
	for _, r := range cmdb.Relations() {
		hit := "the first is hit when the second fails"
		if r.Impact == cmdb.HitsTarget {
			hit = "the second is hit when the first fails"
		}
		fmt.Fprintf(&b, "| %s (%s) | %s | %s | %s | %s |\n", r.Name, r.Inverse, r.From, r.To, r.Cardinality, hit)
	}
	return b.String()
}

// groupTable reads the declarations of the groups, whose list no program needs.
func groupTable(t *testing.T) string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), "shared/metric/groups.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| families | labels, as far as they apply | meaning | read from |\n|---|---|---|---|\n")
	ast.Inspect(parsed, func(n ast.Node) bool {
		group, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		if name, ok := group.Type.(*ast.Ident); !ok || name.Name != "Group" {
			return true
		}
		fields := make(map[string]string)
		for _, e := range group.Elts {
			field := e.(*ast.KeyValueExpr)
			fields[field.Key.(*ast.Ident).Name] = words(t, field.Value)
		}
		if fields["Optional"] == "true" {
			fields["Help"] += " (only where asked for)"
		}
		fmt.Fprintf(&b, "| `%s*` | %s | %s | %s |\n", fields["Prefix"], fields["Labels"], fields["Help"], fields["Source"])
		return false
	})
	return b.String()
}

// words is a constant as text; those of a list are joined.
func words(t *testing.T, e ast.Expr) string {
	t.Helper()
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		if err != nil {
			t.Fatal(err)
		}
		return s
	case *ast.Ident:
		return e.Name
	case *ast.CompositeLit:
		var list []string
		for _, one := range e.Elts {
			list = append(list, words(t, one))
		}
		return strings.Join(list, ", ")
	}
	t.Fatalf("a group has a value that is no constant: %T", e)
	return ""
}

func metricTable() string {
	var b strings.Builder
	b.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, d := range metric.Families() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.Name, d.Kind, strings.Join(d.Labels, ", "), d.Help)
	}
	return b.String()
}
