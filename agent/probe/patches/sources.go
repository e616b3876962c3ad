package patches

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// source is one repository of sources.list(5): a URI and a suite.
type source struct {
	kind       string // deb or deb-src
	uri, suite string // the suite of a flat repository ends in a slash
	components []string
	archs      []string // nil: those of the system
	plus       []string
	minus      []string
	disabled   bool
	trusted    string // the option of that name: yes, no, or empty
	insecure   bool   // allow-insecure
	signedBy   string
	file       string // where it is configured
}

// name is how messages call the source, without what the URI has of secrets.
func (s source) name() string { return maskURI(s.uri) + " " + s.suite }

// row is what the section repositories says of the source.
func (s source) row() *facts.RepositoryRow {
	row := &facts.RepositoryRow{
		Manager: "apt", ID: s.name(), Kind: s.kind, URI: maskURI(s.uri), Suite: s.suite, Components: s.components,
		Architectures: s.archs, Enabled: !s.disabled, Signing: "index", SignedBy: s.signedBy, File: s.file,
	}
	if s.flat() {
		row.Components = nil
	}
	switch {
	case s.trusted == "yes":
		row.Signing = "none"
	case s.insecure:
		row.Signing = "optional"
	}
	return row
}

// site is the host name of the URI, "" for local ones; pins by origin compare it.
func (s source) site() string {
	_, rest, _ := strings.Cut(s.uri, ":")
	rest, ok := strings.CutPrefix(rest, "//")
	if !ok {
		return ""
	}
	host, _, _ := strings.Cut(rest, "/")
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = host[i+1:]
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return host
}

// base is the file name of the source's Release file without the last word, as apt
// makes it (URItoFileName in strutl.cc).
func (s source) base() string {
	uri := s.uri
	if !strings.HasSuffix(uri, "/") {
		uri += "/"
	}
	switch {
	case s.suite == "/":
	case strings.HasSuffix(s.suite, "/"):
		uri += s.suite
	default:
		uri += "dists/" + s.suite + "/"
	}
	return listsDir + "/" + listName(uri)
}

// index is the file name of one index of the source.
func (s source) index(component, arch string) string {
	return s.base() + listName(s.indexPath(component, arch))
}

// indexPath is the path of an index as the Release file lists it.
func (s source) indexPath(component, arch string) string {
	if s.flat() {
		return "Packages"
	}
	return component + "/binary-" + arch + "/Packages"
}

func (s source) flat() bool { return strings.HasSuffix(s.suite, "/") }

