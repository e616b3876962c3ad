package packages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// NewContainers returns the probe of the packages inside running containers, whatever
// runtime runs them: it finds them by their control groups and reads their databases
// through the root of one of their processes, which needs CAP_SYS_PTRACE. Like New it
// keeps what it has read of a container and reads it again when that has changed; the
// packages of languages when the container is new or its system's packages changed,
// as containers are replaced rather than changed.
//
// Where that root cannot be entered, and of all containers of a folder that holds another
// machine's files, the layers are read in which Docker, Podman and CRI-O keep their files.
func NewContainers() probe.Probe {
	return &containers{known: make(map[string]*contained)}
}

type containers struct {
	known    map[string]*contained
	rows     []facts.Row
	revision uint64
}

// contained is what the last reading of a container gave.
type contained struct {
	systems  []*system
	rows     []facts.Row
	bytes    int // of the texts in rows
	complete bool
}

const (
	// maxContained bounds the packages of one container. A large image has 4,000.
	maxContained = 20_000
	// containerTime bounds the reading of one, so that none takes the time of all: a large
	// image takes 0.1 s.
	containerTime = 3 * time.Second
	// maxContainers bounds one host. A full Kubernetes node has 250 pods.
	maxContainers = 1000
	// maxGroups bounds the walk of control groups.
	maxGroups = 20_000
	// maxGroupDepth reaches kubepods.slice/kubepods-besteffort.slice/kubepods-pod.slice/cri.scope
	// and what lies in a container that runs systemd or Docker.
	maxGroupDepth = 10
)

// Info implements probe.Probe.
func (*containers) Info() probe.Info {
	return probe.Info{Name: "container_packages", Sections: []facts.ID{facts.ContainerPackages}}
}

// Collect implements probe.Probe.
func (c *containers) Collect(ctx context.Context, h *probe.Host, r *probe.Report) error {
	var problems probe.Problems
	running, problem := runningContainers(ctx, h)
	var all map[string]stored // asked for at most once
	if !h.Live() {
		var err error
		all, err = storedContainers(h)
		for id := range all {
			running[id] += 0
		}
		switch {
		case !errors.Is(problem, errors.ErrUnsupported):
		case all != nil:
			problem = nil // the layers tell of all
		default:
			problem = fmt.Errorf("neither control groups nor layers of Docker, Podman or CRI-O: %w", errors.ErrUnsupported)
		}
		problems.Add(err)
	}
	problems.Add(problem)
	changed := len(running) != len(c.known)
	now := make(map[string]*contained, len(running))
	rows, size := 0, 0
	for _, id := range sortedKeys(running) {
		one := c.known[id]
		if one == nil {
			one = new(contained)
			changed = true
		}
		now[id] = one // what is known of it stays if the time is over
		read, err := one.visit(ctx, h, id, running[id], &all, rows >= maxRows || size >= maxTexts)
		changed = changed || read
		rows, size = rows+len(one.rows), size+one.bytes
		if err != nil {
			problems.Add(fmt.Errorf("container %.12s: %w", id, err))
		}
	}
	c.known = now
	if changed || c.revision == 0 {
		c.rows = nil
		for _, one := range now {
			c.rows = append(c.rows, one.rows...)
		}
		c.rows = facts.Sort(c.rows)
		c.revision++
	}
	r.Whole(facts.ContainerPackages, c.revision, c.rows)
	return problems.Err()
}

// visit looks at a container within its share of the time, or not at all where those before
// it have as many packages as are reported.
func (c *contained) visit(ctx context.Context, h *probe.Host, id string, pid int, all *map[string]stored, full bool) (changed bool, err error) {
	if full {
		changed = len(c.rows) > 0
		*c = contained{}
		return changed, fmt.Errorf("left out: limit is %d packages or %d bytes of names of all", maxRows, maxTexts)
	}
	ctx, cancel := context.WithTimeout(ctx, containerTime)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return false, err
	}
	inside, err := containerRoot(h, id, pid, all)
	if inside == nil {
		return false, err
	}
	changed, lacks := c.look(ctx, inside, id)
	return changed, errors.Join(err, lacks)
}

