package patches

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"atalaya/agent/probe"
)

// The priorities of apt_preferences(5), and math.MinInt16, which apt uses for "never".
const (
	priorityNever        = -32768
	priorityNotAutomatic = 1
	priorityInstalled    = 100
	priorityDefault      = 500
	priorityTarget       = 990
	priorityDowngrade    = 1000
)

// pin is one record of apt_preferences(5).
type pin struct {
	names    []string // nil: the general form, "*"
	kind     string   // version, release or origin
	data     string
	priority int
}

// policy decides the priority of each version. The first record that matches wins; a
// record with names wins over the general ones.
type policy struct {
	native            string // architecture
	specific, general []pin
}

// readPolicy reads the preferences; the main file comes first, and the target release
// before the general records (pkgPolicy::pkgPolicy and InitDefaults in policy.cc).
func readPolicy(h *probe.Host, in *inputs, conf aptConf, native string) (*policy, error) {
	p := &policy{native: native}
	if target := conf.value("APT::Default-Release"); target != "" {
		p.general = append(p.general, pin{kind: "release", data: target, priority: priorityTarget})
	}
	const main = "/etc/apt/preferences"
	names := in.parts(h, "/etc/apt/preferences.d", main, "", ".pref")
	if n := len(names); n > 0 && names[n-1] == main {
		names = slices.Insert(names[:n-1], 0, main)
	}
	for _, name := range names {
		data, err := in.read(h, name)
		if err == nil {
			err = p.parse(data)
		}
		if err != nil {
			return p, fmt.Errorf("%s: %w", name, err)
		}
	}
	return p, nil
}

func (p *policy) parse(data []byte) error {
	in := newStanzas(bytes.NewReader(data))
	for {
		stanza, err := in.next()
		if err != nil {
			return nil // of memory: the end
		}
		var names []string
		var rule, priority string
		fields := 0
		eachField(stanza, func(name, value []byte) {
			fields++
			switch strings.ToLower(string(name)) {
			case "package":
				names = strings.Fields(string(value))
			case "pin":
				rule = string(value)
			case "pin-priority":
				priority = string(value)
			}
		})
		if fields == 0 {
			continue
		}
		if err := p.add(names, rule, priority); err != nil {
			return err
		}
	}
}

func (p *policy) add(names []string, rule, priority string) error {
	kind, data, _ := strings.Cut(rule, " ")
	r := pin{names: names, kind: strings.ToLower(kind), data: strings.TrimSpace(data)}
	if r.kind == "origin" {
		r.data = strings.Trim(r.data, `"`)
	}
	switch {
	case len(names) == 0:
		return errors.New("record without Package")
	case !slices.Contains([]string{"version", "release", "origin"}, r.kind):
		return fmt.Errorf("pin %q is not understood", rule)
	case priority == "never":
		r.priority = priorityNever
	default:
		word, _, _ := strings.Cut(priority, " ")
		n, err := strconv.ParseInt(word, 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("priority %q is no number from -32768 to 32767, without 0", priority)
		}
		r.priority = int(n)
	}
	if slices.Equal(names, []string{"*"}) {
		r.names = nil
		p.general = append(p.general, r)
		return nil
	}
	p.specific = append(p.specific, r)
	return nil
}

// priority of a version of a package: the specific pin, else the best of the
// repositories that offer it and, for the installed version, the status file.
func (p *policy) priority(name string, v *version) int {
	for _, r := range p.specific {
		if p.covers(r, name, v) && r.matchesVersion(v) {
			return r.priority
		}
	}
	best := priorityNever
	if v.installed {
		best = priorityInstalled
	}
	for _, o := range v.offers {
		best = max(best, p.releasePriority(o))
	}
	return best
}

// pinned reports whether a record of the administrator applies to the version, and how
// to show it.
func (p *policy) pinned(name string, v *version) (string, bool) {
	for _, r := range p.specific {
		if p.covers(r, name, v) && r.matchesVersion(v) {
			return fmt.Sprintf("pin %s %s, priority %d", r.kind, r.data, r.priority), true
		}
	}
	for _, r := range p.general {
		if r.matchesVersion(v) {
			return fmt.Sprintf("pin %s %s, priority %d", r.kind, r.data, r.priority), true
		}
	}
	return "", false
}