// listName turns a URI or path into the name of a file in apt's lists folder.
func listName(uri string) string {
	if i := strings.Index(uri, ":/"); i >= 0 && !strings.Contains(uri[:i], "/") {
		uri = strings.TrimPrefix(uri[i+1:], "//")
		host, rest, _ := strings.Cut(uri, "/")
		if at := strings.LastIndexByte(host, '@'); at >= 0 {
			uri = host[at+1:] + "/" + rest
		}
	}
	var b strings.Builder
	for _, c := range []byte(uri) {
		switch {
		case c == '/':
			b.WriteByte('_')
		case c <= ' ' || c >= 0x7f || strings.IndexByte("\\|{}[]<>\"^~_=!@#$%&*", c) >= 0:
			fmt.Fprintf(&b, "%%%02x", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// architectures are those of the source, given those of the system.
func (s source) architectures(system []string) []string {
	out := s.archs
	if out == nil {
		out = system
	}
	out = append(append([]string(nil), out...), s.plus...)
	return filter(out, func(a string) bool { return !slices.Contains(s.minus, a) })
}

// readSources reads sources.list and sources.list.d.
func readSources(h *probe.Host, in *inputs, arch string) ([]source, error) {
	var all []source
	var problems probe.Problems
	before := len(in.problems)
	names := in.parts(h, "/etc/apt/sources.list.d", "/etc/apt/sources.list", ".list", ".sources")
	problems.Add(in.problems[before:]...)
	for _, name := range names {
		data, err := in.read(h, name)
		var found []source
		switch {
		case err != nil:
		case strings.HasSuffix(name, ".sources"):
			found, err = parseSources(data)
		default:
			found, err = parseSourcesList(string(data))
		}
		if err = errors.Join(err, probe.Intact(data)); err != nil {
			problems.Add(fmt.Errorf("%s: %w", name, err))
		}
		for _, s := range found {
			s.uri = strings.ReplaceAll(s.uri, "$(ARCH)", arch)
			s.suite = strings.ReplaceAll(s.suite, "$(ARCH)", arch)
			s.file = name
			s.signedBy = withMissing(h, in, s.signedBy)
			all = append(all, s)
		}
	}
	return all, problems.Err()
}

// withMissing marks key files that are not there: apt refuses what they should check.
func withMissing(h *probe.Host, in *inputs, keys string) string {
	if !strings.HasPrefix(keys, "/") {
		return keys
	}
	words := strings.Split(keys, ", ")
	for i, key := range words {
		if !strings.HasPrefix(key, "/") {
			continue
		}
		in.note(h, key)
		if _, err := h.Stat(key); notThere(err) {
			words[i] += " (missing)"
		}
	}
	return strings.Join(words, ", ")
}

// parseSourcesList reads the one-line style: deb [ option=value ... ] uri suite [component ...].
func parseSourcesList(text string) ([]source, error) {
	var out []source
	var problems probe.Problems
	number := 0
	for line := range strings.Lines(text) {
		number++
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		kind := line[:strings.IndexAny(line+" ", " \t[")]
		if kind != "deb" && kind != "deb-src" {
			problems.Add(fmt.Errorf("line %d is neither deb nor deb-src", number))
			continue
		}
		s, err := parseSourceLine(strings.TrimSpace(line[len(kind):]))
		if err != nil {
			problems.Add(fmt.Errorf("line %d: %w", number, err))
			continue
		}
		s.kind = kind
		out = append(out, s)
	}
	return out, problems.Err()
}

func parseSourceLine(line string) (source, error) {
	var s source
	if after, ok := strings.CutPrefix(line, "["); ok {
		options, rest, closed := strings.Cut(after, "]")
		if !closed {
			return s, errors.New("options are not closed by ]")
		}
		line = rest
		for _, o := range strings.Fields(options) {
			key, value, _ := strings.Cut(o, "=")
			s.option(key, strings.Split(value, ","))
		}
	}
	line = strings.TrimSpace(line)
	words := strings.Fields(line)
	if i := strings.Index(line, "[") + 1; i > 0 && strings.HasPrefix(line, "cdrom:[") { // cdrom:[a name with blanks]/
		name, rest, _ := strings.Cut(line[i:], "]")
		words = append([]string{"cdrom:[" + name + "]" + firstWord(rest)}, strings.Fields(rest[len(firstWord(rest)):])...)
	}
	if len(words) < 2 {
		return s, errors.New("no URI and suite")
	}
	s.uri, s.suite, s.components = words[0], words[1], words[2:]
	return s, s.check()
}

func firstWord(s string) string {
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i]
	}
	return s
}

func (s *source) option(key string, values []string) {
	switch key {
	case "arch":
		s.archs = values
	case "arch+":
		s.plus = values
	case "arch-":
		s.minus = values
	case "trusted":
		s.trusted = yesNo(values)
	case "allow-insecure":
		s.insecure = yesNo(values) == "yes"
	case "signed-by":
		s.signedBy = strings.Join(values, ", ")
	}
}

func (s *source) check() error {
	if s.flat() != (len(s.components) == 0) {
		return fmt.Errorf("suite %q with components %q", s.suite, s.components)
	}
	if s.flat() {
		s.components = []string{""}
	}
	return nil
}

// parseSources reads the deb822 style: every combination of URIs and Suites.
func parseSources(data []byte) ([]source, error) {
	var out []source
	var problems probe.Problems
	in := newStanzas(bytes.NewReader(data))
	for {
		stanza, err := in.next()
		if err != nil {
			return out, problems.Err() // of memory: only the end, or a stanza beyond all measure
		}
		fields := make(map[string][]string)
		eachField(stanza, func(name, value []byte) {
			fields[strings.ToLower(string(name))] = strings.Fields(uncommented(string(value)))
		})
		if len(fields) == 0 {
			continue
		}
		if len(fields["uris"]) == 0 || len(fields["suites"]) == 0 {
			problems.Add(errors.New("stanza without URIs or Suites"))
		}
		for _, kind := range fields["types"] {
			found, err := stanzaSources(kind, fields)
			out = append(out, found...)
			problems.Add(err)
		}
	}
}

// stanzaSources makes the sources of one type.
func stanzaSources(kind string, fields map[string][]string) ([]source, error) {
	var out []source
	var problems probe.Problems
	for _, uri := range fields["uris"] {
		for _, suite := range fields["suites"] {
			s := source{kind: kind, uri: uri, suite: suite, components: fields["components"], archs: fields["architectures"],
				plus: fields["architectures-add"], minus: fields["architectures-remove"], disabled: yesNo(fields["enabled"]) == "no",
				trusted: yesNo(fields["trusted"]), insecure: yesNo(fields["allow-insecure"]) == "yes"}
			if keys := fields["signed-by"]; len(keys) > 0 && strings.HasPrefix(keys[0], "-----BEGIN") {
				s.signedBy = "a key in the file itself"
			} else {
				s.signedBy = strings.Join(keys, ", ")
			}
			if err := s.check(); err != nil {
				problems.Add(err)
				continue
			}
			out = append(out, s)
		}
	}
	return out, problems.Err()
}

// uncommented drops comment lines inside a field.
func uncommented(value string) string {
	if !strings.Contains(value, "#") {
		return value
	}
	var b strings.Builder
	for line := range strings.Lines(value) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// yesNo reads a switch: yes, no, or empty for what is neither.
func yesNo(words []string) string {
	if len(words) != 1 {
		return ""
	}
	switch strings.ToLower(words[0]) {
	case "no", "false", "0", "off", "without", "disable":
		return "no"
	case "yes", "true", "1", "on", "with", "enable":
		return "yes"
	}
	return ""
}
