package packages

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// programs finds what running programs are built of: the modules in Go programs, and the
// archives that Java has open. What it has found of a file stays while the file does not
// change, also when the program has ended, or the agent has in between: programs that come
// and go are no news.
//
// Files in the folders of the operating system are left to its packages, and so are the
// programs inside containers, whose files are not those of this host.
type programs struct {
	files   map[string]program // by path
	before  map[string]reader  // files that were reported before the agent was restarted
	remotes *probe.Remotes     // of the last search: not to be touched
	away    bool               // of the last search: something lies there
	problem error              // of the last search, which another may do without
	damage  error              // of files
	denied  error              // of the last search: it may not look at programs of others
}

// fewDenied: fewer than one in ten are single processes that are protected from everybody,
// as the first of some containers is.
const fewDenied = 10

// runs reports whether a row comes from a running program.
func runs(row facts.Row) bool {
	p, ok := row.(*facts.PackageRow)
	return !ok || p.Source == "go" || p.Source == "maven"
}

// program is a program or archive as it was when it was read.
type program struct {
	stamp probe.Stamp
	rows  []*facts.PackageRow
	read  reader
	err   error // why rows are not all
}

// reader reads what a program or archive is built of.
type reader func(context.Context, *probe.Random) ([]*facts.PackageRow, error)

const (
	// maxPrograms bounds the files that are kept.
	maxPrograms = 1000
	// maxProcesses bounds a walk of /proc, of 2 us for each.
	maxProcesses = 50_000
	// maxOpen bounds the open files of one process that are looked at.
	maxOpen = 5000
)

// search reads the files of programs that are new or changed.
func (p *programs) search(ctx context.Context, h *probe.Host) (changed bool) {
	var problems probe.Problems
	if p.files == nil {
		p.files = make(map[string]program)
	}
	p.remotes, p.away = h.Remotes(), false
	pids, err := h.Processes(maxProcesses)
	if err == nil || len(pids) > 0 {
		changed = p.again(ctx, h, &problems)
		found := p.walk(ctx, h, pids, &problems)
		changed = changed || found
	}
	problems.Add(gone(err))
	p.problem = problems.Err()
	var damage probe.Problems
	for _, name := range sortedKeys(p.files) {
		damage.Add(p.files[name].err)
	}
	p.damage = damage.Err()
	return changed
}

// again reads the files that are known, if they have changed, and those that were.
func (p *programs) again(ctx context.Context, h *probe.Host, problems *probe.Problems) (changed bool) {
	for _, name := range sortedKeys(p.files) {
		if was := p.files[name]; !p.remote(name) && h.Stamp(name) != was.stamp {
			delete(p.files, name)
			_, err := p.take(ctx, h, name, was.read) // its new version, whether it runs now or not
			problems.Add(err)
			changed = true
		}
	}
	for _, name := range sortedKeys(p.before) {
		_, err := p.take(ctx, h, name, p.before[name])
		problems.Add(err)
	}
	if ctx.Err() == nil {
		p.before = nil
	}
	return changed
}

// walk reads the files of all processes.
func (p *programs) walk(ctx context.Context, h *probe.Host, pids []int, problems *probe.Problems) (changed bool) {
	seen, denied := make(map[string]bool), 0
	for _, pid := range pids {
		if err := ctx.Err(); err != nil {
			problems.Add(err)
			return changed
		}
		process := path.Join("/proc", strconv.Itoa(pid))
		exe, err := h.Readlink(path.Join(process, "exe"))
		if errors.Is(err, fs.ErrPermission) {
			denied++
		}
		if err != nil || !path.IsAbs(exe) {
			continue // ended, or somebody else's that the agent may not look at
		}
		read, err := p.look(ctx, h, process, exe, seen)
		problems.Add(err)
		changed = changed || read
	}
	p.denied = nil
	if denied*fewDenied > len(pids) {
		p.denied = fmt.Errorf("modules and archives in programs of other users: %w", fs.ErrPermission)
	}
	return changed
}

// remember notes where rows that were reported before were found.
func (p *programs) remember(rows []facts.Row) {
	p.before = make(map[string]reader)
	for _, r := range rows {
		row, ok := r.(*facts.PackageRow)
		if !ok || !runs(row) {
			continue
		}
		for _, name := range row.Locations {
			if p.before[name] = readGo; row.Source == "maven" {
				p.before[name] = readJar
			}
		}
	}
}

