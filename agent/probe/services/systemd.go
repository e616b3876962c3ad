package services

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"sort"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// searchPath is where systemd looks for units, highest precedence first
// (systemd.unit(5), "System Unit Search Path").
var searchPath = []string{
	"/etc/systemd/system.control", "/run/systemd/system.control", "/run/systemd/transient",
	"/run/systemd/generator.early", "/etc/systemd/system", "/etc/systemd/system.attached",
	"/run/systemd/system", "/run/systemd/system.attached", "/run/systemd/generator",
	"/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system",
	"/run/systemd/generator.late",
}

// The kinds of units that are reported.
const (
	service = ".service"
	timer   = ".timer"
	socket  = ".socket"
)

func reported(name string) bool {
	switch path.Ext(name) {
	case service, timer, socket:
		return true
	}
	return false
}

// units is what the folders of the search path hold.
type units struct {
	files     map[string]unitFile // by full name; of equal names the first in the search path
	dropIns   map[string][]string // folders NAME.service.d, service.d and NAME-.service.d, in the order of the search path; by name
	overrides map[string][]string // files of those folders that count, in the order in which they apply
	links     map[string][]link   // that enable units, in folders *.wants, *.requires and *.upholds, or as other names; by name and target
	presets   presets
	cache     *cache
	problem   error
	looked    []looked // at what all this was read from
}

// unitFile is a unit or a link with such a name, or an enabled instance of a template.
type unitFile struct {
	dir      string
	target   string // of the link, "" for a file
	template string // of the instance, else ""
}

func (f unitFile) path(name string) string {
	if f.template != "" {
		name = f.template
	}
	return path.Join(f.dir, name)
}

// link is a link by which a unit is enabled.
type link struct {
	dir    string // of the search path
	name   string
	target string // its last part
}

// looked is a folder or file as it was when it was read.
type looked struct {
	path  string
	stamp probe.Stamp
}

// readDir lists a folder and notes its stamp.
func (u *units) readDir(h *probe.Host, dir string) ([]fs.DirEntry, error) {
	u.looked = append(u.looked, looked{dir, h.Stamp(dir)})
	return h.ReadDir(dir)
}

// same reports whether nothing has changed of what was looked at.
func (u *units) same(h *probe.Host) bool {
	for _, l := range u.looked {
		if h.Stamp(l.path) != l.stamp {
			return false
		}
	}
	return u.problem == nil && len(u.looked) > 0
}

// findUnits lists the folders of the search path. Those that are missing count as
// empty; other errors are in the problem beside what was found.
func findUnits(h *probe.Host, c *cache) *units {
	u := &units{files: make(map[string]unitFile), dropIns: make(map[string][]string),
		overrides: make(map[string][]string), links: make(map[string][]link), cache: c}
	for _, dir := range searchPath {
		entries, err := u.readDir(h, dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			u.problem = errors.Join(u.problem, err)
		}
		for _, e := range entries {
			name := e.Name()
			switch {
			case reported(name):
				u.addFile(h, dir, e)
			case strings.HasSuffix(name, ".d") && reported("."+strings.TrimSuffix(name, ".d")):
				u.dropIns[strings.TrimSuffix(name, ".d")] = append(u.dropIns[strings.TrimSuffix(name, ".d")], path.Join(dir, name))
			case enables(name):
				u.addLinks(h, dir, name)
			}
		}
	}
	u.addInstances()
	u.addOverrides(h)
	u.readPresets(h)
	return u
}

// addInstances enters the instances that somebody enabled: they have no file of their own.
func (u *units) addInstances() {
	for name, links := range u.links {
		template, ok := templateOf(name)
		if _, own := u.files[name]; !ok || own {
			continue
		}
		f, there := u.files[template]
		if !there || f.target != "" && path.Base(f.target) != template { // masked, or another name
			continue
		}
		if slices.ContainsFunc(links, func(l link) bool {
			return l.name == name && l.target == template && (l.dir == "/etc/systemd/system" || strings.HasPrefix(l.dir, "/run/"))
		}) {
			u.files[name] = unitFile{dir: f.dir, template: template}
		}
	}
}

// templateOf gives getty@.service for getty@tty1.service.
func templateOf(name string) (template string, ok bool) {
	ext := path.Ext(name)
	if at := strings.IndexByte(name, '@'); at >= 0 && name != name[:at+1]+ext {
		return name[:at+1] + ext, true
	}
	return "", false
}

// addLink notes a link under its name and under that of its target.
func (u *units) addLink(l link) {
	u.links[l.name] = append(u.links[l.name], l)
	if l.target != l.name {
		u.links[l.target] = append(u.links[l.target], l)
	}
}

// enables reports whether a folder's links make other units want those they name.
func enables(name string) bool {
	switch path.Ext(name) {
	case ".wants", ".requires", ".upholds":
		return true
	}
	return false
}

func (u *units) addFile(h *probe.Host, dir string, e fs.DirEntry) {
	f := unitFile{dir: dir}
	if e.Type()&fs.ModeSymlink != 0 {
		target, err := h.Readlink(path.Join(dir, e.Name()))
		if err != nil {
			return // gone meanwhile
		}
		f.target = target
		if !path.IsAbs(target) {
			f.target = path.Join(dir, target)
		}
		u.addLink(link{dir, e.Name(), path.Base(f.target)})
	}
	if _, ok := u.files[e.Name()]; !ok {
		u.files[e.Name()] = f
	}
}

func (u *units) addLinks(h *probe.Host, dir, sub string) {
	entries, _ := u.readDir(h, path.Join(dir, sub)) // a file of that name holds no links
	for _, e := range entries {
		if !reported(e.Name()) || e.Type()&fs.ModeSymlink == 0 {
			continue
		}
		if target, err := h.Readlink(path.Join(dir, sub, e.Name())); err == nil {
			u.addLink(link{dir, e.Name(), path.Base(target)})
		}
	}
}

