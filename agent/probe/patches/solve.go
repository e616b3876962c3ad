package patches

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// The states of a patch row.
const (
	statePending = "pending" // a dist-upgrade installs it
	stateHeld    = "held"    // by the administrator, or kept back because its dependencies cannot be had
	statePhased  = "phased"  // offered to some machines, not yet to this one
	statePinned  = "pinned"  // kept from installation by the preferences
)

// solver computes what `apt-get dist-upgrade` would do.
//
// Exact as in apt: candidates by priority and version, holds, phasing. Approximated is
// the resolution: a dependency that is not met is met by the first alternative that has
// a candidate, else by its first provider; an update whose dependencies cannot be met
// is kept back. Where an
// update cannot stand beside an installed package, apt removes that or keeps the update
// back; which of them is not told, only that it is so.
type solver struct {
	sys        *system
	repos      []*repository
	policy     *policy
	recommends bool   // APT::Install-Recommends
	machineID  string // for phased updates; "" lets them all through
	phasing    phasing

	candidates map[packageID]*version // of those that change: upgrades and new packages
	rows       map[packageID]*facts.PatchRow
}

// phasing is what the configuration says about phased updates.
type phasing int

const (
	phaseByMachine phasing = iota
	phaseAlways            // take them all
	phaseNever             // wait for all
)

// repository is a source with those of its indexes that are there.
type repository struct {
	release  *release
	indexes  []repositoryIndex
	problems []error
	serves   map[string]bool // architectures of which an index was read or is empty
	gaps     []string        // components without any
}

type repositoryIndex struct {
	*index
	component string
	machine   string // architecture that it is for, "" in flat repositories
}

// version is one version of a package with all that offer it.
type version struct {
	text      string
	name      string
	arch      string // "all" or the package's
	installed bool
	offers    []*offer
}

func (v *version) best() *offer { return v.offers[0] }

// source is the name of the source package.
func (v *version) source() string {
	for _, o := range v.offers {
		if o.source != "" {
			return o.source
		}
	}
	return v.name
}

func (v *version) security() bool {
	return slices.ContainsFunc(v.offers, func(o *offer) bool { return o.release.security() })
}

func (v *version) origins() string {
	var names []string
	for _, o := range v.offers {
		if d := o.release.describe(); !slices.Contains(names, d) {
			names = append(names, d)
		}
	}
	return strings.Join(names, ", ")
}

// ensure makes every index cover the names.
func (s *solver) ensure(ctx context.Context, h *probe.Host, names want, virtual bool) error {
	var problems probe.Problems
	for _, repo := range s.repos {
		for _, x := range repo.indexes {
			problems.Add(x.ensure(ctx, h, names, virtual))
		}
	}
	return problems.Err()
}

// versions lists the versions of a package, newest first. Equal versions from several
// repositories are one, as they are for apt unless they were built differently.
func (s *solver) versions(id packageID) []*version {
	var list []*version
	add := func(text, arch string) *version {
		for _, v := range list {
			if v.text == text {
				return v
			}
		}
		v := &version{text: text, name: id.name, arch: arch}
		list = append(list, v)
		return v
	}
	if p := s.sys.packages[id]; p != nil {
		add(p.version, p.arch).installed = true
	}
	for _, repo := range s.repos {
		for _, x := range repo.indexes {
			offers := x.offers[id.name]
			for i := range offers {
				if o := &offers[i]; s.sys.id(id.name, o.arch) == id {
					o.release, o.component, o.machine = repo.release, x.component, x.machine
					v := add(o.version, o.arch)
					v.offers = append(v.offers, o)
				}
			}
		}
	}
	slices.SortStableFunc(list, func(a, b *version) int {
		switch {
		case newer(a.text, b.text):
			return -1
		case newer(b.text, a.text):
			return 1
		}
		return 0
	})
	return list
}

// candidate is pkgPolicy::GetCandidateVer: the highest priority, among equals the
// newest; a downgrade only from priority 1000 on.
func (s *solver) candidate(list []*version, priority func(*version) int) *version {
	current := ""
	for _, v := range list {
		if v.installed {
			current = v.text
		}
	}
	var best *version
	bestPriority := 0
	for _, v := range list {
		p := priority(v)
		if p <= bestPriority || current != "" && p < priorityDowngrade && newer(current, v.text) {
			continue
		}
		best, bestPriority = v, p
	}
	return best
}

