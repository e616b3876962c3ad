package patches

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// apt judges by dpkg's status and apt's lists, sources, preferences and configuration.
// It keeps nothing but the outcome: what the indexes say of 1,000 packages is half a
// megabyte, and they are read again only when something was installed or fetched.
type apt struct{}

// found looks for dpkg's status file and apt's folders: images without apt cannot be
// patched, only replaced.
func (apt) found(h *probe.Host) bool {
	for _, name := range []string{statusFile, "/etc/apt"} {
		if _, err := h.Stat(name); notThere(err) {
			return false
		}
	}
	return true
}

// aptReading is one reading of apt's files.
type aptReading struct {
	*finding
	h     *probe.Host
	sys   *system
	conf  aptConf
	repos []*repository
	names want              // what is looked for in the indexes
	used  map[string]*index // by file: sources may be configured twice
}

// read reads everything and solves.
func (a apt) read(ctx context.Context, h *probe.Host) *finding {
	out := &aptReading{finding: newFinding(), h: h, names: make(want), used: make(map[string]*index)}
	s, err := out.prepare(ctx)
	if err == nil {
		err = s.solve(ctx, h)
	}
	if err != nil {
		out.problems = append(out.problems, err)
	}
	if s == nil {
		out.indexesProblem = err
		return out.finding
	}
	out.cover()
	for _, id := range sortedIDs(s.rows) {
		out.rows = append(out.rows, s.rows[id])
	}
	partial := partialFiles(h)
	for _, repo := range out.repos {
		out.indexes = append(out.indexes, repo.state(partial))
	}
	kernels := out.sys.kernels()
	out.rebootReasons = func(h *probe.Host) []string { return kernelRebuilt(h, kernels) }
	return out.finding
}

// prepare reads the system, the configuration and the indexes.
func (out *aptReading) prepare(ctx context.Context) (*solver, error) {
	h := out.h
	sys, sysErr := readSystem(ctx, h, out.in)
	native := ""
	if sys != nil {
		native = sys.native
	}
	sources, err := readSources(h, out.in, native)
	if err != nil {
		out.problems, out.sourcesProblem = append(out.problems, err), err
	}
	for _, src := range sources {
		out.repositories = append(out.repositories, src.row())
	}
	sources = slices.DeleteFunc(sources, func(s source) bool { return s.kind != "deb" || s.disabled })
	if sysErr != nil {
		return nil, sysErr
	}
	out.sys = sys
	if out.conf, err = readAptConf(h, out.in); err != nil {
		return nil, err
	}
	if err := out.conf.moved(); err != nil {
		out.problems = append(out.problems, err)
	}
	if archs := out.conf["apt::architectures"]; len(archs) > 0 {
		sys.archs = archs
	}
	policy, err := readPolicy(h, out.in, out.conf, sys.native)
	if err != nil {
		return nil, err
	}
	if len(sources) == 0 {
		out.problem("no package source is configured")
	}
	s := &solver{sys: sys, policy: policy, recommends: out.conf.on("APT::Install-Recommends", true)}
	s.phasing, s.machineID = phasingOf(h, out.in, out.conf)
	for id, pkg := range sys.packages {
		if old, ok := out.names[id.name]; !ok || newer(old, pkg.version) {
			out.names[id.name] = pkg.version // the lowest, where several architectures differ
		}
	}
	out.open(ctx, sources)
	s.repos = out.repos
	return s, nil
}

func phasingOf(h *probe.Host, in *inputs, conf aptConf) (phasing, string) {
	for _, prefix := range []string{"APT::Get::", "update-manager::"} {
		if conf.on(prefix+"Always-Include-Phased-Updates", false) {
			return phaseAlways, ""
		}
		if conf.on(prefix+"Never-Include-Phased-Updates", false) {
			return phaseNever, ""
		}
	}
	if id := conf.value("APT::Machine-ID"); id != "" {
		return phaseByMachine, id
	}
	for _, name := range []string{"/etc/machine-id", "/var/lib/dbus/machine-id"} {
		if data, err := in.read(h, name); err == nil {
			line, _, _ := strings.Cut(string(data), "\n")
			return phaseByMachine, strings.TrimSpace(line)
		}
	}
	return phaseByMachine, ""
}

// open reads the Release file and the indexes of each source, noting what is missing.
func (out *aptReading) open(ctx context.Context, sources []source) {
	out.in.note(out.h, listsDir)
	for _, src := range sources {
		repo := &repository{serves: make(map[string]bool)}
		out.repos = append(out.repos, repo)
		var err error
		if repo.release, err = readRelease(out.h, out.in, src); err != nil {
			repo.problems = append(repo.problems, err)
		} else {
			out.openIndexes(ctx, repo)
		}
		out.problems = append(out.problems, repo.problems...)
	}
}

