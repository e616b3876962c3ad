package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strconv"
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

const (
	// minAge is how long a program has to run to be one of those that the inventory
	// names: what comes and goes would be a change each time.
	minAge = 10 * time.Minute
	// maxRows bounds the rows of the section.
	maxRows = 5000
	// maxExamined bounds the processes that are looked at closely in one reading.
	maxExamined = 20_000
	// fewBlind: fewer than one in ten are single processes that are protected from everybody,
	// as the first of some containers is.
	fewBlind = 10
	// maxCommandRead is how much of a command line is read.
	maxCommandRead = 4096
)

// NewInventory returns the inventory probe of the section processes: the programs that
// have been running for at least ten minutes. What the agent may not see of others'
// processes (their executables) is absent.
func NewInventory() probe.Probe { return new(inventory) }

type inventory struct{ reader reader }

func (*inventory) Info() probe.Info {
	return probe.Info{
		Name: "processes_section", Sections: []facts.ID{facts.Processes}, Timeout: 15 * time.Second,
		MaxItems: maxRows, MaxBytes: maxCommandRead,
	}
}

// candidate is a process that has run for long.
type candidate struct {
	pid   int32
	start uint64
	name  string
}

// Collect implements probe.Probe.
func (p *inventory) Collect(ctx context.Context, h *probe.Host, r *probe.Report) error {
	var found []candidate
	names := new(probe.Names)
	newest, young := youngest(h)
	sawInit, shown := false, false
	var damage error
	denied, err := p.reader.each(ctx, h, func(pid int32, b []byte) {
		shown = true
		s, ok := parseStat(b)
		sawInit = sawInit || pid == 1
		if !ok && damage == nil {
			damage = fmt.Errorf("/proc/%d/stat: %w", pid, probe.NotUnderstood(b))
		}
		if ok && !s.kernel && s.state != 'Z' && (!young || s.start <= newest) && len(found) < maxExamined {
			found = append(found, candidate{pid, s.start, names.Of(s.name)})
		}
	})
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && !shown && denied == 0:
		return fmt.Errorf("/proc shows no process: %w", errors.ErrUnsupported)
	case err != nil:
		return err
	}
	if damage != nil {
		r.Problem(facts.Processes, damage)
	}
	if denied > 0 || !sawInit && h.Live() {
		r.Problem(facts.Processes, errHidden)
	}
	// The oldest of each row gives its command line.
	sort.Slice(found, func(i, j int) bool {
		a, b := found[i], found[j]
		return a.start < b.start || a.start == b.start && a.pid < b.pid
	})
	return p.rows(ctx, h, r, found)
}

func (p *inventory) rows(ctx context.Context, h *probe.Host, r *probe.Report, found []candidate) error {
	users := readUsers(h)
	seen := make(map[facts.ProcessRow]bool)
	blind := 0
	for _, c := range found {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		dir := "/proc/" + strconv.Itoa(int(c.pid))
		row := facts.ProcessRow{Name: c.name}
		exe, err := h.Readlink(path.Join(dir, "exe"))
		switch {
		case err == nil:
			row.Exe = strings.ToValidUTF8(exe, "\uFFFD")
		case errors.Is(err, fs.ErrPermission):
			blind++
		}
		if uid, ok := ownerOf(h, dir); ok {
			row.User = userName(users, uid)
		}
		if b, err := h.ReadFile(path.Join(dir, "cgroup")); err == nil {
			row.Unit, row.Container = unitAndContainer(string(b))
		}
		if seen[row] {
			continue
		}
		seen[row] = true
		out := row
		out.Command = commandLine(h, path.Join(dir, "cmdline"))
		r.Add(facts.Processes, &out)
	}
	switch {
	case blind*fewBlind > len(found) && !h.Traces():
		r.Veiled(facts.Processes, fmt.Errorf("the executables of other users' processes are not known: %w (it takes CAP_SYS_PTRACE)", fs.ErrPermission))
	case blind > 0:
		r.Remark(facts.Processes, "the executables of some processes are not known: they are protected")
	}
	return nil
}

// unitAndContainer says where a program runs. Outside of containers that is its service,
// or its slice or scope: units inside of a user's session have new names each time.
func unitAndContainer(cgroup string) (unit, container string) {
	unit, container = probe.ServiceAndContainer(cgroup)
	if container == "" {
		unit, _, _ = parseCgroup(cgroup)
	}
	return strings.TrimSuffix(unit, ".service"), container
}

func userName(users map[uint32]string, uid uint32) string {
	if name, ok := users[uid]; ok {
		return name
	}
	return strconv.FormatUint(uint64(uid), 10)
}

// youngest returns the start, in ticks after boot, of the youngest program that counts;
// known is false where nobody says how long the machine has been running.
func youngest(h *probe.Host) (ticks uint64, known bool) {
	field, _ := probe.NextField([]byte(h.ReadString("/proc/uptime")))
	up, ok := probe.ParseFixed(field)
	if !ok {
		return 0, false
	}
	return uint64(max(up-minAge.Seconds(), 0) * userHZ), true
}

// commandLine reads the arguments of a process, masks what may be a secret, and joins
// them with blanks. A line that is longer than what is read is cut.
func commandLine(h *probe.Host, name string) string {
	f, err := h.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	b := make([]byte, maxCommandRead)
	n := 0
	for n < len(b) {
		m, err := f.Read(b[n:])
		if n += m; err != nil {
			break
		}
	}
	return command(strings.Split(strings.TrimRight(string(b[:n]), "\x00"), "\x00"))
}