func (p *policy) releasePriority(o *offer) int {
	for _, g := range p.general {
		if g.matchesOffer(o) {
			return g.priority
		}
	}
	return defaultPriority(o.release)
}

func defaultPriority(r *release) int {
	switch {
	case r.notAutomatic && r.butAutomatic:
		return priorityInstalled
	case r.notAutomatic:
		return priorityNotAutomatic
	}
	return priorityDefault
}

// covers matches the Package field: names, globs, /expressions/, "src:" for source
// packages and ":arch" at the end. Without that only packages of the machine's own
// architecture are meant (pkgPolicy::CreatePin in policy.cc).
func (p *policy) covers(r pin, name string, v *version) bool {
	arch := v.arch
	if arch == "all" {
		arch = p.native
	}
	for _, want := range r.names {
		subject, wanted := name, p.native
		if source, ok := strings.CutPrefix(want, "src:"); ok {
			want, subject = source, v.source()
		}
		if i := strings.LastIndexByte(want, ':'); i > 0 && i > strings.LastIndexByte(want, '/') {
			if want, wanted = want[:i], want[i+1:]; wanted == "native" {
				wanted = p.native
			}
		}
		if (wanted == "any" || wanted == arch) && matches(want, subject) {
			return true
		}
	}
	return false
}

func (r pin) matchesVersion(v *version) bool {
	switch {
	case r.kind == "version":
		return matchesNumber(r.data, v.text)
	case r.kind == "release" && r.data == "*":
		return true // of what is only installed too
	}
	return slices.ContainsFunc(v.offers, r.matchesOffer)
}

// matchesOffer follows pkgVersionMatch::FileMatch in versionmatch.cc.
func (r pin) matchesOffer(o *offer) bool {
	rel := o.release
	switch r.kind {
	case "origin":
		return matches(r.data, rel.source.site())
	case "version":
		return false
	}
	if !strings.Contains(r.data, "=") {
		if r.data != "" && r.data[0] >= '0' && r.data[0] <= '9' {
			return matchesNumber(r.data, rel.version)
		}
		return r.data == "*" || matches(r.data, rel.suite) || matches(r.data, rel.codename)
	}
	fields := map[string]string{"a": rel.suite, "n": rel.codename, "o": rel.origin, "l": rel.label, "v": rel.version,
		"c": o.component, "b": o.machine}
	known := false // of other words alone apt makes nothing
	for part := range strings.SplitSeq(r.data, ",") {
		key, want, _ := strings.Cut(strings.TrimSpace(part), "=")
		key = strings.ToLower(key)
		got, ok := fields[key]
		if !ok || want == "" {
			continue
		}
		known = true
		fits := matches
		if key == "v" {
			fits = matchesNumber
		}
		if got == "" || !fits(want, got) {
			return false
		}
	}
	return known
}

// matchesNumber compares versions: a star at the end takes any rest of what stands before
// it word for word.
func matchesNumber(pattern, version string) bool {
	word, prefix := strings.CutSuffix(pattern, "*")
	return prefix && strings.HasPrefix(version, word) || matches(word, version)
}

// matches is ExpressionMatches in versionmatch.cc: /extended expression/ or a glob.
func matches(pattern, s string) bool {
	if n := len(pattern); n > 2 && pattern[0] == '/' && pattern[n-1] == '/' {
		re, err := regexp.Compile("(?i)" + pattern[1:n-1])
		return err == nil && re.MatchString(s)
	}
	if !strings.ContainsAny(pattern, `*?[\`) {
		return pattern == s
	}
	return fnmatch(pattern, s)
}

// fnmatch matches as fnmatch(3) does without flags: a star takes slashes too, and
// brackets that begin with an exclamation mark what is not in them. path.Match does neither.
func fnmatch(pattern, s string) bool {
	pattern = strings.ReplaceAll(strings.ReplaceAll(pattern, "/", "\x01"), "[!", "[^")
	ok, err := path.Match(pattern, strings.ReplaceAll(s, "/", "\x01"))
	return err == nil && ok
}
