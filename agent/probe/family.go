package probe

import (
	"maps"
	"strings"
)

// Family is what is said of a family of series that others made.
type Family struct {
	Type string // as Prometheus calls it
	Help string // "": nothing is said
}

// Families are described by their names.
type Families map[string]Family

// The types of families whose series have names of their own.
const (
	Histogram = "histogram"
	Summary   = "summary"
)

func inParts(kind string) bool { return kind == Histogram || kind == Summary }

// Of returns the name of the family that the series of a name belong to.
func (f Families) Of(series string) string {
	if _, ok := f[series]; ok {
		return series
	}
	for _, part := range [...]string{"_bucket", "_sum", "_count"} {
		if name, ok := strings.CutSuffix(series, part); ok && inParts(f[name].Type) {
			return name
		}
	}
	return series
}

// Describe notes what a file says of the families of its series, for WriteExposition. It
// notes nothing and names a family that another file before has as one of another shape.
func (r *Report) Describe(families Families) (other string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, f := range families {
		before, ok := r.families[name]
		if ok && before.Type != f.Type && (inParts(before.Type) || inParts(f.Type)) {
			return name
		}
	}
	if r.families == nil {
		r.families = make(Families)
	}
	for name, f := range families {
		if _, ok := r.families[name]; !ok {
			r.families[name] = f
		}
	}
	return ""
}

// describedIn adds what was described to families.
func (r *Report) describedIn(families Families) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.Copy(families, r.families)
}
