package patches

import (
	"strings"

	"atalaya/agent/probe"
	"atalaya/agent/probe/patches/rpmmd"
)

// lock keeps packages from changing.
type lock struct {
	pattern string
	exclude bool   // only what matches is kept away; else all versions that do not match
	reason  string // for people
	// versions, arch and repo narrow a lock of zypper; "": any.
	versions, arch, repo string
}

// readLocks reads the excludes of the main configuration, the lists of dnf's and yum's
// plugin versionlock, dnf 5's versionlock.toml and zypper's locks.
func (c *rpmConfig) readLocks(h *probe.Host, in *inputs) []lock {
	var locks []lock
	for _, pattern := range append(c.main.words("exclude"), c.main.words("excludepkgs")...) {
		locks = append(locks, lock{pattern: pattern, exclude: true, reason: "excluded in " + c.configs[0]})
	}
	if c.name == "zypper" {
		return append(locks, zyppLocks(string(in.maybe(h, zyppLockFile)))...)
	}
	for _, name := range []string{"/etc/dnf/plugins/versionlock.list", "/etc/yum/pluginconf.d/versionlock.list"} {
		for line := range strings.Lines(string(in.maybe(h, name))) { // of a plugin
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' {
				continue
			}
			pattern, exclude := strings.CutPrefix(line, "!")
			locks = append(locks, lock{pattern: pattern, exclude: exclude, reason: "locked in " + name})
		}
	}
	const dnf5 = "/etc/dnf/versionlock.toml"
	for line := range strings.Lines(string(in.maybe(h, dnf5))) {
		if key, value, ok := strings.Cut(line, "="); ok && strings.TrimSpace(key) == "name" {
			locks = append(locks, lock{pattern: strings.Trim(strings.TrimSpace(value), `"'`) + "-locked", reason: "locked in " + dnf5})
		}
	}
	return locks
}

const zyppLockFile = "/etc/zypp/locks"

// zyppLocks reads stanzas of "key: value" lines. Only packages matter; a lock may be about
// some versions, one architecture or one repository.
func zyppLocks(text string) []lock {
	var locks []lock
	for stanza := range strings.SplitSeq(text, "\n\n") {
		l := lock{exclude: true, reason: "locked in " + zyppLockFile}
		about, names := "", []string(nil)
		for line := range strings.Lines(stanza) {
			key, value, _ := strings.Cut(line, ":")
			switch value = strings.TrimSpace(value); strings.TrimSpace(key) {
			case "type":
				about = value
			case "solvable_name":
				names = append(names, value)
			case "solvable_arch":
				l.arch = value
			case "version":
				l.versions = value
			case "repo":
				l.repo = value
			}
		}
		if about != "" && about != "package" {
			continue
		}
		for _, l.pattern = range names {
			locks = append(locks, l)
		}
	}
	return locks
}

// locked is why a package may not take the place of what is installed, "" if it may.
func locked(locks []lock, p *rpmOffer, installed string) string {
	reason := ""
	for _, l := range locks {
		switch matches := matchesNEVRA(l.pattern, p); {
		case l.exclude && matches && l.covers(p, installed):
			return l.reason
		case l.exclude:
		case matches:
			return "" // one of the versions it is locked to
		case l.names(p.Name):
			reason = l.reason
		}
	}
	return reason
}

// covers reports whether a lock of zypper is about this package or about the version of it
// that is installed, which then stays.
func (l lock) covers(p *rpmOffer, installed string) bool {
	if l.arch != "" && l.arch != p.Arch {
		return false
	}
	if l.versions != "" && l.repo == "" && l.has(installed) {
		return true
	}
	return l.has(p.Version) && (l.repo == "" || l.repo == p.repo.id)
}

// has reports whether a version is among those of the lock: "> 2", "== 1.0-3". Without a
// release in the lock that of the version does not count.
func (l lock) has(version string) bool {
	n := 0
	for n < len(l.versions) && strings.IndexByte("=<>!", l.versions[n]) >= 0 {
		n++
	}
	op, want := l.versions[:n], strings.TrimSpace(l.versions[n:])
	if want == "" {
		return true
	}
	if !strings.Contains(want, "-") {
		version, _, _ = strings.Cut(version, "-")
	}
	if rest, not := strings.CutPrefix(op, "!"); not || op == "" {
		return not != allows("rpm", "="+strings.Trim(rest, "=")+want, version)
	}
	return allows("rpm", op+want, version)
}

// names reports whether a lock to versions is about the name: name-[epoch:]version-release.
func (l lock) names(name string) bool {
	rest, ok := strings.CutPrefix(l.pattern, name+"-")
	if !ok {
		_, after, _ := strings.Cut(l.pattern, ":") // yum's epoch:name-version-release
		rest, ok = strings.CutPrefix(after, name+"-")
	}
	return ok && strings.Count(rest, "-") <= 1 && rest != ""
}

// streams knows which packages of modules count (dnf's modular filtering).
type streams struct {
	hidden  map[string]bool // name-epoch:version-release.arch of streams that are not active
	active  map[string]bool // of those that are
	modular map[string]bool // names of which only the active ones count
}

// readStreams reads the state of the modules. An active stream is one that is enabled,
// or the default where none is enabled or disabled.
func readStreams(h *probe.Host, in *inputs, repos []*rpmRepo) streams {
	s := streams{make(map[string]bool), make(map[string]bool), make(map[string]bool)}
	const dir = "/etc/dnf/modules.d"
	chosen := make(map[string]string)
	for _, x := range in.sections(h, dir) {
		if state := x.value("state"); state == "enabled" || state == "disabled" {
			chosen[x.name] = word(state == "enabled", x.value("stream"))
		}
	}
	for _, r := range repos {
		if r.index == nil {
			continue
		}
		for module, stream := range r.index.modules.Defaults {
			if _, ok := chosen[module]; !ok {
				chosen[module] = stream
			}
		}
	}
	for _, r := range repos {
		if r.index == nil {
			continue
		}
		for _, x := range r.index.modules.Streams {
			stream, ok := chosen[x.Module]
			s.add(x, ok && stream == x.Stream)
		}
	}
	return s
}

func (s streams) add(x rpmmd.Stream, active bool) {
	for _, nevra := range x.Packages {
		if active {
			s.active[nevra] = true
			s.modular[rpmmd.NameOf(nevra)] = true
		} else {
			s.hidden[nevra] = true
		}
	}
}

// hides reports whether a package does not count.
func (s streams) hides(p *rpmOffer) bool {
	if len(s.hidden)+len(s.active) == 0 || p.repo.on("module_hotfixes", false) {
		return false
	}
	version := p.Version
	if !strings.Contains(version, ":") {
		version = "0:" + version
	}
	nevra := p.Name + "-" + version + "." + p.Arch
	return !s.active[nevra] && (s.hidden[nevra] || s.modular[p.Name])
}