// read reads one unit with its drop-ins and tells how it is enabled. Of a link that is no
// unit of its own (masked, alias) there are no settings.
func (u *units) read(h *probe.Host, name string) (settings *unit, enabled string, err error) {
	f := u.files[name]
	if state, ok := u.linkState(f, name); ok {
		return nil, state, nil
	}
	settings, err = u.cache.unit(h, name, f.path(name), u.overrides[name])
	if settings == nil {
		return nil, "", err
	}
	if settings.empty {
		return nil, inRun(f.dir, "masked"), nil
	}
	return settings, u.enabled(f, name, settings), err
}

// serviceRow is the row of a service.
func (u *units) serviceRow(h *probe.Host, name string) (*facts.ServiceRow, error) {
	unit, enabled, err := u.read(h, name)
	row := &facts.ServiceRow{Name: strings.TrimSuffix(name, service), Enabled: enabled, Path: u.files[name].path(name), Manager: "systemd"}
	if unit == nil {
		return row, err
	}
	row.Description, row.User, row.Type = unit.description, unit.user, unit.serviceType()
	if unit.restart != "no" {
		row.Restart = unit.restart
	}
	if len(unit.exec) > 0 {
		row.Exec = program(unit.exec[0])
	}
	if unit.installable && enabled != "generated" && enabled != "transient" && u.files[name].template == "" {
		row.Preset = u.presets.of(name)
	}
	return row, err
}

// linkState is the state of a unit that is a link: masked, another name of a unit, or
// linked from outside the search path. A link to a unit of the same name within the
// search path is that unit.
func (u *units) linkState(f unitFile, name string) (string, bool) {
	switch {
	case f.target == "":
		return "", false
	case f.target == "/dev/null":
		return inRun(f.dir, "masked"), true
	case path.Base(f.target) != name:
		return "alias", true
	case !slices.Contains(searchPath, path.Dir(f.target)):
		return inRun(f.dir, "linked"), true
	}
	return "", false
}

// inRun adds that a state lasts until the next boot.
func inRun(dir, state string) string {
	if strings.HasPrefix(dir, "/run/") {
		return state + "-runtime"
	}
	return state
}

// enabled follows unit_file_lookup_state in systemd's shared/install.c.
func (u *units) enabled(f unitFile, name string, unit *unit) string {
	switch {
	case strings.HasPrefix(f.dir, "/run/systemd/generator"):
		return "generated"
	case f.dir == "/run/systemd/transient":
		return "transient"
	}
	names := append([]string{name}, unit.aliases...)
	if ext := path.Ext(name); strings.HasSuffix(name, "@"+ext) && unit.defaultInstance != "" {
		names = append(names, strings.TrimSuffix(name, ext)+unit.defaultInstance+ext)
	}
	byName, byOther := "", ""
	for _, l := range u.links[name] {
		state := ""
		switch {
		case l.target != name && l.name != name || l.name == name && l.dir == f.dir && f.target != "":
			continue
		case l.dir == "/etc/systemd/system":
			state = "enabled"
		case strings.HasPrefix(l.dir, "/run/"):
			state = "enabled-runtime"
		default: // what the vendor links is not enabled by anybody
			continue
		}
		if slices.Contains(names, l.name) {
			if byName != "enabled" {
				byName = state
			}
		} else {
			byOther = "indirect"
		}
	}
	switch {
	case byName != "":
		return byName
	case byOther != "":
		return byOther
	case unit.installable:
		return "disabled"
	case unit.also:
		return "indirect"
	}
	return "static"
}

// addOverrides finds the drop-ins of all units (systemd.unit(5)): of files with one name the
// first in the search path counts, and they apply in the order of their names.
func (u *units) addOverrides(h *probe.Host) {
	aliases := make(map[string][]string)
	for name, f := range u.files {
		if to := path.Base(f.target); f.target != "" && to != name {
			aliases[to] = append(aliases[to], name)
		}
	}
	listed := make(map[string][]fs.DirEntry)
	list := func(dir string) []fs.DirEntry {
		entries, ok := listed[dir]
		if !ok {
			entries, _ = u.readDir(h, dir) // an unreadable folder changes nothing
			listed[dir] = entries
		}
		return entries
	}
	for name := range u.files {
		slices.Sort(aliases[name])
		var dirs []string
		for _, one := range append([]string{name}, aliases[name]...) {
			dirs = append(dirs, u.dropInsOf(one)...)
		}
		if dirs = append(dirs, u.dropIns[path.Ext(name)[1:]]...); len(dirs) > 0 {
			u.overrides[name] = probe.DropIns(dirs, list)
		}
	}
}

// dropInsOf are the folders of drop-ins for a name: its own, that of its template, and those
// of what it begins with up to a hyphen: a-b.service has a-.service.d too.
func (u *units) dropInsOf(name string) []string {
	var dirs []string
	names := []string{name}
	if template, ok := templateOf(name); ok {
		names = append(names, template)
	}
	for _, n := range names {
		dirs = append(dirs, u.dropIns[n]...)
		stem, _, _ := strings.Cut(strings.TrimSuffix(n, path.Ext(n)), "@")
		rest := n[len(stem):]
		for i := strings.LastIndexByte(strings.TrimSuffix(stem, "-"), '-'); i > 0; i = strings.LastIndexByte(stem[:i], '-') {
			dirs = append(dirs, u.dropIns[stem[:i+1]+rest]...)
		}
	}
	sort.SliceStable(dirs, func(i, j int) bool {
		return slices.Index(searchPath, path.Dir(dirs[i])) < slices.Index(searchPath, path.Dir(dirs[j]))
	})
	return dirs
}
