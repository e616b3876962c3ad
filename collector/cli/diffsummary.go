package cli

import (
	"fmt"
	"maps"
	"slices"

	"atalaya/collector/api/v1"
)

// maxDiff is how many rows of a difference people are shown unless they ask for all: a new
// host differs from nothing in thousands.
const maxDiff = 100

// diffView shows a difference, or how much each section differs when that is more than
// anybody reads; left is what to say of the rest.
func diffView(doc v1.Diff, all bool) (v view, left string) {
	if n := len(doc.Changes); !all && n > maxDiff {
		v = list(diffSummary(doc.Changes), "")
		host := doc
		host.Changes = slices.DeleteFunc(slices.Clone(doc.Changes), func(ch v1.Change) bool { return ch.Section != v1.HostEvents })
		if len(host.Changes) > 0 { // what happened to it is the reason of the rest
			v.blocks = append([]block{{table: diffTable(host)}}, v.blocks...)
		}
		return v, fmt.Sprintf("%d differences in all: --section NAME lists those of one section, --all lists all", n)
	}
	return list(diffTable(doc), "no difference"), ""
}

// diffSummary counts the differences of each section.
func diffSummary(changes []v1.Change) table {
	kinds := []string{"added", "removed", "changed", "status"}
	counts := make(map[string][]int)
	for _, ch := range changes {
		if ch.Section == v1.HostEvents {
			continue
		}
		if counts[ch.Section] == nil {
			counts[ch.Section] = make([]int, len(kinds))
		}
		if i := slices.Index(kinds, ch.Kind); i >= 0 {
			counts[ch.Section][i]++
		}
	}
	t := table{columns: []column{
		{title: "SECTION", name: "section"}, {title: "ADDED", name: "added", right: true}, {title: "REMOVED", name: "removed", right: true},
		{title: "CHANGED", name: "changed", right: true}, {title: "STATUS", name: "status", right: true},
	}}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		row := []cell{text(name)}
		for _, n := range counts[name] {
			row = append(row, number(uint64(n)))
		}
		t.add(row...)
	}
	return t
}
