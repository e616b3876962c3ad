package process

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/metric"
)

const (
	// maxProcesses bounds what is remembered; the kernel's own limit is 4 million, a
	// host with 100,000 is ill.
	maxProcesses = 100_000
	// maxGroups bounds the groups; those beyond it are counted together as "other".
	maxGroups = 1000
	// grace is for how many scans a group is still reported that no longer takes much:
	// a group that comes and goes would make a series each time.
	grace = 20
	// weight is that of the last scan in the average that ranks groups.
	weight = 0.2
	// userScans is after how many scans the names of users are read again.
	userScans = 60
)

// process is what is remembered of one process.
type process struct {
	start  uint64
	ticks  uint64
	scan   uint32 // in which it was last seen
	fresh  bool   // seen once: daemons change their user soon after they start
	group  *group
	cgroup *cgroup
}

// group is all processes of one name and user.
type group struct {
	name, user string
	ticks      uint64 // ever used by its processes, as far as scans saw
	recent     uint64 // ticks since the scan before
	average    float64
	processes  int
	threads    uint64
	pages      uint64
	reported   bool
	cold       int // scans since it was last near the top
}

type groupKey struct{ name, user string }

// table holds the processes of a host between scans.
type table struct {
	host      *probe.Host
	top       int
	reader    reader
	names     probe.Names
	processes map[int32]process
	groups    map[groupKey]*group
	ranked    []*group
	users     map[uint32]string
	cgroups   *cgroups
	scans     uint32
	counted   counts
	pids      int
	sawInit   bool
	see       func(pid int32, b []byte) // made once: a closure for each scan would be allocated
}

// counts are the numbers of one scan.
type counts struct {
	states  [256]int
	threads uint64
}

func newTable(h *probe.Host, top int) *table {
	t := &table{
		host: h, top: top, processes: make(map[int32]process), groups: make(map[groupKey]*group), cgroups: newCgroups(top),
	}
	t.see = t.process
	return t
}

// scan reads all processes and brings the groups up to date.
func (t *table) scan(ctx context.Context, h *probe.Host) error {
	t.scans++
	t.counted, t.pids, t.sawInit = counts{}, 0, false
	if t.scans%userScans == 1 {
		t.users = readUsers(h)
	}
	for _, g := range t.groups {
		g.recent, g.processes, g.threads, g.pages = 0, 0, 0, 0
	}
	t.cgroups.begin()
	denied, err := t.reader.each(ctx, h, t.see)
	if err != nil {
		return err
	}
	for pid, p := range t.processes {
		if p.scan != t.scans {
			delete(t.processes, pid)
		}
	}
	t.rank()
	t.cgroups.rank()
	if denied > 0 || t.pids > 0 && !t.sawInit && h.Live() {
		return errHidden
	}
	return nil
}

// otherGroup is that of the processes beyond maxGroups.
const otherGroup = "other"

// process takes one process into account.
func (t *table) process(pid int32, b []byte) {
	s, ok := parseStat(b)
	if !ok {
		return
	}
	t.pids++
	t.sawInit = t.sawInit || pid == 1
	t.counted.states[s.state]++
	t.counted.threads += s.threads
	p, known := t.processes[pid]
	if !known || p.start != s.start {
		if len(t.processes) >= maxProcesses {
			return
		}
		p = process{start: s.start, cgroup: t.cgroups.of(t.host, pid, s.kernel)}
		known = false
	}
	if !known || p.fresh || !s.kernel && p.group.name != string(s.name) && p.group.name != otherGroup {
		p.group = t.groupOf(pid, &s)
	}
	p.fresh = !known
	used := s.ticks // a process that began since the last scan used all of it since then
	if known {
		used -= min(p.ticks, s.ticks)
	} else if t.scans == 1 {
		p.group.ticks += s.ticks
		p.cgroup.ticks += s.ticks
		used = 0
	}
	p.ticks, p.scan = s.ticks, t.scans
	t.processes[pid] = p
	g := p.group
	g.ticks, g.recent = g.ticks+used, g.recent+used
	g.processes, g.threads, g.pages = g.processes+1, g.threads+s.threads, g.pages+s.pages
	p.cgroup.add(used, s.pages)
}

