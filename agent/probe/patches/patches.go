// Package patches tells which updates wait, from the files of the package managers
// only: what is installed, their configuration and the indexes that they have fetched.
// It takes no lock, asks no server and, but for an rpm database that nothing else reads,
// runs no program.
//
// The verdict is current only with proof: every configured source has a whole index
// that was confirmed within the configured age. Otherwise it is unknown and says why.
// The updates found stand beside an unknown verdict.
//
// One file for each manager turns its files into a finding; this file weighs findings.
package patches

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// DefaultIndexMaxAge is how old the indexes may be for a verdict. apt's timer runs
// twice a day; two days allow for four missed runs in a row.
const DefaultIndexMaxAge = 48 * time.Hour

// Config sets what the verdict asks for.
type Config struct {
	IndexMaxAge time.Duration // 0: DefaultIndexMaxAge
	// InstalledRPMs lists the installed rpm packages; nil: rpm systems are not judged.
	InstalledRPMs func(context.Context, *probe.Host) ([]*facts.PackageRow, error)
}

// New returns the probe of the patch state. It keeps the last outcome of each manager
// and uses it again while none of the files it came from has changed (by time, size
// and inode), unless one of them could not be read.
func New(cfg Config) probe.Probe {
	if cfg.IndexMaxAge <= 0 {
		cfg.IndexMaxAge = DefaultIndexMaxAge
	}
	return &patches{cfg: cfg, managers: []*kept{
		{manager: apt{}},
		{manager: &rpmManager{installed: cfg.InstalledRPMs}},
		{manager: &apkManager{}},
		{manager: &pacmanManager{}},
		{manager: snapManager{}},
		{manager: flatpakManager{}},
		{manager: unjudgedManager{"portage", "/var/db/pkg"}},
		{manager: unjudgedManager{"nix", "/nix/var/nix/profiles"}},
	}}
}

type patches struct {
	cfg      Config
	managers []*kept
}

// manager is one package manager.
type manager interface {
	// found reports whether the machine uses it.
	found(h *probe.Host) bool
	// read makes a finding from its files, noting each of them.
	read(ctx context.Context, h *probe.Host) *finding
}

// kept is a manager with its last finding.
type kept struct {
	manager
	last  *finding
	whole bool // last: all files that are there could be read
}

// Info implements probe.Probe.
func (*patches) Info() probe.Info {
	return probe.Info{
		Name:     "patches",
		Sections: []facts.ID{facts.Patches, facts.PatchState, facts.Repositories, facts.PackageIndexes},
		Timeout:  time.Minute, // the first reading of a slow disk's indexes
		Watch: []string{"/var/lib/dpkg", "/var/lib/apt/lists", "/var/lib/apt/lists/partial",
			"/etc/apt", "/etc/apt/sources.list.d", "/etc/apt/preferences.d", "/run/reboot-required", "/boot",
			"/var/lib/rpm", "/usr/lib/sysimage/rpm", "/etc/dnf", "/etc/dnf/repos.override.d", "/etc/yum.repos.d", "/var/cache/dnf", "/var/cache/libdnf5",
			"/etc/zypp/repos.d", "/var/cache/zypp/raw",
			"/lib/apk/db", "/etc/apk", "/var/cache/apk", "/var/lib/pacman/local", "/var/lib/pacman/sync"},
		Locks: []string{"/var/lib/dpkg/lock-frontend", "/var/lib/apt/lists/lock", "/var/lib/rpm/.rpm.lock",
			"/usr/lib/sysimage/rpm/.rpm.lock"},
	}
}

// Collect implements probe.Probe.
func (p *patches) Collect(ctx context.Context, h *probe.Host, r *probe.Report) error {
	var found []*finding
	for _, k := range p.managers {
		if !k.found(h) {
			k.last = nil
			continue
		}
		if k.last == nil || !k.whole || !k.last.in.unchanged(h) || !k.last.until.IsZero() && !h.Now().Before(k.last.until) {
			refused := h.Refusals()
			k.last = k.read(ctx, h)
			k.last.problems = append(k.last.problems, k.last.in.problems...)
			k.whole = h.Refusals() == refused
		}
		if err := ctx.Err(); err != nil {
			k.last = nil
			return err
		}
		found = append(found, k.last)
	}
	if !slices.ContainsFunc(found, func(f *finding) bool { return f.unjudged == "" }) {
		return p.unsupported(h, found, r)
	}
	for _, f := range found {
		r.Add(facts.Patches, f.rows...)
		r.Add(facts.Repositories, f.repositories...)
		for _, x := range f.indexes {
			r.Add(facts.PackageIndexes, x.row(h))
		}
		if err := errors.Join(f.problems...); err != nil {
			r.Problem(facts.Patches, err)
			r.Problem(facts.PatchState, err) // the verdict is there and says the same: unknown
			if errors.Is(err, fs.ErrPermission) {
				r.Problem(facts.PackageIndexes, err) // what they say of their age may be missing
			}
		}
		if f.indexesProblem != nil {
			r.Problem(facts.PackageIndexes, f.indexesProblem)
		}
		if f.remark != "" {
			r.Remark(facts.Patches, f.remark)
		}
		if f.sourcesProblem != nil {
			r.Problem(facts.Repositories, f.sourcesProblem)
			r.Problem(facts.PackageIndexes, f.sourcesProblem)
		}
	}
	r.Add(facts.PatchState, p.verdict(h, found))
	return nil
}

// unsupported is the outcome where nothing can be judged. With packages that are not, the
// verdict is unknown.
func (p *patches) unsupported(h *probe.Host, found []*finding, r *probe.Report) error {
	const reason = "no package manager that can be judged"
	row := &facts.PatchStateRow{Verdict: facts.VerdictUnsupported, Reason: reason}
	if names := unjudged(found); names != "" {
		row.Verdict, row.Reason = facts.VerdictUnknown, "files do not tell the updates of "+names
	}
	row.RebootRequired, row.RebootReasons = reboot(h, nil)
	r.Add(facts.PatchState, row)
	for _, section := range []facts.ID{facts.Patches, facts.Repositories, facts.PackageIndexes} {
		r.Problem(section, fmt.Errorf("%s: %w", reason, errors.ErrUnsupported))
	}
	return nil // the verdict says so: that section is whole
}
