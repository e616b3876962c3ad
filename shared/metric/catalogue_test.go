package metric

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestFamiliesListsEveryDescription(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "catalogue.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := 0
	ast.Inspect(file, func(n ast.Node) bool {
		lit, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		if id, ok := lit.Type.(*ast.Ident); ok && id.Name == "Desc" {
			declared++
		}
		return true
	})
	seen := make(map[*Desc]bool)
	for _, d := range Families() {
		seen[d] = true
	}
	if len(seen) != declared || len(Families()) != declared {
		t.Errorf("%d descriptions declared, %d listed, %d of them distinct", declared, len(Families()), len(seen))
	}
}

func TestDescriptionsAreWellFormed(t *testing.T) {
	name := regexp.MustCompile(`^(node|atalaya)_[a-zA-Z0-9_]+$`)
	seen := make(map[string]bool)
	for _, d := range Families() {
		switch {
		case !name.MatchString(d.Name):
			t.Errorf("%q: not a name of ours", d.Name)
		case seen[d.Name]:
			t.Errorf("%s: described twice", d.Name)
		case !strings.HasSuffix(d.Help, "."):
			t.Errorf("%s: help %q is no sentence", d.Name, d.Help)
		case !slices.IsSorted(d.Labels):
			t.Errorf("%s: labels %q are not sorted", d.Name, d.Labels)
		case strings.HasSuffix(d.Name, "_total") && d.Kind != Counter:
			t.Errorf("%s: the name is a counter's", d.Name)
		}
		seen[d.Name] = true
	}
}

func TestDictionaryNumbersSeriesInOrderOfFirstSight(t *testing.T) {
	d := NewDictionary(3, nil)
	f := func(desc *Desc, want uint32, ok bool, labels ...string) {
		t.Helper()
		if got, gotOK := d.ID(desc, labels...); got != want || gotOK != ok {
			t.Errorf("ID(%s%q) = %d, %v; want %d, %v", desc.Name, labels, got, gotOK, want, ok)
		}
	}
	f(&Load1, 0, true)
	f(&CPUSeconds, 1, true, "0", "user")
	f(&Load1, 0, true)
	f(&CPUSeconds, 2, true, "0u", "ser") // same letters, other labels
	f(&CPUSeconds, 0, false, "1", "user")
	if d.Refused() != 1 {
		t.Errorf("refused %d, want 1", d.Refused())
	}
	again := NewDictionary(3, d.Series())
	if got, ok := again.ID(&CPUSeconds, "0", "user"); got != 1 || !ok {
		t.Errorf("after a restart: %d, %v; want 1", got, ok)
	}
	labels := []string{"0", "user"}
	if n := testing.AllocsPerRun(100, func() { d.ID(&CPUSeconds, labels...) }); n != 0 {
		t.Errorf("%v allocations for a known series", n)
	}
}