// solve fills rows. It needs the indexes to cover the installed packages.
func (s *solver) solve(ctx context.Context, h *probe.Host) error {
	s.candidates = make(map[packageID]*version)
	s.rows = make(map[packageID]*facts.PatchRow)
	for id, p := range s.sys.packages {
		s.judge(id, p)
	}
	return s.resolve(ctx, h)
}

// judge decides over one installed package, dependencies aside.
func (s *solver) judge(id packageID, p *installed) {
	list := s.versions(id)
	if len(list) < 2 {
		return
	}
	chosen := s.candidate(list, func(v *version) int { return s.policy.priority(id.name, v) })
	if chosen == nil || chosen.installed {
		s.judgePinned(id, p, list)
		return
	}
	state, reason := statePending, ""
	switch {
	case p.hold:
		state, reason = stateHeld, "held by the administrator (dpkg selection hold)"
	case s.waits(list, chosen):
		state, reason = statePhased, fmt.Sprintf("offered to %d %% of machines so far, not to this one", chosen.best().percent)
	default:
		s.candidates[id] = chosen
	}
	s.row(update{id, p, chosen, state, reason}, list)
}

// judgePinned reports an update that would be the candidate without the preferences.
func (s *solver) judgePinned(id packageID, p *installed, list []*version) {
	free := s.candidate(list, func(v *version) int {
		best := 0
		if v.installed {
			best = priorityInstalled
		}
		for _, o := range v.offers {
			best = max(best, defaultPriority(o.release))
		}
		return best
	})
	if free == nil || free.installed || !newer(free.text, p.version) {
		return
	}
	reason, ok := s.policy.pinned(id.name, free)
	if !ok {
		for _, v := range list {
			if v.installed {
				reason, _ = s.policy.pinned(id.name, v)
			}
		}
	}
	s.row(update{id, p, free, statePinned, first(reason, "another version is preferred")}, list)
}

// update is what is to be told of one package.
type update struct {
	id            packageID
	installed     *installed // nil: not there yet
	chosen        *version
	state, reason string
}

// row adds the row of an update. It is one for security if any version after the
// installed one, up to the candidate, came through a security repository.
func (s *solver) row(u update, list []*version) {
	id, p, chosen := u.id, u.installed, u.chosen
	row := &facts.PatchRow{
		Name: id.name, Arch: chosen.arch, Candidate: chosen.text, Origin: chosen.origins(),
		State: u.state, Source: "dpkg", Reason: u.reason,
	}
	current := ""
	if p != nil {
		row.Arch, row.Installed, current = p.arch, p.version, p.version
	}
	var fix *version // the newest of them
	for _, v := range list {
		if newer(v.text, chosen.text) || !(current == "" && v == chosen || current != "" && newer(v.text, current)) || !v.security() {
			continue
		}
		if fix == nil || newer(v.text, fix.text) {
			fix = v
		}
	}
	if row.Security = fix != nil; row.Security && !chosen.security() {
		row.Reason = joined(u.reason, "the fix for security is that of "+fix.text)
	}
	s.rows[id] = row
}

// waits is pkgDepCache::PhasingApplied. Updates that pass over a security update are
// never withheld.
func (s *solver) waits(list []*version, chosen *version) bool {
	o := chosen.best()
	if !o.phased || s.phasing == phaseAlways {
		return false
	}
	for _, v := range list {
		if newer(chosen.text, v.text) && !v.installed && v.security() {
			return false
		}
	}
	if s.phasing == phaseNever {
		return true
	}
	return s.machineID != "" && phasedOut(chosen.source(), first(o.sourceVersion, o.version), s.machineID, o.percent)
}

func sortedIDs[V any](m map[packageID]V) []packageID {
	ids := make([]packageID, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	sort.Slice(ids, func(i, j int) bool {
		a, b := ids[i], ids[j]
		return a.name < b.name || a.name == b.name && a.arch < b.arch
	})
	return ids
}
