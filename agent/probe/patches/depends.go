package patches

import (
	"strings"

	order "atalaya/shared/version"
)

// relation is one alternative of a dependency: name[:arch] [(op version)].
type relation struct{ name, arch, op, version string }

func (r relation) String() string {
	if r.op == "" {
		return r.name
	}
	return r.name + " (" + r.op + " " + r.version + ")"
}

// parseRelations reads a relationship field (Debian policy 7.1): groups that must all
// hold, each with alternatives.
func parseRelations(field string) [][]relation {
	var groups [][]relation
	for part := range strings.SplitSeq(field, ",") {
		var group []relation
		for alternative := range strings.SplitSeq(part, "|") {
			if r := parseRelation(strings.TrimSpace(alternative)); r.name != "" {
				group = append(group, r)
			}
		}
		if len(group) > 0 {
			groups = append(groups, group)
		}
	}
	return groups
}

func parseRelation(s string) relation {
	var r relation
	s, _, _ = strings.Cut(s, "[") // build restrictions do not occur in binary packages
	name, constraint, _ := strings.Cut(s, "(")
	r.name, r.arch, _ = strings.Cut(strings.TrimSpace(name), ":")
	constraint, _, _ = strings.Cut(constraint, ")")
	constraint = strings.TrimSpace(constraint)
	n := 0
	for n < len(constraint) && strings.IndexByte("<>=", constraint[n]) >= 0 {
		n++
	}
	r.op, r.version = constraint[:n], strings.TrimSpace(constraint[n:])
	return r
}

// accepts reports whether the version satisfies the relation. A single < or > is the
// old spelling of <= and >=.
func (r relation) accepts(version string) bool {
	if r.op == "" {
		return true
	}
	c, err := order.Compare("deb", version, r.version)
	if err != nil {
		return false
	}
	switch r.op {
	case "<<":
		return c < 0
	case "<=", "<":
		return c <= 0
	case "=":
		return c == 0
	case ">=", ">":
		return c >= 0
	case ">>":
		return c > 0
	}
	return false
}

// providedBy reports whether a Provides field satisfies the relation. A versioned
// relation needs a versioned "name (= version)".
func (r relation) providedBy(provides string) bool {
	if !strings.Contains(provides, r.name) {
		return false
	}
	for _, group := range parseRelations(provides) {
		for _, p := range group {
			if p.name == r.name && (r.op == "" || p.op == "=" && r.accepts(p.version)) {
				return true
			}
		}
	}
	return false
}
