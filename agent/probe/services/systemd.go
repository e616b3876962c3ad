package services

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
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

const suffix = ".service"

// units is what the folders of the search path hold.
type units struct {
	files   map[string]unitFile // by full name; of equal names the first in the search path
	dropIns map[string][]string // folders NAME.service.d with their files, in the order of the search path
	oneshot map[string]bool     // rows of services that do their work and end
	links   []link              // that enable units, in folders *.wants, *.requires and *.upholds, or as other names
}

// unitFile is a service unit or a link with such a name.
type unitFile struct {
	dir    string
	target string // of the link, "" for a file
}

func (f unitFile) path(name string) string { return path.Join(f.dir, name) }

// link is a link by which a unit is enabled.
type link struct {
	dir    string // of the search path
	name   string
	target string // its last part
}

// findUnits lists the folders of the search path. Those that are missing count as
// empty; other errors are returned beside what was found.
func findUnits(h *probe.Host) (units, error) {
	u := units{files: make(map[string]unitFile), dropIns: make(map[string][]string), oneshot: make(map[string]bool)}
	var problem error
	for _, dir := range searchPath {
		entries, err := h.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			problem = errors.Join(problem, err)
		}
		for _, e := range entries {
			name := e.Name()
			switch {
			case strings.HasSuffix(name, suffix):
				u.addFile(h, dir, e)
			case strings.HasSuffix(name, suffix+".d"):
				u.dropIns[strings.TrimSuffix(name, ".d")] = append(u.dropIns[strings.TrimSuffix(name, ".d")], path.Join(dir, name))
			case enables(name):
				u.addLinks(h, dir, name)
			}
		}
	}
	return u, problem
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
		u.links = append(u.links, link{dir, e.Name(), path.Base(f.target)})
	}
	if _, ok := u.files[e.Name()]; !ok {
		u.files[e.Name()] = f
	}
}

func (u *units) addLinks(h *probe.Host, dir, sub string) {
	entries, _ := h.ReadDir(path.Join(dir, sub)) // a file of that name holds no links
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), suffix) || e.Type()&fs.ModeSymlink == 0 {
			continue
		}
		if target, err := h.Readlink(path.Join(dir, sub, e.Name())); err == nil {
			u.links = append(u.links, link{dir, e.Name(), path.Base(target)})
		}
	}
}

// row reads one unit with its drop-ins.
func (u *units) row(h *probe.Host, name string) (*facts.ServiceRow, error) {
	f := u.files[name]
	row := &facts.ServiceRow{Name: strings.TrimSuffix(name, suffix), Path: f.path(name), Manager: "systemd"}
	if state, ok := u.linkState(f, name); ok {
		row.Enabled = state
		return row, nil
	}
	data, err := h.ReadFile(f.path(name))
	if err != nil {
		return row, fmt.Errorf("unit %s: %w", name, err)
	}
	if len(data) == 0 {
		row.Enabled = inRun(f.dir, "masked")
		return row, nil
	}
	unit, err := parseUnit(data)
	if err != nil {
		return row, fmt.Errorf("unit %s: %w", name, err)
	}
	err = u.addDropIns(h, name, unit)
	row.Description, row.User = unit.description, unit.user
	u.oneshot[row.Name] = unit.oneshot
	if len(unit.exec) > 0 {
		row.Exec = program(unit.exec[0])
	}
	row.Enabled = u.enabled(f, name, unit)
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
	if base, ok := strings.CutSuffix(name, "@"+suffix); ok && unit.defaultInstance != "" {
		names = append(names, base+"@"+unit.defaultInstance+suffix)
	}
	byName, byOther := "", ""
	for _, l := range u.links {
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

// addDropIns lets the files of NAME.service.d override the unit: of files with one name
// the first in the search path counts, and they apply in the order of their names.
func (u *units) addDropIns(h *probe.Host, name string, unit *unit) error {
	files := make(map[string]string)
	dirs := u.dropIns[name]
	if i := strings.IndexByte(name, '@'); i >= 0 && name != name[:i]+"@"+suffix {
		dirs = append(dirs, u.dropIns[name[:i]+"@"+suffix]...) // of the template
	}
	for _, dir := range dirs {
		entries, _ := h.ReadDir(dir) // an unreadable folder changes nothing
		for _, e := range entries {
			if _, ok := files[e.Name()]; !ok && strings.HasSuffix(e.Name(), ".conf") {
				files[e.Name()] = path.Join(dir, e.Name())
			}
		}
	}
	var problem error
	for _, base := range sortedKeys(files) {
		data, err := h.ReadFile(files[base])
		if err == nil {
			err = unit.parse(data)
		}
		if err != nil {
			problem = errors.Join(problem, fmt.Errorf("drop-in %s: %w", files[base], err))
		}
	}
	return problem
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// cgroupRoots are the hierarchies in which systemd keeps its services: version 2, and
// its own one beside version 1.
var cgroupRoots = []string{"/sys/fs/cgroup/system.slice", "/sys/fs/cgroup/systemd/system.slice", "/sys/fs/cgroup/unified/system.slice"}

// addStates tells running from stopped services where systemd is process 1, and adds
// the running instances of templates, which have no file of their own.
func (u *units) addStates(h *probe.Host, rows map[string]*facts.ServiceRow) {
	if h.ReadString("/proc/1/comm") != "systemd" {
		return
	}
	running := make(map[string]bool)
	found := false
	for _, root := range cgroupRoots {
		found = u.walk(h, root, running, 2) || found
	}
	if !found {
		return
	}
	for name := range running {
		if rows[name] == nil {
			rows[name] = u.instance(rows, name)
		}
		rows[name].State = "running"
	}
	for _, row := range rows {
		if row.State == "" && row.Exec != "" && !u.oneshot[row.Name] && !strings.HasSuffix(row.Name, "@") {
			row.State = "stopped"
		}
	}
}

// instance makes a row for a running service without a file of its own name: an
// instance of a template, or a transient unit that has just begun.
func (u *units) instance(rows map[string]*facts.ServiceRow, name string) *facts.ServiceRow {
	row := &facts.ServiceRow{Name: name, Manager: "systemd"}
	if i := strings.IndexByte(name, '@'); i >= 0 {
		if template := rows[name[:i+1]]; template != nil {
			row.Description, row.Exec, row.User, row.Path = template.Description, template.Exec, template.User, template.Path
		}
	}
	return row
}

// walk notes the services below a slice that have processes. Slices nest at most depth
// levels deeper (system-getty.slice in system.slice).
func (u *units) walk(h *probe.Host, dir string, running map[string]bool, depth int) bool {
	entries, err := h.ReadDir(dir)
	for _, e := range entries {
		name := e.Name()
		switch {
		case !e.IsDir():
		case strings.HasSuffix(name, suffix):
			if h.ReadString(path.Join(dir, name, "cgroup.procs")) != "" || hasChildren(h, path.Join(dir, name)) {
				running[strings.TrimSuffix(name, suffix)] = true
			}
		case strings.HasSuffix(name, ".slice") && depth > 0:
			u.walk(h, path.Join(dir, name), running, depth-1)
		}
	}
	return err == nil
}

// hasChildren reports processes in groups below a service that delegates its own (user
// managers, container engines).
func hasChildren(h *probe.Host, dir string) bool {
	return strings.Contains(h.ReadString(dir+"/cgroup.events"), "populated 1")
}
