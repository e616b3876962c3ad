package patches

import (
	"path"
	"strings"

	"atalaya/agent/probe"
	"atalaya/agent/probe/patches/rpmmd"
)

// lock keeps packages from changing.
type lock struct {
	pattern string
	exclude bool   // only what matches is kept away; else all versions that do not match
	reason  string // for people
}

// readLocks reads the excludes of the main configuration, the lists of dnf's and yum's
// plugin versionlock, dnf 5's versionlock.toml and zypper's locks.
func readLocks(h *probe.Host, in *inputs, main *section, f *rpmFlavour) []lock {
	var locks []lock
	for _, pattern := range append(main.words("exclude"), main.words("excludepkgs")...) {
		locks = append(locks, lock{pattern, true, "excluded in " + f.configs[0]})
	}
	if f.name == "zypper" {
		return append(locks, zyppLocks(h, in)...)
	}
	for _, name := range []string{"/etc/dnf/plugins/versionlock.list", "/etc/yum/pluginconf.d/versionlock.list"} {
		data, err := in.read(h, name)
		if err != nil {
			continue // the plugin is not there
		}
		for line := range strings.Lines(string(data)) {
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' {
				continue
			}
			pattern, exclude := strings.CutPrefix(line, "!")
			locks = append(locks, lock{pattern, exclude, "locked in " + name})
		}
	}
	const dnf5 = "/etc/dnf/versionlock.toml"
	data, _ := in.read(h, dnf5) // dnf 5 only
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, "="); ok && strings.TrimSpace(key) == "name" {
			locks = append(locks, lock{strings.Trim(strings.TrimSpace(value), `"'`) + "-locked", false, "locked in " + dnf5})
		}
	}
	return locks
}

// zyppLocks reads stanzas of "key: value" lines.
func zyppLocks(h *probe.Host, in *inputs) []lock {
	const name = "/etc/zypp/locks"
	data, _ := in.read(h, name) // there may be none
	var locks []lock
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "solvable_name" {
			locks = append(locks, lock{strings.TrimSpace(value), true, "locked in " + name})
		}
	}
	return locks
}

// locked is why a package may not be installed, "" if it may.
func locked(locks []lock, p *rpmOffer) string {
	reason := ""
	for _, l := range locks {
		switch matches := matchesNEVRA(l.pattern, p); {
		case l.exclude && matches:
			return l.reason
		case !l.exclude && matches:
			return "" // one of the versions it is locked to
		case !l.exclude && l.names(p.Name):
			reason = l.reason
		}
	}
	return reason
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
	in.note(h, dir)
	entries, _ := h.ReadDir(dir) // no modules here
	for _, e := range entries {
		data, err := in.read(h, path.Join(dir, e.Name()))
		if err != nil {
			continue
		}
		sections, _ := parseINI(string(data)) // what can be read counts
		for _, x := range sections {
			if state := x.value("state"); state == "enabled" || state == "disabled" {
				chosen[x.name] = word(state == "enabled", x.value("stream"))
			}
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
