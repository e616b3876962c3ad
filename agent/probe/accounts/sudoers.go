package accounts

import (
	"errors"
	"fmt"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// The grammar is that of sudoers(5), section "SUDOERS FILE FORMAT". Like sudo, a line that
// is not understood is left out and named; the others count.

const (
	// maxIncludes bounds the nesting of included files; sudo allows 128.
	maxIncludes = 128
	// maxExpanded bounds what the aliases of one list may grow to.
	maxExpanded = 5000
	// maxCommand bounds one command in a row.
	maxCommand = 1000
)

// sudoers collects a policy from its files.
type sudoers struct {
	read     func(name string) ([]byte, error)
	list     func(dir string) ([]string, error)
	hostname string

	aliases  map[string][]string // "user ADMINS" -> items
	specs    []userSpec
	settings []setting
	members  members
	compared int
	unsure   bool // whether a setting holds for some rule
	files    int
	err      error
	bad      int
}

// userSpec is one line that grants, cut into its parts.
type userSpec struct {
	file  string
	line  int
	users []string
	parts []specPart
}

// specPart is "hosts = commands".
type specPart struct {
	hosts    []string
	commands string
}

// problem notes what was not understood, the first few in words.
func (s *sudoers) problem(err error) {
	if s.bad++; s.bad <= maxBadLines {
		s.err = errors.Join(s.err, err)
	}
}

// file reads one file with all that it includes.
func (s *sudoers) file(name string, depth int) {
	if s.files++; depth > maxIncludes || s.files > 10*maxIncludes {
		s.problem(fmt.Errorf("%s: too many included files", name))
		return
	}
	data, err := s.read(name)
	if err != nil {
		s.problem(err)
		return
	}
	if strings.IndexByte(string(data), 0) >= 0 {
		s.problem(fmt.Errorf("%s: has NUL bytes", name))
		return
	}
	for text, number := string(data), 0; text != ""; {
		var line string
		var lines int
		line, text, lines = continued(text)
		if err := s.line(name, number+1, line, depth); err != nil {
			s.problem(fmt.Errorf("%s line %d: %w", name, number+1, err))
		}
		number += lines
	}
}

// continued takes one line, with those that a backslash at the end joins to it.
func continued(text string) (line, rest string, lines int) {
	var b strings.Builder
	for {
		line, rest, _ = strings.Cut(text, "\n")
		lines++
		head, more := strings.CutSuffix(strings.TrimSuffix(line, "\r"), `\`)
		b.WriteString(head)
		if !more || rest == "" {
			return strings.TrimSpace(b.String()), rest, lines
		}
		text = rest
	}
}

func (s *sudoers) line(file string, number int, line string, depth int) error {
	if name, ok := directive(line, "include"); ok {
		s.file(s.includePath(file, name), depth+1)
		return nil
	}
	if name, ok := directive(line, "includedir"); ok {
		return s.includeDir(s.includePath(file, name), depth)
	}
	line = strings.TrimSpace(withoutComment(line))
	word, rest, _ := strings.Cut(strings.ReplaceAll(line, "\t", " "), " ")
	switch {
	case line == "":
		return nil
	case strings.HasPrefix(word, "Defaults"):
		s.defaults(strings.ReplaceAll(line, "\t", " ")[len("Defaults"):])
		return nil
	case aliasKinds[word] != "":
		return s.alias(aliasKinds[word], rest)
	}
	spec, err := parseSpec(line)
	spec.file, spec.line = file, number
	if err == nil {
		s.specs = append(s.specs, spec)
	}
	return err
}

// directive is the file of "@include file" or its older form "#include file".
func directive(line, word string) (string, bool) {
	if line == "" || line[0] != '@' && line[0] != '#' {
		return "", false
	}
	rest, ok := strings.CutPrefix(line[1:], word)
	if !ok || rest == "" || rest[0] != ' ' && rest[0] != '\t' {
		return "", false
	}
	return strings.Trim(strings.ReplaceAll(strings.TrimSpace(rest), `\ `, " "), `"`), true
}

// includePath is the file that is meant: %h is the name of this host, and what is not
// absolute lies beside the including file.
func (s *sudoers) includePath(from, name string) string {
	host, _, _ := strings.Cut(s.hostname, ".")
	name = strings.ReplaceAll(name, "%h", host)
	if !strings.HasPrefix(name, "/") {
		name = from[:strings.LastIndexByte(from, '/')+1] + name
	}
	return name
}

// includeDir reads the files of a folder in order, but for those that packages and
// editors leave there: names with a dot or with a tilde at the end.
func (s *sudoers) includeDir(dir string, depth int) error {
	names, err := s.list(dir)
	for _, name := range names {
		if !strings.Contains(name, ".") && !strings.HasSuffix(name, "~") {
			s.file(strings.TrimSuffix(dir, "/")+"/"+name, depth+1)
		}
	}
	if probe.Absent(err) {
		return nil
	}
	return err
}

// withoutComment cuts a comment off: "#" where no uid or gid follows it.
func withoutComment(line string) string {
	quoted := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == '#' && !quoted && !idFollows(line, i):
			return line[:i]
		}
	}
	return line
}

// idFollows tells #1000 and %#1000 from a comment: a number follows, and a name could
// stand there.
func idFollows(line string, i int) bool {
	if i+1 >= len(line) || line[i+1] < '0' || line[i+1] > '9' {
		return false
	}
	return i == 0 || strings.IndexByte(" \t,(:!%=", line[i-1]) >= 0
}

// aliasKinds are the words that define aliases, and of what.
var aliasKinds = map[string]string{
	"User_Alias": "user", "Runas_Alias": "user", "Host_Alias": "host", "Cmnd_Alias": "command", "Cmd_Alias": "command",
}

// alias reads "NAME = item, item : NAME2 = item".
func (s *sudoers) alias(kind, text string) error {
	for _, def := range splitOutside(text, ':') {
		name, items, ok := strings.Cut(def, "=")
		name = strings.TrimSpace(name)
		if !ok || !isAlias(name) {
			return fmt.Errorf("alias %.40q not understood", def)
		}
		s.aliases[kind+" "+name] = splitOutside(items, ',')
	}
	return nil
}

// isAlias: a capital letter, then capital letters, digits and underscores.
func isAlias(name string) bool {
	for i, c := range []byte(name) {
		if !(c >= 'A' && c <= 'Z' || i > 0 && (c >= '0' && c <= '9' || c == '_')) {
			return false
		}
	}
	return name != "" && name != "ALL"
}

// splitOutside cuts at a byte outside of quotes and brackets that no backslash precedes,
// and trims the parts. A colon within a word (an address) does not cut.
func splitOutside(text string, sep byte) []string {
	var out []string
	start, depth, quoted := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == sep && depth <= 0 && (sep != ':' || separates(text, i)):
			out = append(out, strings.TrimSpace(text[start:i]))
			start = i + 1
		}
	}
	if last := strings.TrimSpace(text[start:]); last != "" || len(out) > 0 {
		out = append(out, last)
	}
	return out
}