// groupOf returns the group of a process. Threads of the kernel are one group: their
// names come and go.
func (t *table) groupOf(pid int32, s *stat) *group {
	key := groupKey{name: "kernel", user: "root"}
	if !s.kernel {
		key = groupKey{name: t.names.Of(s.name)}
		if uid, ok := ownerOf(t.host, "/proc/"+strconv.Itoa(int(pid))); ok {
			key.user = t.user(uid)
		}
	}
	if g := t.groups[key]; g != nil {
		return g
	}
	if len(t.groups) >= maxGroups {
		key = groupKey{name: otherGroup}
		if g := t.groups[key]; g != nil {
			return g
		}
	}
	g := &group{name: key.name, user: key.user}
	t.groups[key] = g
	return g
}

func (t *table) user(uid uint32) string {
	if name, ok := t.users[uid]; ok {
		return name
	}
	return strconv.FormatUint(uint64(uid), 10)
}

// readUsers reads the local accounts; users of a directory are told by their number.
func readUsers(h *probe.Host) map[uint32]string {
	users := make(map[uint32]string)
	b, err := h.ReadFile("/etc/passwd")
	if err != nil {
		return users
	}
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(line, ":", 4)
		if len(f) < 4 {
			continue
		}
		uid, err := strconv.ParseUint(f[2], 10, 32)
		if _, taken := users[uint32(uid)]; err == nil && !taken {
			users[uint32(uid)] = f[0]
		}
	}
	return users
}

// rank decides which groups are reported. A group enters when it is among the first by
// processor time or by memory, and leaves when it has long been among neither's first
// two times as many.
func (t *table) rank() {
	t.ranked = t.ranked[:0]
	for key, g := range t.groups {
		if g.processes == 0 && !g.reported {
			delete(t.groups, key)
			continue
		}
		g.average += weight * (float64(g.recent) - g.average)
		g.cold++
		t.ranked = append(t.ranked, g)
	}
	slices.SortFunc(t.ranked, func(a, b *group) int {
		return cmp.Or(cmp.Compare(b.average, a.average), cmp.Compare(a.name, b.name), cmp.Compare(a.user, b.user))
	})
	t.enter(func(g *group) bool { return g.average >= 0.05 })
	slices.SortFunc(t.ranked, func(a, b *group) int {
		return cmp.Or(cmp.Compare(b.pages, a.pages), cmp.Compare(a.name, b.name), cmp.Compare(a.user, b.user))
	})
	t.enter(func(g *group) bool { return g.pages > 0 })
	for _, g := range t.ranked {
		if g.cold > grace {
			g.reported = false
		}
	}
}

func (t *table) enter(counts func(*group) bool) {
	for i, g := range t.ranked[:min(2*t.top, len(t.ranked))] {
		if !counts(g) {
			return
		}
		if i < t.top {
			g.reported = true
		}
		g.cold = 0
	}
}

// stateNames are the states of proc_pid_stat(5) as labels.
var stateNames = func() (names [256]string) {
	for c := range names {
		names[c] = string(rune(c))
	}
	return names
}()

func (t *table) report(r *probe.Report) {
	r.Sample(&metric.Processes, float64(t.pids))
	r.Sample(&metric.Threads, float64(t.counted.threads))
	for c, n := range t.counted.states {
		if n > 0 && 'A' <= c && c <= 'z' {
			r.Sample(&metric.ProcessesState, float64(n), stateNames[c])
		}
	}
	for _, g := range t.ranked {
		if !g.reported {
			continue
		}
		r.Sample(&metric.ProcessCPU, float64(g.ticks)/userHZ, g.name, g.user)
		r.Sample(&metric.ProcessResident, float64(g.pages)*pageBytes, g.name, g.user)
		r.Sample(&metric.ProcessCount, float64(g.processes), g.name, g.user)
		r.Sample(&metric.ProcessThreads, float64(g.threads), g.name, g.user)
	}
}
