package patches

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// rpmManager judges systems of rpm packages by the metadata that dnf or zypper have
// fetched. The order of versions, excludes, locks, priorities, modules and obsoletes are
// as in dnf; dependencies are not solved, so that an update that lacks one is shown as
// pending, and the new packages that updates need are not shown.
type rpmManager struct {
	installed func(context.Context, *probe.Host) ([]*facts.PackageRow, error)
	indexes   map[string]*rpmIndex // by repomd.xml
}

// rpmDatabases change whenever a package does.
var rpmDatabases = []string{
	"/var/lib/rpm/rpmdb.sqlite", "/var/lib/rpm/rpmdb.sqlite-wal", "/var/lib/rpm/Packages.db", "/var/lib/rpm/Packages",
	"/usr/lib/sysimage/rpm/rpmdb.sqlite", "/usr/lib/sysimage/rpm/rpmdb.sqlite-wal", "/usr/lib/sysimage/rpm/Packages.db",
}

// found leaves out systems of dpkg, where rpm and dnf are tools for other machines.
func (m *rpmManager) found(h *probe.Host) bool {
	return m.installed != nil && anyThere(h, rpmDatabases) && m.flavour(h) != nil && !anyThere(h, []string{statusFile})
}

func anyThere(h *probe.Host, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { _, err := h.Stat(name); return !probe.Absent(err) })
}

// flavour is that of the manager the machine is run with. The folder of zypper's
// repositories comes with other programs too.
func (m *rpmManager) flavour(h *probe.Host) *rpmFlavour {
	const zypp = "/etc/zypp/repos.d"
	if found, _ := h.Glob(zypp + "/*.repo"); len(found) > 0 {
		return &zyppFlavour
	}
	for _, f := range []struct {
		sign    string
		flavour *rpmFlavour
	}{{"/etc/dnf", &dnfFlavour}, {"/var/cache/yum/metadata", &dnfFlavour}, {"/etc/yum.conf", &yumFlavour}, {zypp, &zyppFlavour}} {
		if _, err := h.Stat(f.sign); err == nil {
			return f.flavour
		}
	}
	return nil
}

// rpmReading is one reading of the files. Of the repositories only the enabled ones stay.
type rpmReading struct {
	*finding
	*rpmConfig
	h         *probe.Host
	installed []*facts.PackageRow
	names     want // with the lowest version installed
	locks     []lock
	groups    vendorGroups
}

func (m *rpmManager) read(ctx context.Context, h *probe.Host) *finding {
	out := &rpmReading{finding: newFinding(), h: h}
	for _, name := range append([]string{"/etc/zypp/repos.d"}, rpmDatabases...) {
		out.in.note(h, name)
	}
	out.rpmConfig = m.flavour(h).configuration(h, out.in)
	var err error
	if err := out.damage.Err(); err != nil {
		out.problems, out.sourcesProblem = append(out.problems, err), err
	}
	for _, r := range out.repos {
		out.repositories = append(out.repositories, r.row(out.name, out.main))
	}
	out.repos = slices.DeleteFunc(out.repos, func(r *rpmRepo) bool { return !r.enabled })
	if len(out.repos) == 0 {
		out.problem("no package repository is enabled")
	}
	if out.installed, err = m.installed(ctx, h); err != nil {
		out.problem("installed packages: %w", err)
	}
	out.names = lowest(out.installed)
	m.readIndexes(ctx, out)
	out.cover()
	out.locks = out.readLocks(h, out.in)
	if out.vendors {
		out.groups = readVendors(h, out.in)
	}
	if len(out.installed) > 0 {
		out.judge()
	}
	rows := out.installed
	out.rebootReasons = func(h *probe.Host) []string { return rebootAfter(rows, bootTime(h)) }
	return out.finding
}

// lowest gives each name the lowest version installed of it.
func lowest(rows []*facts.PackageRow) want {
	names := make(want, len(rows))
	for _, p := range rows {
		if old, ok := names[p.Name]; !ok || rpmNewer(old, p.Version) {
			names[p.Name] = p.Version
		}
	}
	return names
}

// readIndexes reads the metadata of each repository, noting what is missing.
func (m *rpmManager) readIndexes(ctx context.Context, out *rpmReading) {
	used := make(map[string]*rpmIndex)
	for _, r := range out.repos {
		r.root = out.metadata(out.h, out.in, r.id)
		err := m.readIndex(ctx, out, r)
		if err != nil {
			r.problems = append(r.problems, err)
		} else {
			used[r.index.repomd] = r.index
		}
		out.problems = append(out.problems, r.problems...)
		out.indexes = append(out.indexes, r.state(out.h, out.name, out.main))
	}
	m.indexes = used
}