// openIndexes reads the indexes of one source. Each of its components must have one for
// the machine, else nothing was asked for: apt warns of that once, while it fetches.
func (out *aptReading) openIndexes(ctx context.Context, repo *repository) {
	src := repo.release.source
	before := len(repo.problems)
	for _, component := range src.components {
		served := false
		for _, arch := range append(src.architectures(out.sys.archs), "all") {
			ok, err := out.openIndex(ctx, repo, component, arch)
			if err != nil {
				repo.problems = append(repo.problems, err)
			}
			if src.flat() {
				served, repo.serves[out.sys.native] = ok, ok
				break
			}
			if ok {
				served = served || arch == "all" || slices.Contains(out.sys.archs, arch)
				repo.serves[arch] = true
			}
		}
		if !served && repo.release.file != "" && len(repo.problems) == before {
			repo.gaps = append(repo.gaps, repo.release.lacks(component, out.sys.archs))
		}
	}
	if repo.release.file == "" && len(repo.serves) == 0 && len(repo.problems) == before {
		repo.problems = append(repo.problems, fmt.Errorf("no index of source %q (run `apt-get update`)", src.name()))
	}
	out.gaps = append(out.gaps, repo.gaps...)
}

// openIndex reads one index. It reports whether the source was asked for it: it was read,
// now or for another source, or the signed Release file says that it is empty.
func (out *aptReading) openIndex(ctx context.Context, repo *repository, component, arch string) (asked bool, err error) {
	src := repo.release.source
	path := src.indexPath(component, arch)
	size, offered := repo.release.offers(path, arch)
	if arch == "all" && repo.release.noAll || repo.release.file != "" && !offered {
		return false, nil
	}
	if size == 0 {
		return true, nil
	}
	file := ""
	for _, ext := range indexExtensions {
		if name := src.index(component, arch) + ext; file == "" && out.in.exists(out.h, name) {
			file = name
		}
	}
	switch {
	case file == "" && repo.release.file == "":
		return false, nil // told once for the source
	case file == "":
		return false, fmt.Errorf("index %s of source %q is missing (run `apt-get update`)", path, src.name())
	case out.used[file] != nil: // listed twice
		return true, nil
	}
	x := &index{file: file, size: size}
	if err := x.ensure(ctx, out.h, out.names, false); err != nil {
		return false, err
	}
	out.used[file] = x
	repo.indexes = append(repo.indexes, repositoryIndex{index: x, component: component, machine: word(!src.flat(), arch)})
	return true, nil
}

// state is what the section package_indexes says of the repository.
func (repo *repository) state(partial []string) *indexState {
	rel := repo.release
	x := &indexState{PackageIndexRow: facts.PackageIndexRow{
		Manager: "apt", Repository: rel.source.name(), Security: rel.security(), File: rel.file,
		Published: facts.TimeOf(rel.date), ValidUntil: facts.TimeOf(rel.validUntil),
	}}
	if rel.file != "" {
		x.Origin, x.Signature = rel.describe(), rel.signature()
	}
	if err := errors.Join(repo.problems...); err != nil {
		x.Error = joined(strings.Split(err.Error(), "\n")...)
	}
	x.Error = joined(append([]string{x.Error, failedDownload(rel.source, partial)}, repo.gaps...)...)
	index := ""
	if len(repo.indexes) > 0 {
		index = repo.indexes[0].file
	}
	file, date := rel.file, rel.date
	x.confirmed = func(h *probe.Host) (time.Time, string) {
		switch {
		case file != "":
			return confirmed(h, file, date)
		case index != "":
			return modTime(h.Stat(index)), ""
		}
		return time.Time{}, ""
	}
	return x
}

const partialDir = listsDir + "/partial"

// partialFiles lists what apt has not finished. Only root may look.
func partialFiles(h *probe.Host) []string {
	var names []string
	entries, _ := h.ReadDir(partialDir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// failedDownload words what the partial folder says of a source: apt leaves there what
// it refused, as NAME.FAILED, and what it has not fetched whole.
func failedDownload(s source, partial []string) string {
	base := strings.TrimPrefix(s.base(), listsDir+"/")
	for _, name := range partial {
		rest, ok := strings.CutPrefix(name, base)
		if !ok {
			continue
		}
		if what, failed := strings.CutSuffix(rest, ".FAILED"); failed {
			return fmt.Sprintf("apt refused the %s that it fetched last", what)
		}
		return fmt.Sprintf("the last download of %s did not end", rest)
	}
	return ""
}
