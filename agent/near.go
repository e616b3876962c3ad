package agent

import (
	"fmt"
	"strings"

	"atalaya/shared/facts"
)

// NoSection is the error of a name that no section has. It names those that are like it.
func NoSection(name string) error {
	var near []string
	for _, s := range facts.Sections() {
		if len(near) < maxNear && similar(s.Name, name) {
			near = append(near, s.Name)
		}
	}
	if len(near) == 0 {
		return fmt.Errorf("no section is called %q (`atalaya-agent inventory --help` lists them)", name)
	}
	return fmt.Errorf("no section is called %q: did you mean %s? (`atalaya-agent inventory --help` lists all)", name, strings.Join(near, ", "))
}

// maxNear is how many names a message suggests.
const maxNear = 4

// similar reports whether who wrote b may have meant a: one holds the other, or all letters of
// the longer but one, of a long one but two, stand in the other in the same order.
func similar(a, b string) bool {
	b = strings.ReplaceAll(strings.ToLower(b), "-", "_")
	if len(b) < 3 {
		return false
	}
	longer := max(len(a), len(b))
	return strings.Contains(a, b) || strings.Contains(b, a) || longer-common(a, b) <= min(2, longer/4)
}

// common is the length of the longest text whose letters stand in both in the same order.
func common(a, b string) int {
	row := make([]int, len(b)+1)
	for i := range len(a) {
		diagonal := 0
		for j := range len(b) {
			above := row[j+1]
			if a[i] == b[j] {
				row[j+1] = diagonal + 1
			} else {
				row[j+1] = max(above, row[j])
			}
			diagonal = above
		}
	}
	return row[len(b)]
}
