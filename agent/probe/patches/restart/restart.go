// Package restart tells which programs run on files that were replaced or removed
// since they were started, most often libraries after an upgrade: until they are
// started again, what the upgrade mended is not mended for them.
//
// The kernel marks such mappings in /proc/PID/maps with " (deleted)"
// (proc_pid_maps(5)). Only mappings that can be executed count: programs and libraries,
// not data files that were mapped and removed on purpose.
//
// A table of mappings is dear to read: some 50 us. So the probe remembers which files
// are run at all, and reads the tables again of new processes only, unless one of those
// files has changed or the last complete look is long ago.
package restart

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// maxProcesses bounds one reading: the usual pid_max, and two seconds of CPU time.
const maxProcesses = 32768

// New returns the probe of programs that must be started again.
func New() probe.Probe { return &restart{owners: owners{known: make(map[string]string)}} }

type restart struct {
	scan   scanner
	owners owners

	seen   []int // processes looked at, sorted
	stale  []int // those of them that run on deleted files
	denied int   // those that could not be looked at
	// protected are the names of those; programs that have one stay as they were known.
	protected map[string]bool
	skips     int // readings since the last complete one
}

// maxSkips is how many readings in a row look at new processes only: four hours of
// the default interval. What such readings do not see are files replaced inside of
// containers and libraries that were loaded, replaced and never run by another.
const maxSkips = 16

// Info implements probe.Probe.
func (*restart) Info() probe.Info {
	return probe.Info{
		Name:     "restart",
		Sections: []facts.ID{facts.RestartNeeded},
		Timeout:  20 * time.Second,
		// ldconfig writes its cache after each upgrade of a library.
		Watch: []string{"/var/lib/dpkg", "/var/lib/rpm", "/usr/lib/sysimage/rpm", "/lib/apk/db", "/var/lib/pacman/local", "/etc/ld.so.cache"},
		Locks: []string{"/var/lib/dpkg/lock-frontend", "/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock", "/lib/apk/db/lock"},
	}
}

// Collect implements probe.Probe.
func (p *restart) Collect(ctx context.Context, h *probe.Host, r *probe.Report) error {
	pids, problem := processes(h)
	if pids == nil {
		return problem
	}
	look := p.due(h, pids)
	found := make(map[string]*facts.RestartRow)
	p.seen, p.stale = nil, nil // nothing, should this reading be cut short
	var stale []int
	told := h.Live()
	for _, pid := range look {
		if err := ctx.Err(); err != nil {
			return err
		}
		files, err := p.scan.stale(h, pid)
		switch {
		case err == nil:
			told = true
		case errors.Is(err, fs.ErrPermission):
			p.denied++
			p.protect(h, pid)
		}
		if len(files) > 0 { // any other error: it has ended meanwhile
			stale = append(stale, pid)
			addProcess(h, found, pid, files)
		}
	}
	p.seen, p.stale = pids, stale
	switch {
	case !told && p.denied == 0:
		return fmt.Errorf("no process tells what it has mapped: %w", errors.ErrUnsupported)
	case p.denied*fewDenied > len(pids) && !h.Traces():
		problem = errors.Join(problem, fmt.Errorf("processes of other users: %w", fs.ErrPermission))
	case p.denied > 0:
		names := slices.Sorted(maps.Keys(p.protected))
		r.Glimpsed(facts.RestartNeeded, fmt.Errorf("%s cannot be looked at: protected from everybody", strings.Join(names, ", ")),
			func(row facts.Row) bool { return p.protected[row.(*facts.RestartRow).Process] })
	}
	p.owners.resolve(ctx, h, found)
	for _, name := range slices.Sorted(maps.Keys(found)) {
		r.Add(facts.RestartNeeded, found[name])
	}
	return problem
}

// protect notes a process that cannot be looked at.
func (p *restart) protect(h *probe.Host, pid int) {
	if name := h.ReadString("/proc/" + strconv.Itoa(pid) + "/comm"); name != "" {
		p.protected[strings.ToValidUTF8(name, "\uFFFD")] = true
	}
}

// due returns the processes whose mappings must be read.
func (p *restart) due(h *probe.Host, pids []int) []int {
	if p.skips++; p.seen == nil || p.skips > maxSkips || p.scan.changed(h) {
		p.skips, p.denied, p.protected = 0, 0, make(map[string]bool)
		p.scan.files = make(map[string]probe.Stamp)
		return pids
	}
	var look []int
	for _, pid := range pids {
		_, seen := slices.BinarySearch(p.seen, pid)
		if _, stale := slices.BinarySearch(p.stale, pid); !seen || stale {
			look = append(look, pid)
		}
	}
	return look
}

// addProcess joins a process to those of its kind.
func addProcess(h *probe.Host, found map[string]*facts.RestartRow, pid int, files []string) {
	row := describe(h, pid)
	if row == nil {
		return
	}
	if row.Container == "" {
		files = wanted(h, files, row.Exe)
	}
	if len(files) == 0 {
		return
	}
	old := found[row.Key()]
	if old == nil {
		old = row
		found[row.Key()] = row
	}
	old.Files = append(old.Files, files...)
	slices.Sort(old.Files)
	old.Files = slices.Compact(old.Files)
	if len(old.Files) > maxFiles {
		old.Files = old.Files[:maxFiles]
	}
}

// fewDenied: fewer than one in ten are single protected processes, as the first of some
// containers; more mean that the agent lacks the rights.
const fewDenied = 10

// maxFiles bounds the files named in one row: a desktop program maps some 400.
const maxFiles = 64

// processes lists the processes that are no kernel threads. No list at all comes with
// the reason.
func processes(h *probe.Host) ([]int, error) {
	pids, err := h.Processes(maxProcesses)
	switch {
	case len(pids) == 0:
		if err == nil || probe.Absent(err) {
			err = fmt.Errorf("/proc shows no process: %w", errors.ErrUnsupported)
		}
		return nil, err
	case pids[0] != 1:
		err = errors.Join(err, fmt.Errorf("processes of other users are hidden (hidepid): %w", fs.ErrPermission))
	}
	return pids, err
}