// separates tells the colon between definitions from one in an address, of a tag, or of
// %:group: another definition with "=" follows it, and a blank.
func separates(text string, i int) bool {
	if i+1 >= len(text) || text[i+1] != ' ' && text[i+1] != '\t' && (i == 0 || text[i-1] != ' ') {
		return false
	}
	before := strings.TrimRight(text[:i], " \t")
	word := before[strings.LastIndexAny(before, " \t,=):")+1:]
	return !isTag(word) && strings.IndexByte(text[i:], '=') >= 0
}

// parseSpec reads "users hosts = commands : hosts = commands".
func parseSpec(line string) (userSpec, error) {
	users, rest := takeList(line)
	spec := userSpec{users: users}
	if len(users) == 0 || rest == "" {
		return spec, fmt.Errorf("%.40q not understood", line)
	}
	for _, part := range splitOutside(rest, ':') {
		hosts, rest := takeList(part)
		commands, ok := strings.CutPrefix(rest, "=")
		if !ok || len(hosts) == 0 || strings.TrimSpace(commands) == "" {
			return spec, fmt.Errorf("%.40q not understood", part)
		}
		spec.parts = append(spec.parts, specPart{hosts, strings.TrimSpace(commands)})
	}
	return spec, nil
}

// takeList takes a list with commas off the beginning of s: it ends at a blank that no
// comma neighbours, or at "=".
func takeList(s string) (items []string, rest string) {
	for {
		s = strings.TrimLeft(s, " \t")
		item, tail := takeItem(s)
		if item == "" {
			return items, s
		}
		items = append(items, item)
		tail = strings.TrimLeft(tail, " \t")
		if !strings.HasPrefix(tail, ",") {
			return items, tail
		}
		s = tail[1:]
	}
}

