package cli

import (
	"strings"
	"testing"

	"atalaya/collector/api/v1"
)

func TestLongDifferencesAreSummedUpBySection(t *testing.T) {
	doc := v1.Diff{Changes: []v1.Change{{Section: "users", Kind: "removed", Item: "amy"}}}
	for range maxDiff {
		doc.Changes = append(doc.Changes, v1.Change{Section: "packages", Kind: "added", Item: "x"})
	}
	show := func(doc v1.Diff, all bool) (string, string) {
		v, left := diffView(doc, all)
		var b strings.Builder
		if err := v.blocks[0].table.write(&b, 0, false); err != nil {
			t.Fatal(err)
		}
		return b.String(), left
	}
	got, left := show(doc, false)
	want := "SECTION   ADDED  REMOVED  CHANGED  STATUS\npackages    100        0        0       0\nusers         0        1        0       0\n"
	if got != want || !strings.HasPrefix(left, "101 differences in all: ") {
		t.Errorf("%q\n%s\nwant\n%s", left, got, want)
	}
	if got, left = show(doc, true); strings.Count(got, "\n") != 102 || left != "" {
		t.Errorf("all: %d lines, %q", strings.Count(got, "\n"), left)
	}
	doc.Changes = doc.Changes[:maxDiff]
	if got, left = show(doc, false); strings.Count(got, "\n") != maxDiff+1 || left != "" {
		t.Errorf("few: %d lines, %q", strings.Count(got, "\n"), left)
	}
}