func containerSystems() []*system {
	return slices.DeleteFunc(systems(), func(s *system) bool {
		return s.name == "snap" || s.name == "flatpak"
	})
}

// containerRoot is the root of a container as one of its processes sees it, or else as its
// layers make it; nil if it has none of its own or has ended meanwhile.
func containerRoot(h *probe.Host, id string, pid int, all *map[string]stored) (*probe.Host, error) {
	err := errNoRoot
	if pid > 0 {
		root := path.Join("/proc", strconv.Itoa(pid), "root")
		if h.Stamp(root+"/.") == h.Stamp("/") {
			return nil, nil
		}
		inside, bad := h.Within(root)
		if bad != nil {
			return nil, bad
		}
		if _, bad = inside.ReadDir("/"); bad == nil {
			return inside, nil
		}
		if !errors.Is(bad, fs.ErrNotExist) {
			err = bad
		} else if h.Live() {
			return nil, nil
		}
	}
	if *all == nil {
		if *all, _ = storedContainers(h); *all == nil { // of a container that is not among them the error is told
			*all = make(map[string]stored)
		}
	}
	if top := (*all)[id]; top.layer != "" {
		return top.open(h)
	}
	return nil, err
}

var errNoRoot = errors.New("no root of it is here, neither of a process nor in layers")

// look reads the container's databases, unless nothing has changed since a complete reading.
func (c *contained) look(ctx context.Context, inside *probe.Host, id string) (changed bool, problem error) {
	if c.complete && c.unchanged(inside) {
		return false, nil
	}
	c.systems = containerSystems() // the rows of the former were given away
	for _, s := range c.systems {
		if _, err := s.look(ctx, inside); err != nil {
			problem = errors.Join(problem, fmt.Errorf("%s: %w", s.name, err))
		}
	}
	l := languages{walked: []string{"/opt", "/srv", "/app", "/usr/src"}}
	l.search(ctx, inside, c.systems, true)
	problem = errors.Join(problem, l.lack.err(), c.take(id, release(inside), l.rows))
	c.complete = problem == nil
	return true, problem
}

func (c *contained) unchanged(inside *probe.Host) bool {
	return !slices.ContainsFunc(c.systems, func(s *system) bool { return s.present && !unchanged(inside, s.found.seen) })
}

// take turns the rows of the systems and of the languages into those of the container.
func (c *contained) take(id, os string, languages []facts.Row) (problem error) {
	all := languages
	for _, s := range c.systems {
		all = append(all, s.found.rows...)
		s.found.rows, s.found.marks = nil, nil // told now
	}
	if len(all) > maxContained {
		problem = fmt.Errorf("%d packages left out: limit is %d", len(all)-maxContained, maxContained)
		all = all[:maxContained]
	}
	c.rows, c.bytes = make([]facts.Row, 0, len(all)), 0
	for _, r := range all {
		p := r.(*facts.PackageRow)
		c.bytes += len(p.Name) + len(p.Version) + len(p.Arch) + len(p.SourcePackage) + len(p.SourceVersion) + len(os)
		c.rows = append(c.rows, &facts.ContainerPackageRow{
			Container: id, Name: p.Name, Version: p.Version, Arch: p.Arch, Source: p.Source,
			SourcePackage: p.SourcePackage, SourceVersion: p.SourceVersion, OS: os, Locations: p.Locations,
		})
	}
	return problem
}

// release names the distribution of an image: "debian 12".
func release(h *probe.Host) string {
	data, err := readHead(h, "/etc/os-release")
	if err != nil {
		data, err = readHead(h, "/usr/lib/os-release")
	}
	if err != nil {
		return ""
	}
	var id, version string
	t := new(texts)
	for line := range bytes.Lines(data) {
		name, value, _ := bytes.Cut(line, []byte{'='})
		switch string(name) {
		case "ID":
			id = text(t, unquote(value))
		case "VERSION_ID":
			version = text(t, unquote(value))
		}
	}
	return strings.TrimSpace(id + " " + version)
}

