package patches

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"atalaya/agent/probe"
)

// maxRounds bounds how often the indexes are read again for packages that only
// dependencies name. Each round follows the chain of new packages one step.
const maxRounds = 12

// resolve adds the new packages that updates need and keeps back updates whose
// dependencies cannot be met, until nothing changes.
func (s *solver) resolve(ctx context.Context, h *probe.Host) error {
	for range maxRounds {
		r := resolution{solver: s, need: make(want)}
		r.run()
		if len(r.need) == 0 {
			for id, v := range r.added {
				s.row(update{id: id, chosen: v, state: statePending}, s.versions(id))
			}
			r.tell()
			return nil
		}
		if err := s.ensure(ctx, h, r.need, true); err != nil {
			return err
		}
	}
	return errors.New("new packages that updates depend on: the chain is too long")
}

// resolution is one attempt with what the indexes cover so far.
type resolution struct {
	*solver
	added map[packageID]*version
	need  want // names that no index has been asked for yet
}

// run repeats from scratch whenever an update was kept back: others may need it, and
// what was added for it may be superfluous.
func (r *resolution) run() {
	for again := true; again; {
		again = false
		r.added = make(map[packageID]*version)
		queue := sortedIDs(r.candidates)
		for len(queue) > 0 {
			id := queue[0]
			queue = queue[1:]
			v := r.candidates[id]
			if v == nil {
				v = r.added[id]
			}
			more, missing := r.meet(id, v)
			queue = append(queue, more...)
			if missing == "" {
				continue
			}
			if row := r.rows[id]; row != nil && r.candidates[id] != nil {
				row.State, row.Reason = stateHeld, "kept back: "+missing+" cannot be installed"
				delete(r.candidates, id)
				again = true
				break
			}
		}
	}
}

// meet adds what the version needs and returns what was added, or the dependency that
// cannot be met. With a name that has not been looked for it does neither: the indexes
// must be asked first.
func (r *resolution) meet(id packageID, v *version) (more []packageID, missing string) {
	o := v.best()
	if other := r.unlike(id, v); other != "" {
		return nil, other
	}
	for _, group := range append(parseRelations(o.preDepends), parseRelations(o.depends)...) {
		if r.met(group, id.arch) {
			continue
		}
		added, known := r.choose(group, id.arch)
		if added == nil && known {
			return more, group[0].String()
		}
		more = r.add(more, added)
	}
	if !r.recommends {
		return more, ""
	}
	before := ""
	if p := r.sys.packages[id]; p != nil {
		before = p.recommends
	}
	for _, group := range parseRelations(o.recommends) {
		if !namesAny(before, group) && !r.met(group, id.arch) {
			added, _ := r.choose(group, id.arch)
			more = r.add(more, added)
		}
	}
	return more, ""
}

// tell notes at each update the installed packages that it cannot stand beside: those that
// it breaks or conflicts with by name, and those that need what it replaces.
func (r *resolution) tell() {
	for id, p := range r.sys.packages {
		if r.candidates[id] != nil {
			continue
		}
		for _, group := range append(parseRelations(p.preDepends), parseRelations(p.depends)...) {
			for _, rel := range group {
				of := packageID{rel.name, id.arch}
				if v := r.candidates[of]; v != nil && rel.accepts(r.sys.packages[of].version) && !rel.accepts(v.text) && !r.met(group, id.arch) {
					r.clash(of, id)
				}
			}
		}
	}
	for _, chosen := range []map[packageID]*version{r.candidates, r.added} {
		for id, v := range chosen {
			for _, group := range parseRelations(v.best().breaks) {
				of := packageID{group[0].name, id.arch}
				if version, _ := r.planned(of); version != "" && of != id && group[0].accepts(version) {
					r.clash(id, of)
				}
			}
		}
	}
	for _, row := range r.rows {
		if names, ok := strings.CutPrefix(row.Reason, clashes); ok {
			list := strings.Split(names, ", ")
			slices.Sort(list)
			row.Reason = clashes + strings.Join(slices.Compact(list), ", ") + " (removed, or this is kept back)"
		}
	}
}

const clashes = "cannot stand beside "

func (r *resolution) clash(update, other packageID) {
	row := r.rows[update]
	if row.Reason == "" {
		row.Reason = clashes + other.name
	} else if strings.HasPrefix(row.Reason, clashes) {
		row.Reason += ", " + other.name
	}
}