func (m *rpmManager) readIndex(ctx context.Context, out *rpmReading, r *rpmRepo) error {
	h := out.h
	if r.root == "" {
		if out.name == "yum" {
			return fmt.Errorf("metadata of repository %q: those of yum 3 are databases, which are not read: %w", r.id, errors.ErrUnsupported)
		}
		return fmt.Errorf("no metadata of repository %q (run `%s`)", r.id, out.refresh)
	}
	repomd := r.root + "/repodata/repomd.xml"
	out.in.note(h, repomd)
	stamp := h.Stamp(repomd)
	x := m.indexes[repomd]
	if x == nil || x.stamp != stamp || !x.covers(out.names) || out.weighs() != (x.older != nil) {
		x = &rpmIndex{repomd: repomd, stamp: stamp}
		if out.weighs() {
			x.older = make(map[packageID]*rpmOffer)
		}
		if err := x.read(ctx, h, r.root, out.names); err != nil {
			return fmt.Errorf("repository %q: %w", r.id, err)
		}
	}
	out.in.note(h, x.primary)
	for _, p := range x.packages {
		p.repo, p.kept = r, ""
	}
	for _, p := range x.older {
		p.repo, p.kept = r, ""
	}
	r.index = x
	return nil
}

// weighs reports whether the enabled repositories have different priorities.
func (out *rpmReading) weighs() bool {
	return slices.ContainsFunc(out.repos, func(r *rpmRepo) bool { return r.priority != out.repos[0].priority })
}

// judge finds the update of each installed package.
func (out *rpmReading) judge() {
	offers := out.offers()
	newest := make(map[packageID]*facts.PackageRow)
	for _, p := range out.installed {
		id := packageID{p.Name, p.Arch}
		if old := newest[id]; old == nil || rpmNewer(p.Version, old.Version) {
			newest[id] = p
		}
	}
	rows := make(map[packageID]*facts.PatchRow)
	for id, p := range newest {
		if row := out.update(p, offers[id.name]); row != nil {
			rows[id] = row
		}
	}
	out.replace(newest, offers, rows)
	for _, row := range rows {
		out.rows = append(out.rows, row)
	}
	sort.Slice(out.rows, func(i, j int) bool { return out.rows[i].Key() < out.rows[j].Key() })
}

// offers are all packages of the repositories by name, those that may not be installed
// marked with the reason.
func (out *rpmReading) offers() map[string][]*rpmOffer {
	streams := readStreams(out.h, out.in, out.repos)
	offers := make(map[string][]*rpmOffer)
	for _, r := range out.repos {
		if r.index == nil {
			continue
		}
		for _, p := range r.index.packages {
			if !streams.hides(p) {
				p.kept = out.keeps(r, p)
				offers[p.Name] = append(offers[p.Name], p)
			}
		}
		for id, p := range r.index.older {
			if !streams.hides(p) && out.keeps(r, p) == "" {
				offers[id.name] = append(offers[id.name], p)
			}
		}
	}
	return offers
}

// keeps is why an offer may not be installed, "" if it may.
func (out *rpmReading) keeps(r *rpmRepo, p *rpmOffer) string {
	include := r.words("includepkgs")
	switch {
	case matchesAny(append(r.words("exclude"), r.words("excludepkgs")...), p):
		return "excluded in " + r.file
	case len(include) > 0 && !matchesAny(include, p):
		return "not among the included in " + r.file
	}
	return locked(out.locks, p, out.names[p.Name])
}

// update chooses the candidate for an installed package: of the repositories with the
// best priority the newest version.
func (out *rpmReading) update(p *facts.PackageRow, offers []*rpmOffer) *facts.PatchRow {
	best, kept := out.candidate(p, offers)
	row := &facts.PatchRow{Name: p.Name, Arch: p.Arch, Installed: p.Version, Source: "rpm", State: statePending}
	switch {
	case best != nil:
	case kept != nil && kept.kept != "":
		best = kept
		row.State, row.Reason = statePinned, kept.kept
	case kept != nil:
		best = kept
		row.State, row.Reason = stateHeld, fmt.Sprintf("from another vendor, %s", kept.Vendor)
	default:
		return nil
	}
	out.fill(row, best)
	return row
}

