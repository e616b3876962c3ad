// Package environment tells what programs of the system inherit where that is harmless:
// language, time zone, search path, proxies (without passwords), the target or runlevel
// that the machine boots to. Names that are not on a list are never read further: other
// variables may hold secrets.
//
// Formats: locale.conf(5), vconsole.conf(5), environment of pam_env(8), keyboard(5) of
// Debian, localtime(5), inittab(5).
package environment

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// New returns the probe of the environment of the init system.
func New() probe.Probe { return environment{} }

type environment struct{}

// files hold settings; of each, only the names on the list are told.
var files = []string{"/etc/environment", "/etc/locale.conf", "/etc/default/locale", "/etc/vconsole.conf", "/etc/default/keyboard", "/etc/default/init"}

// Info implements probe.Probe.
func (environment) Info() probe.Info {
	return probe.Info{
		Name:     "environment",
		Sections: []facts.ID{facts.Environment},
		MaxItems: 500,
		MaxBytes: 1 << 20,
		Watch:    append([]string{"/etc/localtime", "/etc/timezone", "/etc/systemd/system/default.target"}, files...),
	}
}

// Collect implements probe.Probe.
func (environment) Collect(_ context.Context, h *probe.Host, r *probe.Report) error {
	if err := h.Holds("/etc"); errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	var problem error
	add := func(name, source, value string) {
		if value != "" {
			r.Add(facts.Environment, &facts.EnvironmentRow{Name: name, Source: source, Value: strings.ToValidUTF8(value, "\uFFFD")})
		}
	}
	read := func(name, source string, separator string) {
		data, err := h.ReadFile(name)
		if err != nil {
			if !probe.Absent(err) {
				problem = errors.Join(problem, err)
			}
			return
		}
		for _, v := range parse(string(data), separator) {
			add(v[0], source, v[1])
		}
	}
	for _, name := range files {
		read(name, name, "\n")
	}
	read("/proc/1/environ", "init", "\x00")
	name, value := timezone(h)
	add("timezone", name, value)
	name, value = target(h)
	add("default_target", name, value)
	if level := runlevel(h.ReadString("/etc/inittab")); level != "" {
		add("runlevel", "/etc/inittab", level)
	}
	if problem != nil {
		return fmt.Errorf("environment: %w", problem)
	}
	return nil
}

// harmless reports names whose values are no secrets.
func harmless(name string) bool {
	switch name {
	case "LANG", "LANGUAGE", "TZ", "PATH", "HOME", "TERM", "SHELL", "EDITOR", "container", "KEYMAP", "KEYMAP_TOGGLE", "FONT", "FONT_MAP",
		"XKBLAYOUT", "XKBMODEL", "XKBVARIANT", "XKBOPTIONS", "XDG_DATA_DIRS", "XDG_CONFIG_DIRS", "JAVA_HOME", "MALLOC_ARENA_MAX", "UMASK":
		return true
	}
	return strings.HasPrefix(name, "LC_") || proxy(name)
}

func proxy(name string) bool { return strings.HasSuffix(strings.ToLower(name), "_proxy") }

// maxValue bounds one value.
const maxValue = 4000

// parse reads NAME=value settings, of which "export" may stand before one.
func parse(text, separator string) [][2]string {
	var out [][2]string
	for line := range strings.SplitSeq(text, separator) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "export ")
		name, value, ok := strings.Cut(line, "=")
		name = strings.TrimSpace(name)
		if !ok || !harmless(name) || len(value) > maxValue || strings.IndexByte(value, 0) >= 0 {
			continue
		}
		value = strings.TrimSpace(value)
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		if proxy(name) {
			value = probe.Mask(value)
		}
		out = append(out, [2]string{name, value})
	}
	return out
}

// timezone is where /etc/localtime leads, or what /etc/timezone says.
func timezone(h *probe.Host) (source, name string) {
	if target, err := h.Readlink("/etc/localtime"); err == nil {
		if _, name, ok := strings.Cut(target, "zoneinfo/"); ok {
			return "/etc/localtime", name
		}
	}
	return "/etc/timezone", h.ReadString("/etc/timezone")
}

// target is the unit that systemd starts at boot.
func target(h *probe.Host) (source, name string) {
	for _, dir := range []string{"/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"} {
		link := path.Join(dir, "default.target")
		switch to, err := h.Readlink(link); {
		case err == nil:
			return link, path.Base(to)
		case !errors.Is(err, fs.ErrNotExist):
			return link, "default.target" // a unit of that name
		}
	}
	return "", ""
}

// runlevel is in the line "id:3:initdefault:".
func runlevel(inittab string) string {
	for line := range strings.Lines(inittab) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) >= 3 && f[2] == "initdefault" && f[0] != "" && f[0][0] != '#' {
			return f[1]
		}
	}
	return ""
}