// unlike names the package of another architecture that must have the same version and
// will not: both are marked Multi-Arch: same.
func (r *resolution) unlike(id packageID, v *version) string {
	for _, arch := range r.sys.archs {
		other := packageID{id.name, arch}
		p := r.sys.packages[other]
		if other == id || p == nil || p.multiArch != "same" || v.best().multiArch != "same" {
			continue
		}
		if version, _ := r.planned(other); version != v.text {
			return other.name + ":" + arch + " (= " + v.text + ")"
		}
	}
	return ""
}

func (r *resolution) add(more []packageID, v *version) []packageID {
	if v == nil {
		return more
	}
	id := r.sys.id(v.name, v.arch)
	r.added[id] = v
	return append(more, id)
}

// namesAny reports whether an earlier version already had one of the alternatives: apt
// does not install again what was once left out.
func namesAny(before string, group []relation) bool {
	for _, old := range parseRelations(before) {
		for _, a := range old {
			if slices.ContainsFunc(group, func(b relation) bool { return a.name == b.name }) {
				return true
			}
		}
	}
	return false
}

// met reports whether the group holds after the planned changes.
func (r *resolution) met(group []relation, arch string) bool {
	for _, rel := range group {
		for _, a := range r.sys.archs {
			id := packageID{rel.name, a}
			if version, _ := r.planned(id); version != "" && r.fits(id, rel, arch) && rel.accepts(version) {
				return true
			}
		}
		if r.provided(rel) {
			return true
		}
	}
	return false
}

// planned is the version of a package after the changes, and what it provides then.
func (r *resolution) planned(id packageID) (version, provides string) {
	if v := cmp.Or(r.candidates[id], r.added[id]); v != nil {
		return v.text, v.best().provides
	}
	if p := r.sys.packages[id]; p != nil {
		return p.version, p.provides
	}
	return "", ""
}

// fits reports whether a package of id's architecture can serve one of arch: the same,
// or marked Multi-Arch: foreign, or asked for as name:any or name:arch.
func (r *resolution) fits(id packageID, rel relation, arch string) bool {
	if rel.arch != "" {
		return rel.arch == "any" || rel.arch == id.arch
	}
	if id.arch == arch {
		return true
	}
	p := r.sys.packages[id]
	return p != nil && p.multiArch == "foreign"
}

// provided looks for a package that provides the name after the changes.
func (r *resolution) provided(rel relation) bool {
	for id := range r.sys.packages {
		if _, provides := r.planned(id); provides != "" && rel.providedBy(provides) {
			return true
		}
	}
	for _, v := range r.added {
		if rel.providedBy(v.best().provides) {
			return true
		}
	}
	return false
}

// choose picks the new package for a group. known is false as long as a name has not
// been looked for in the indexes.
func (r *resolution) choose(group []relation, arch string) (v *version, known bool) {
	known = true
	for _, rel := range group {
		if !r.looked(rel.name) {
			r.need[rel.name] = ""
			known = false
		}
	}
	if !known {
		return nil, false
	}
	for _, rel := range group {
		if v := r.newPackage(packageID{rel.name, arch}, func(v *version) bool { return rel.accepts(v.text) }); v != nil {
			return v, true
		}
		for _, name := range r.providers(rel.name) {
			if v := r.newPackage(packageID{name, arch}, func(v *version) bool { return rel.providedBy(v.best().provides) }); v != nil {
				return v, true
			}
		}
	}
	return nil, true
}

// newPackage returns the candidate of a package that is not installed, if it serves.
func (r *resolution) newPackage(id packageID, serves func(*version) bool) *version {
	if r.sys.packages[id] != nil {
		return nil
	}
	v := r.candidate(r.versions(id), func(v *version) int { return r.policy.priority(id.name, v) })
	if v == nil || !serves(v) {
		return nil
	}
	return v
}

// looked reports whether all indexes were read for the name and its providers.
func (r *resolution) looked(name string) bool {
	for _, repo := range r.repos {
		for _, x := range repo.indexes {
			if _, ok := x.virtual[name]; !ok {
				return false
			}
		}
	}
	return true
}

// providers of a virtual package, in the order of their names.
func (r *resolution) providers(name string) []string {
	var all []string
	for _, repo := range r.repos {
		for _, x := range repo.indexes {
			all = append(all, x.virtual[name]...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