// groupRoots are where control groups are mounted: version 2 or a mixed version 1, of
// which any controller has all containers.
var groupRoots = []string{"/sys/fs/cgroup/pids", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup"}

// runningContainers returns a process of each container, by the container's number.
func runningContainers(ctx context.Context, h *probe.Host) (map[string]int, error) {
	g := groups{host: h, found: make(map[string]int)}
	for _, root := range groupRoots {
		if exists(h, root) {
			g.walk(ctx, root, 0)
			return g.found, g.problems.Err()
		}
	}
	return g.found, fmt.Errorf("no control groups: %w", errors.ErrUnsupported)
}

type groups struct {
	host     *probe.Host
	found    map[string]int
	seen     int
	problems probe.Problems
}

func (g *groups) walk(ctx context.Context, dir string, depth int) {
	if err := ctx.Err(); err != nil || depth > maxGroupDepth {
		g.problems.Add(err)
		return
	}
	if g.seen++; g.seen > maxGroups || len(g.found) >= maxContainers {
		g.problems.Add(fmt.Errorf("more than %d control groups or %d containers", maxGroups, maxContainers))
		return
	}
	d, err := g.host.OpenDir(dir)
	if errors.Is(err, syscall.ENOTDIR) {
		return // of version 1, whose files need no dot in their names: tasks
	}
	if err != nil {
		g.problems.Add(gone(err))
		return
	}
	defer d.Close()
	for name := range d.Names() {
		if strings.Contains(name, ".") && !strings.HasSuffix(name, ".slice") && !strings.HasSuffix(name, ".scope") && !strings.HasSuffix(name, ".service") {
			continue // one of the group's own files
		}
		if !strings.ContainsAny(name, ".") && strings.HasPrefix(name, "cgroup") {
			continue
		}
		below := path.Join(dir, name)
		id := containerID(name)
		if id == "" {
			g.walk(ctx, below, depth+1)
			continue
		}
		pid, err := g.process(below, 0)
		g.problems.Add(err)
		if pid > 0 {
			g.found[id] = pid
		}
	}
	g.problems.Add(gone(d.Err()))
}

// process returns a process of a group or of those in it, 0 if there is none.
func (g *groups) process(dir string, depth int) (int, error) {
	data, err := g.host.ReadFile(path.Join(dir, "cgroup.procs"))
	if err != nil {
		return 0, ignoreNoGroup(err)
	}
	for line := range strings.Lines(string(data)) {
		if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && pid > 0 {
			return pid, nil
		}
	}
	if depth >= 3 {
		return 0, nil
	}
	entries, err := g.host.ReadDir(dir)
	if err != nil {
		return 0, ignoreNoGroup(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			if pid, err := g.process(path.Join(dir, e.Name()), depth+1); pid > 0 || err != nil {
				return pid, err
			}
		}
	}
	return 0, nil
}

// ignoreNoGroup makes no error of a group that has ended, nor of a group of threads,
// whose processes cannot be listed (EOPNOTSUPP, see cgroups(7)).
func ignoreNoGroup(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// containerID returns the number in the name of a container's group: 64 hexadecimal
// digits alone, or with the runtime in front (docker-, libpod-, cri-containerd-, crio-)
// and .scope behind. That of conmon, which watches over a container of Podman, is none.
func containerID(name string) string {
	name = strings.TrimSuffix(name, ".scope")
	const digits = 64
	if len(name) < digits || strings.Contains(name, "conmon") {
		return ""
	}
	id := name[len(name)-digits:]
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return ""
		}
	}
	if rest := name[:len(name)-digits]; rest != "" && !strings.HasSuffix(rest, "-") {
		return ""
	}
	return id
}
