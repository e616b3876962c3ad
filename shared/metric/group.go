package metric

import (
	"slices"
	"strings"
)

// Group declares families that are not listed one by one, because the machine names
// them (the counters of a file system, the sensors of a board) or because they are
// many of one kind. A member's name is the prefix and a key of letters, digits and
// underscores; a member that ends in _total is a counter. See docs/adr/0019.
type Group struct {
	Prefix string // of the names of all members
	Help   string // what the members tell
	Source string // where they are read
	// Labels are those that a member may have, sorted; a member has some of them.
	Labels []string
	// Counters says that members are counters without ending in _total.
	Counters bool
	// Untyped says that the source does not tell counters from gauges; on the wire they
	// are gauges.
	Untyped bool
	Gauges  []string // the keys of those that are gauges all the same
	// Optional says that the families are reported only where they are asked for.
	Optional bool
}

const (
	// maxMembers bounds the families of one group on one host. bcachefs, the largest
	// that we know, has some 150.
	maxMembers = 1024
	// maxMemberName bounds the name of a family; the collector refuses more than 200 bytes.
	maxMemberName = 160
)

// Members describes the families of one group that a host has. Each description is
// made at first sight and stays. Not safe for concurrent use.
type Members struct {
	group *Group
	known map[string]*Desc
	key   []byte
}

// NewMembers returns the members of a group; there are none yet.
func NewMembers(g *Group) *Members { return &Members{group: g, known: make(map[string]*Desc)} }

// Of returns the family with the given key, whose series have labels of the given
// names (sorted, among those of the group); nil when the name cannot be one or the
// group is full. It allocates only at first sight.
func (m *Members) Of(key string, labels ...string) *Desc {
	m.key = append(m.key[:0], key...)
	for _, l := range labels {
		m.key = append(append(m.key, 0), l...)
	}
	if d, ok := m.known[string(m.key)]; ok {
		return d
	}
	if len(m.known) >= maxMembers {
		return nil
	}
	d := m.group.describe(key, labels)
	m.known[string(m.key)] = d
	return d
}

func (g *Group) describe(key string, labels []string) *Desc {
	name := g.Prefix + Key(key)
	if len(key) == 0 || len(name) > maxMemberName {
		return nil
	}
	for _, l := range labels {
		if !slices.Contains(g.Labels, l) {
			return nil
		}
	}
	d := &Desc{Name: strings.Clone(name), Help: g.Help, Labels: slices.Clone(labels)}
	if g.Counters && !slices.Contains(g.Gauges, key) || strings.HasSuffix(name, "_total") {
		d.Kind = Counter
	}
	return d
}

// Key makes a name that a machine gives fit into the name of a family: what is no
// letter, digit or underscore becomes an underscore.
func Key(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' {
			return r
		}
		return '_'
	}, s)
}

// HelpOf returns what is known of a family by its name: the text of its description,
// or that of the group with the longest prefix; "" for a name of neither.
func HelpOf(name string) string {
	for _, d := range families {
		if d.Name == name {
			return d.Help
		}
	}
	if g := groupOf(name); g != nil {
		return g.Help
	}
	return ""
}

// groupOf is the group with the longest prefix of a name, nil when there is none.
func groupOf(name string) *Group {
	var best *Group
	for _, g := range groups {
		if strings.HasPrefix(name, g.Prefix) && (best == nil || len(g.Prefix) > len(best.Prefix)) {
			best = g
		}
	}
	return best
}

// TypeOf is the type of a series' family as Prometheus calls it: counter, gauge, or
// untyped where the source does not tell.
func TypeOf(s Series) string {
	if g := groupOf(s.Name); g != nil && g.Untyped && !slices.Contains(g.Gauges, strings.TrimPrefix(s.Name, g.Prefix)) {
		return "untyped"
	}
	return s.Kind.String()
}