// remote reports whether a file lies where nobody may answer, not even for its stamp.
func (p *programs) remote(name string) bool {
	held := p.remotes.Hold(name)
	p.away = p.away || held
	return held
}

// look reads the program of a process unless it is among those that were seen.
func (p *programs) look(ctx context.Context, h *probe.Host, process, exe string, seen map[string]bool) (changed bool, problem error) {
	if path.Base(exe) == "java" {
		changed, problem = p.archives(ctx, h, exe, path.Join(process, "fd"))
	}
	link := path.Join(process, "exe")
	if seen[exe] {
		return changed, problem
	}
	seen[exe] = true
	if p.remote(exe) || h.Live() && h.Stamp(link) != h.Stamp(exe) {
		return changed, problem // in a container, or replaced since it was started
	}
	read, err := p.take(ctx, h, exe, readGo)
	return changed || read, errors.Join(problem, err)
}

// archives reads the jars that a process has open.
func (p *programs) archives(ctx context.Context, h *probe.Host, exe, fds string) (changed bool, problem error) {
	dir, err := h.OpenDir(fds)
	if err != nil {
		return false, nil // ended, or not ours to look at
	}
	defer dir.Close()
	var problems probe.Problems
	n := 0
	for fd := range dir.Names() {
		if err := ctx.Err(); err != nil {
			problems.Add(err)
			break
		}
		if n++; n > maxOpen {
			problems.Add(fmt.Errorf("%s: only the first %d files that it has open were looked at", exe, maxOpen))
			break
		}
		link := path.Join(fds, fd)
		file, err := h.Readlink(link)
		if err != nil || !strings.HasSuffix(file, ".jar") && !strings.HasSuffix(file, ".war") {
			continue
		}
		if p.remote(file) || h.Live() && h.Stamp(link) != h.Stamp(file) {
			continue
		}
		read, err := p.take(ctx, h, file, readJar)
		problems.Add(err)
		changed = changed || read
	}
	problems.Add(gone(dir.Err()))
	return changed, problems.Err()
}

// systemFolders hold files that packages of the operating system bring.
var systemFolders = []string{"/usr/bin/", "/usr/sbin/", "/usr/lib/", "/usr/lib64/", "/usr/libexec/", "/usr/share/", "/bin/", "/sbin/", "/lib/", "/lib64/", "/snap/", "/nix/store/"}

// passing reports whether a file lies where things come and go: what compilers and tests
// leave there is no software of the host.
func passing(name string) bool {
	for _, dir := range []string{"/tmp/", "/var/tmp/", "/dev/shm/", "/run/"} {
		if strings.HasPrefix(name, dir) {
			return true
		}
	}
	return strings.Contains(name, "/.cache/")
}

// take reads a file that is not known yet.
func (p *programs) take(ctx context.Context, h *probe.Host, name string, read reader) (changed bool, err error) {
	for _, dir := range systemFolders {
		if strings.HasPrefix(name, dir) {
			return false, nil
		}
	}
	if _, ok := p.files[name]; ok || passing(name) {
		return false, nil
	}
	if len(p.files) >= maxPrograms {
		return false, fmt.Errorf("more than %d programs and archives", maxPrograms)
	}
	if p.remote(name) {
		return false, nil
	}
	stamp := h.Stamp(name)
	f, err := h.OpenAt(name)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return false, err
		}
		return false, nil // gone, or no file
	}
	defer f.Close()
	rows, err := read(ctx, f)
	if ctx.Err() != nil {
		return false, fmt.Errorf("%s: %w", name, ctx.Err()) // and is read by another search
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	p.files[name] = program{stamp, rows, read, err}
	return len(rows) > 0, nil
}

// list returns what all files are built of, one row for each version.
func (p *programs) list() []facts.Row {
	var out []facts.Row
	byKey := make(map[string]*facts.PackageRow)
	for _, name := range sortedKeys(p.files) {
		for _, row := range p.files[name].rows {
			own := *row
			out = addLocated(out, byKey, &own, name)
		}
	}
	return out
}

// versionOf cuts the version off the name of an archive: log4j-core-2.17.1.jar.
func versionOf(file string) (name, version string) {
	base := strings.TrimSuffix(strings.TrimSuffix(path.Base(file), ".jar"), ".war")
	for i := 1; i+1 < len(base); i++ {
		if base[i] == '-' {
			if _, err := strconv.Atoi(base[i+1 : i+2]); err == nil {
				return base[:i], base[i+1:]
			}
		}
	}
	return base, ""
}