func (out *rpmReading) fill(row *facts.PatchRow, o *rpmOffer) {
	row.Candidate, row.Origin = o.Version, o.repo.id
	a := adviceOn(out.repos, o, row.Installed)
	row.Security, row.Severity, row.CVEs, row.Advisory = a.security, severities[a.severity], len(a.cves), strings.Join(a.ids, ", ")
}

// candidate returns the best offer, and the best of those that may not be installed if
// there is no other.
func (out *rpmReading) candidate(p *facts.PackageRow, offers []*rpmOffer) (best, kept *rpmOffer) {
	priority := 0
	for _, o := range offers {
		if !sameArch(p.Arch, o.Arch) {
			continue
		}
		switch {
		case o.kept != "" || out.vendors && out.groups.differ(p.Vendor, o.Vendor):
			if rpmNewer(o.Version, p.Version) && (kept == nil || rpmNewer(o.Version, kept.Version)) {
				kept = o
			}
		case best == nil || o.repo.priority < priority || o.repo.priority == priority && rpmNewer(o.Version, best.Version):
			best, priority = o, o.repo.priority
		}
	}
	if best != nil && !rpmNewer(best.Version, p.Version) {
		best = nil
	}
	return best, kept
}

// sameArch reports whether a package may take the place of another: also where one of
// them is for any architecture and the other for the machine's own, which the 32-bit
// ones of multilib are not.
func sameArch(a, b string) bool {
	if a == b {
		return true
	}
	other := a
	if a == "noarch" {
		other = b
	} else if b != "noarch" {
		return false
	}
	return !slices.Contains([]string{"i386", "i486", "i586", "i686", "src", "nosrc"}, other)
}

// replace adds the packages that take the place of installed ones under another name.
func (out *rpmReading) replace(newest map[packageID]*facts.PackageRow, offers map[string][]*rpmOffer, rows map[packageID]*facts.PatchRow) {
	if !out.main.on("obsoletes", true) || out.name == "zypper" { // zypper up does not; zypper dup does
		return
	}
	for id, p := range newest {
		for _, list := range offers {
			for _, o := range list {
				if o.kept != "" || o.Name == p.Name || out.names[o.Name] != "" || !sameArch(p.Arch, o.Arch) || !obsoletes(o, p) {
					continue
				}
				row := &facts.PatchRow{Name: o.Name, Arch: o.Arch, Source: "rpm", State: statePending, Reason: "replaces " + p.Name}
				if old := rows[packageID{o.Name, o.Arch}]; old != nil && !rpmNewer(o.Version, old.Candidate) {
					continue
				}
				out.fill(row, o)
				rows[packageID{o.Name, o.Arch}] = row
				delete(rows, id)
			}
		}
	}
}

func obsoletes(o *rpmOffer, p *facts.PackageRow) bool {
	for _, r := range o.Obsoletes {
		if r.Name != p.Name {
			continue
		}
		lt, gt := rpmNewer(r.Version, p.Version), rpmNewer(p.Version, r.Version)
		switch r.Flags {
		case "":
			return true
		case "LT":
			return lt
		case "LE":
			return !gt
		case "EQ":
			return !lt && !gt
		case "GE":
			return !lt
		case "GT":
			return gt
		}
	}
	return false
}

// matchesAny compares a package with patterns in the forms of dnf(8): name, name.arch,
// name-version, name-version-release, the same with arch and with epoch.
func matchesAny(patterns []string, p *rpmOffer) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matchesNEVRA(pattern, p) })
}

func matchesNEVRA(pattern string, p *rpmOffer) bool {
	if pattern == p.Name {
		return true
	}
	if !strings.ContainsAny(pattern, "*?[") && !strings.HasPrefix(pattern, p.Name) && !strings.Contains(pattern, ":"+p.Name) {
		return false
	}
	epoch, evr, ok := strings.Cut(p.Version, ":")
	if !ok {
		epoch, evr = "0", p.Version
	}
	version, _, _ := strings.Cut(evr, "-")
	for _, form := range []string{
		p.Name, p.Name + "." + p.Arch, p.Name + "-" + version, p.Name + "-" + evr, p.Name + "-" + evr + "." + p.Arch,
		p.Name + "-" + epoch + ":" + evr, p.Name + "-" + epoch + ":" + evr + "." + p.Arch,
		epoch + ":" + p.Name + "-" + evr, epoch + ":" + p.Name + "-" + evr + "." + p.Arch,
	} {
		if fnmatch(pattern, form) {
			return true
		}
	}
	return false
}
