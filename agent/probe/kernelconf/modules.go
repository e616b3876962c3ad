package kernelconf

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

const modulesFile = "/proc/modules"

// moduleCache keeps what was read of modules: a module that is loaded again has another
// folder in /sys.
type moduleCache struct {
	modules map[string]moduleDetail
	index   probe.Stamp // of modules.dep
	release string
	paths   map[string]string
}

type moduleDetail struct {
	stamp           probe.Stamp
	version, source string
}

func (c *moduleCache) collect(h *probe.Host, r *probe.Report) {
	data, err := h.ReadFile(modulesFile)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("there is no "+modulesFile+": %w", errors.ErrUnsupported)
	}
	rows, parseErr := ParseModules(string(data))
	if err == nil {
		err = parseErr
	}
	if err != nil {
		r.Problem(facts.KernelModules, err)
	}
	if len(rows) == 0 {
		return
	}
	c.findPaths(h, rows)
	known := make(map[string]moduleDetail, len(rows))
	for _, row := range rows {
		d := c.detail(h, row.Name)
		row.Version, row.Source, row.Path = d.version, d.source, c.paths[row.Name]
		known[row.Name] = d
		r.Add(facts.KernelModules, row)
	}
	c.modules = known
}

func (c *moduleCache) detail(h *probe.Host, name string) moduleDetail {
	dir := path.Join("/sys/module", name)
	d := moduleDetail{stamp: h.Stamp(dir)}
	if old, ok := c.modules[name]; ok && old.stamp == d.stamp {
		return old
	}
	d.version, d.source = h.ReadString(dir+"/version"), h.ReadString(dir+"/srcversion")
	return d
}

// findPaths looks up the files of the loaded modules in the running kernel's index, again
// only if that has changed or a module is new.
func (c *moduleCache) findPaths(h *probe.Host, rows []*facts.KernelModuleRow) {
	release := h.For(facts.KernelModules).ReadString("/proc/sys/kernel/osrelease")
	if release == "" || strings.ContainsAny(release, "/\x00") {
		return
	}
	dir := path.Join("/lib/modules", release)
	stamp := h.Stamp(dir + "/modules.dep")
	fresh := slices.ContainsFunc(rows, func(r *facts.KernelModuleRow) bool { _, ok := c.paths[r.Name]; return !ok })
	if stamp == c.index && release == c.release && !fresh {
		return
	}
	c.index, c.release, c.paths = stamp, release, make(map[string]string, len(rows))
	for _, r := range rows {
		c.paths[r.Name] = "" // looked for
	}
	data, _ := h.ReadFile(dir + "/modules.dep") // absent in containers
	for line := range strings.Lines(string(data)) {
		file, _, ok := strings.Cut(line, ":")
		name, _, isModule := strings.Cut(path.Base(file), ".ko")
		name = strings.ReplaceAll(name, "-", "_")
		if _, loaded := c.paths[name]; ok && isModule && loaded {
			if !path.IsAbs(file) {
				file = path.Join(dir, file)
			}
			c.paths[name] = file
		}
	}
}

// ParseModules reads proc_modules(5): name, size, references, users, state, address and
// what taints the kernel in brackets.
func ParseModules(text string) ([]*facts.KernelModuleRow, error) {
	var out []*facts.KernelModuleRow
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 5 || !strings.HasSuffix(line, "\n") {
			return out, probe.NotUnderstood([]byte(line))
		}
		size, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil || size < 0 || strings.IndexByte(f[0], 0) >= 0 {
			return out, probe.NotUnderstood([]byte(line))
		}
		row := &facts.KernelModuleRow{Name: f[0], SizeBytes: size}
		for user := range strings.SplitSeq(f[3], ",") {
			if user != "" && user != "-" && user[0] != '[' { // [permanent]
				row.UsedBy = append(row.UsedBy, user)
			}
		}
		slices.Sort(row.UsedBy)
		if last := f[len(f)-1]; strings.HasPrefix(last, "(") {
			row.Taint = strings.Trim(last, "()+-")
		}
		out = append(out, row)
	}
	return out, nil
}
