package services

import (
	"path"
	"slices"
	"strings"

	"atalaya/agent/probe"
)

// presetDirs hold what the vendor, or the administrator, means to be enabled
// (systemd.preset(5)); of files with one name the first counts.
var presetDirs = []string{"/etc/systemd/system-preset", "/run/systemd/system-preset", "/usr/local/lib/systemd/system-preset",
	"/usr/lib/systemd/system-preset", "/lib/systemd/system-preset"}

// presets are the rules in the order in which they count: the first that matches.
type presets []presetRule

type presetRule struct{ verb, pattern string }

func (u *units) readPresets(h *probe.Host) {
	files := make(map[string]string)
	for _, dir := range presetDirs {
		entries, _ := u.readDir(h, dir) // many systems lack most of them
		for _, e := range entries {
			if _, ok := files[e.Name()]; !ok && strings.HasSuffix(e.Name(), ".preset") {
				files[e.Name()] = path.Join(dir, e.Name())
			}
		}
	}
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		u.looked = append(u.looked, looked{files[name], h.Stamp(files[name])})
		data, _ := h.ReadFile(files[name]) // one that cannot be read has no rules
		u.presets = append(u.presets, parsePresets(string(data))...)
	}
}

// parsePresets reads lines "enable PATTERN [INSTANCE ...]"; "disable" and "ignore" too.
func parsePresets(text string) presets {
	var out presets
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "enable", "disable", "ignore":
			out = append(out, presetRule{f[0], f[1]})
			if base, ext, ok := strings.Cut(f[1], "@."); ok && f[0] == "enable" {
				for _, instance := range f[2:] {
					out = append(out, presetRule{f[0], base + "@" + instance + "." + ext})
				}
			}
		}
	}
	return out
}

// of is enabled, disabled or ignored. What no rule matches is enabled.
func (p presets) of(name string) string {
	for _, r := range p {
		if ok, _ := path.Match(r.pattern, name); ok { // a bad pattern matches nothing
			return strings.TrimSuffix(r.verb, "e") + "ed"
		}
	}
	return "enabled"
}