// takeItem takes one name with the "!" before it, which blanks may follow.
func takeItem(s string) (item, rest string) {
	i := 0
	for i < len(s) && (s[i] == '!' || s[i] == ' ' && i > 0) {
		i++
	}
	quoted := false
	for ; i < len(s); i++ {
		c := s[i]
		if c == '\\' && i+1 < len(s) {
			i++
			continue
		}
		if c == '"' {
			quoted = !quoted
		}
		if !quoted && strings.IndexByte(" \t,=", c) >= 0 {
			break
		}
	}
	i = min(i, len(s))
	name := strings.TrimLeft(s[:i], "! ")
	return strings.ReplaceAll(s[:i-len(name)], " ", "") + name, s[i:]
}

// rows turns the policy into rows, one for each user and each run of commands that have
// the same conditions.
func (s *sudoers) rows() []facts.Row {
	var out []facts.Row
	for _, spec := range s.specs {
		var problems probe.Problems
		users, err := s.expand("user", spec.users)
		problems.Add(err)
		for _, part := range spec.parts {
			hosts, hostErr := s.expand("host", part.hosts)
			groups, groupErr := s.commandGroups(part.commands)
			problems.Add(hostErr, groupErr)
			for _, g := range groups {
				for _, u := range users {
					if len(out) >= maxRules {
						s.problem(errors.New("more rules than are reported"))
						return out
					}
					out = append(out, s.settle(g.row(u, hosts, spec))...)
				}
			}
		}
		if err := problems.Err(); err != nil {
			s.problem(fmt.Errorf("%s line %d: %w", spec.file, spec.line, err))
		}
	}
	return out
}

// maxRules bounds the rows: a policy of a large site has some hundred.
const maxRules = 20_000

var errTooMany = errors.New("aliases expand to too much")

// expand replaces the aliases of a list, those within aliases too. "!" before an alias
// turns each of its items around.
func (s *sudoers) expand(kind string, items []string) ([]string, error) {
	var out []string
	steps := 0
	var walk func(items []string, not bool, depth int) error
	walk = func(items []string, not bool, depth int) error {
		for _, item := range items {
			if steps++; steps > maxExpanded || depth > maxIncludes {
				return errTooMany
			}
			name, itemNot := strings.TrimLeft(item, "! "), strings.Count(item[:len(item)-len(strings.TrimLeft(item, "! "))], "!")%2 == 1
			if name == "" {
				continue
			}
			if inner, ok := s.aliases[kind+" "+name]; ok {
				if err := walk(inner, not != itemNot, depth+1); err != nil {
					return err
				}
				continue
			}
			if not != itemNot {
				name = "!" + name
			}
			out = append(out, name)
		}
		return nil
	}
	err := walk(items, false, 0)
	return out, err
}
