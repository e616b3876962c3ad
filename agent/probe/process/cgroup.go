package process

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/metric"
)

// maxCgroups bounds the control groups that are remembered.
const maxCgroups = 2000

// cgroup is a control group with processes: a service, a container, a user's session.
type cgroup struct {
	unit, container string
	paths           paths
	ticks, recent   uint64 // as of its processes; only ranks it
	average         float64
	pages           uint64
	processes       int
	reported        bool
	cold            int
	files           map[string]*probe.File
}

// paths are where a group lies in the unified hierarchy and in those of version 1.
type paths struct{ unified, cpuacct, memory, blkio string }

func (c *cgroup) add(ticks, pages uint64) {
	c.ticks, c.recent, c.pages, c.processes = c.ticks+ticks, c.recent+ticks, c.pages+pages, c.processes+1
}

// cgroups are the groups of a host, by what names them.
type cgroups struct {
	top    int
	known  map[[2]string]*cgroup
	kernel cgroup // of the kernel's threads and of processes in no group; never reported
	ranked []*cgroup
	buf    []byte
}

func newCgroups(top int) *cgroups { return &cgroups{top: top, known: make(map[[2]string]*cgroup)} }

func (c *cgroups) begin() {
	for _, g := range c.known {
		g.recent, g.pages, g.processes = 0, 0, 0
	}
}

// of returns the group of a process that has just been seen for the first time.
func (c *cgroups) of(h *probe.Host, pid int32, kernel bool) *cgroup {
	if kernel {
		return &c.kernel
	}
	b, err := h.ReadFile("/proc/" + strconv.Itoa(int(pid)) + "/cgroup")
	if err != nil {
		return &c.kernel
	}
	unit, container, at := parseCgroup(string(b))
	if unit == "" && container == "" {
		return &c.kernel
	}
	key := [2]string{unit, container}
	g := c.known[key]
	if g == nil {
		if len(c.known) >= maxCgroups {
			return &c.kernel
		}
		g = &cgroup{unit: unit, container: container, paths: at}
		c.known[key] = g
	}
	return g
}

// parseCgroup reads lines such as "0::/system.slice/ssh.service" and
// "4:memory:/docker/0123..". It cuts a path behind the unit or the container, which
// may have groups of its own below.
func parseCgroup(b string) (unit, container string, at paths) {
	for line := range strings.Lines(b) {
		_, rest, _ := strings.Cut(strings.TrimRight(line, "\n"), ":")
		controllers, p, ok := strings.Cut(rest, ":")
		if !ok || !strings.HasPrefix(p, "/") || len(p) > 4096 {
			continue
		}
		p, u, c := cutPath(path.Clean(p))
		if u != "" && unit == "" {
			unit = u
		}
		if c != "" && container == "" {
			container = c
		}
		if u == "" && c == "" {
			continue
		}
		for name := range strings.SplitSeq(controllers, ",") {
			switch name {
			case "":
				at.unified = p
			case "cpuacct":
				at.cpuacct = p
			case "memory":
				at.memory = p
			case "blkio":
				at.blkio = p
			}
		}
	}
	return unit, container, at
}

// cutPath cuts a path behind its unit or container. A session is counted to the slice
// of its user: sessions have new numbers each time.
func cutPath(p string) (cut, unit, container string) {
	parts, outer := strings.Split(strings.TrimPrefix(p, "/"), "/"), ""
	for i, part := range parts {
		cut = "/" + strings.Join(parts[:i+1], "/")
		if name := probe.ContainerOf(outer, part); name != "" {
			return cut, "", short(name)
		}
		outer = part
		switch {
		case strings.HasPrefix(part, "user-") && strings.HasSuffix(part, ".slice"),
			strings.HasSuffix(part, ".service"), strings.HasSuffix(part, ".scope"):
			return cut, part, ""
		}
	}
	return "", "", ""
}

// short is a container's name as metrics have it: 12 digits of its number.
func short(container string) string {
	if len(container) == 64 {
		return container[:12]
	}
	return container
}

// rank decides which groups are reported, as for groups of processes.
func (c *cgroups) rank() {
	c.ranked = c.ranked[:0]
	for key, g := range c.known {
		if g.processes == 0 && g.cold > grace {
			g.close()
			delete(c.known, key)
			continue
		}
		g.average += weight * (float64(g.recent) - g.average)
		g.cold++
		c.ranked = append(c.ranked, g)
	}
	byName := func(a, b *cgroup) int {
		return cmp.Or(cmp.Compare(a.unit, b.unit), cmp.Compare(a.container, b.container))
	}
	slices.SortFunc(c.ranked, func(a, b *cgroup) int { return cmp.Or(cmp.Compare(b.average, a.average), byName(a, b)) })
	c.enter(func(g *cgroup) bool { return g.average >= 0.05 })
	slices.SortFunc(c.ranked, func(a, b *cgroup) int { return cmp.Or(cmp.Compare(b.pages, a.pages), byName(a, b)) })
	c.enter(func(g *cgroup) bool { return g.pages > 0 })
	for _, g := range c.ranked {
		if g.cold > grace && g.reported {
			g.reported = false
			g.close()
		}
	}
}

func (c *cgroups) enter(counts func(*cgroup) bool) {
	for i, g := range c.ranked[:min(2*c.top, len(c.ranked))] {
		if !counts(g) {
			return
		}
		g.reported = g.reported || i < c.top
		g.cold = 0
	}
}

func (c *cgroups) close() {
	for _, g := range c.known {
		g.close()
	}
}

func (g *cgroup) close() {
	for _, f := range g.files {
		f.Close() // read only: nothing can be lost
	}
	g.files = nil
}

// report reads the files of the groups at the top. A group that vanished meanwhile is
// passed over.
func (c *cgroups) report(h *probe.Host, r *probe.Report) error {
	var problems probe.Problems
	for _, g := range c.ranked {
		if !g.reported {
			continue
		}
		r.Sample(&metric.CgroupProcesses, float64(g.processes), g.container, g.unit)
		for _, f := range cgroupFiles {
			p := f.of(g.paths)
			if p == "" {
				continue
			}
			b, err := g.file(h, p).Read(c.buf)
			c.buf = b
			if err == nil {
				f.parse(r, b, g)
			} else if !probe.Absent(err) && !gone(err) {
				problems.Add(err)
			}
		}
	}
	return problems.Err()
}

func (g *cgroup) file(h *probe.Host, p string) *probe.File {
	if g.files == nil {
		g.files = make(map[string]*probe.File)
	}
	if g.files[p] == nil {
		g.files[p] = h.File(p)
	}
	return g.files[p]
}
