package patches

import (
	"fmt"
	"path"
	"strings"

	"atalaya/agent/probe"
)

// aptConf holds the settings of apt.conf(5) by their full lower-case name; the values
// of a list are kept in order.
type aptConf map[string][]string

// value returns the last value of a setting, "" if there is none.
func (c aptConf) value(name string) string {
	if v := c[strings.ToLower(name)]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

// on reads a boolean as apt does (StringToBool in strutl.cc).
func (c aptConf) on(name string, unset bool) bool {
	switch strings.ToLower(c.value(name)) {
	case "1", "yes", "true", "with", "on", "enable":
		return true
	case "0", "no", "false", "without", "off", "disable":
		return false
	}
	return unset
}

// readAptConf reads the parts and then the main file, which has the last word.
func readAptConf(h *probe.Host, in *inputs) (aptConf, error) {
	conf := make(aptConf)
	for _, name := range in.parts(h, "/etc/apt/apt.conf.d", "/etc/apt/apt.conf", "", ".conf") {
		data, err := in.read(h, name)
		if err != nil {
			return nil, err
		}
		if err := parseAptConf(conf, string(data)); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return conf, nil
}

// aptPlaces is where apt keeps what is read here.
var aptPlaces = [...]struct{ setting, place string }{
	{"dir", ""}, {"rootdir", ""}, {"dir::state", "var/lib/apt"}, {"dir::state::lists", "var/lib/apt/lists"}, {"dir::state::status", "var/lib/dpkg/status"},
	{"dir::etc", "etc/apt"}, {"dir::etc::sourcelist", "etc/apt/sources.list"}, {"dir::etc::sourceparts", "etc/apt/sources.list.d"},
	{"dir::etc::preferences", "etc/apt/preferences"}, {"dir::etc::preferencesparts", "etc/apt/preferences.d"},
}

// moved is what the configuration moves to places that are not read.
func (c aptConf) moved() error {
	for _, usual := range aptPlaces {
		if value := c.value(usual.setting); value != "" && !strings.HasSuffix("/"+usual.place, "/"+strings.Trim(value, "/")) {
			return fmt.Errorf("apt's configuration sets %s to %q, which is not read", usual.setting, value)
		}
	}
	return nil
}

// parseAptConf adds one file: `A::B "value";`, `A { B "value"; };`, lists
// `A { "x"; "y"; };` and the command #clear.
func parseAptConf(conf aptConf, text string) error {
	var scope []string
	var words []string
	for {
		tok, rest, err := aptToken(text)
		if err != nil {
			return err
		}
		text = rest
		switch tok {
		case "":
			if len(scope) > 0 {
				return fmt.Errorf("block %.200q is not closed", strings.Join(scope, "::"))
			}
			return nil
		case "{":
			scope = append(scope, strings.Join(words, "::"))
			words = nil
		case "}":
			conf.set(scope, words)
			words = nil
			if len(scope) == 0 {
				return fmt.Errorf("'}' without '{'")
			}
			scope = scope[:len(scope)-1]
		case ";":
			conf.set(scope, words)
			words = nil
		default:
			words = append(words, tok)
		}
	}
}

// set takes one statement: a name and a value, or in a list a value alone. Values
// keep the quote that marked them until here.
func (c aptConf) set(scope, words []string) {
	if len(words) == 0 {
		return
	}
	name := strings.Join(scope, "::")
	if first := words[0]; first[0] != '"' {
		if name != "" && first != "#clear" {
			name += "::"
		}
		if first == "#clear" {
			for _, w := range words[1:] {
				c.clear(strings.ToLower(w))
			}
			return
		}
		name += first
		words = words[1:]
	}
	name = strings.ToLower(strings.TrimSuffix(name, "::"))
	for _, w := range words {
		c[name] = append(c[name], strings.TrimPrefix(w, `"`))
	}
}

func (c aptConf) clear(name string) {
	for k := range c {
		if k == name || strings.HasPrefix(k, name+"::") {
			delete(c, k)
		}
	}
}

// aptToken returns the next of { } ; a word, or a quoted value (with its opening
// quote); "" at the end.
func aptToken(s string) (tok, rest string, err error) {
	for {
		s = strings.TrimLeft(s, " \t\r\n")
		switch {
		case s == "":
			return "", "", nil
		case strings.HasPrefix(s, "//"), s[0] == '#' && !strings.HasPrefix(s, "#clear"):
			_, s, _ = strings.Cut(s, "\n")
		case strings.HasPrefix(s, "/*"):
			_, after, ok := strings.Cut(s, "*/")
			if !ok {
				return "", "", fmt.Errorf("comment is not closed")
			}
			s = after
		case strings.IndexByte("{};", s[0]) >= 0:
			return s[:1], s[1:], nil
		case s[0] == '"':
			i := strings.IndexByte(s[1:], '"')
			if i < 0 {
				return "", "", fmt.Errorf("value is not closed by a quote")
			}
			return s[:1+i], s[2+i:], nil
		default:
			i := strings.IndexAny(s, " \t\r\n{};\"")
			if i < 0 {
				i = len(s)
			}
			return s[:i], s[i:], nil
		}
	}
}

// partName reports whether apt takes a file of a .d folder: apt.conf(5) allows letters,
// digits, hyphen, underscore and dot, and only some extensions.
func partName(name string, extensions []string) bool {
	for _, c := range []byte(name) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.", c) >= 0) {
			return false
		}
	}
	if name == "" || name[0] == '.' {
		return false
	}
	for _, ext := range extensions {
		if path.Ext(name) == ext {
			return true
		}
	}
	return false
}
