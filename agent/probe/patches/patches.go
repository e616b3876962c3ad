// Package patches tells which updates wait on apt systems, from files only: dpkg's
// status, apt's lists, sources, preferences and configuration. It never takes a lock,
// runs no program and asks no server.
//
// The verdict is current only with proof: every configured source has a whole index
// that apt has confirmed within the configured age. Otherwise it is unknown and says
// why. The updates found stand beside an unknown verdict.
//
// Other package systems are unsupported.
package patches

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
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
}

// New returns the probe of the patch state. It keeps what it extracted from each index
// and the last outcome, and uses them again while none of the files they came from has
// changed (by time, size and inode).
func New(cfg Config) probe.Probe {
	if cfg.IndexMaxAge <= 0 {
		cfg.IndexMaxAge = DefaultIndexMaxAge
	}
	return &patches{cfg: cfg, indexes: make(map[string]*index)}
}

type patches struct {
	cfg     Config
	indexes map[string]*index // by file
	last    *outcome
}

// outcome is what the files say; time alone does not change it.
type outcome struct {
	in       *inputs
	sys      *system
	repos    []*repository
	rows     []facts.Row
	problems []error // what is missing for a verdict
	pending  int
	security int
	waiting  int // held or pinned
}

// Info implements probe.Probe.
func (*patches) Info() probe.Info {
	return probe.Info{
		Name:     "patches",
		Sections: []facts.ID{facts.Patches, facts.PatchState},
		Timeout:  time.Minute, // the first reading of a slow disk's indexes
		Watch: []string{"/var/lib/dpkg", "/var/lib/apt/lists", "/var/lib/apt/lists/partial",
			"/etc/apt", "/etc/apt/sources.list.d", "/etc/apt/preferences.d", "/run/reboot-required", "/boot"},
		Locks: []string{"/var/lib/dpkg/lock-frontend", "/var/lib/apt/lists/lock"},
	}
}

// Collect implements probe.Probe.
func (p *patches) Collect(ctx context.Context, h *probe.Host, r *probe.Report) error {
	if !aptFound(h) {
		r.Problem(facts.Patches, fmt.Errorf("only apt systems are judged: %w", errors.ErrUnsupported))
		row := &facts.PatchStateRow{Verdict: facts.VerdictUnsupported, Reason: "only apt systems are judged"}
		row.RebootRequired, row.RebootReasons = reboot(h, nil)
		r.Add(facts.PatchState, row)
		return nil
	}
	if p.last == nil || !p.last.in.unchanged(h) {
		p.last = p.compute(ctx, h)
	}
	out := p.last
	if err := ctx.Err(); err != nil {
		p.last = nil
		return err
	}
	r.Add(facts.Patches, out.rows...)
	if err := errors.Join(out.problems...); err != nil {
		r.Problem(facts.Patches, err)
	}
	r.Add(facts.PatchState, p.verdict(h, out))
	return nil
}

// aptFound looks for dpkg's status file and apt's folders: images without apt cannot be
// patched, only replaced.
func aptFound(h *probe.Host) bool {
	for _, name := range []string{statusFile, "/etc/apt"} {
		if _, err := h.Stat(name); notThere(err) {
			return false
		}
	}
	return true
}

// compute reads everything and solves.
func (p *patches) compute(ctx context.Context, h *probe.Host) *outcome {
	out := &outcome{in: newInputs()}
	s, err := p.prepare(ctx, h, out)
	if err == nil {
		err = s.solve(ctx, h)
	}
	if err != nil {
		out.problems = append(out.problems, err)
	}
	if s == nil {
		return out
	}
	for _, id := range slices.SortedFunc(maps.Keys(s.rows), comparePackages) {
		row := s.rows[id]
		out.rows = append(out.rows, row)
		switch row.State {
		case statePending:
			out.pending++
			if row.Security {
				out.security++
			}
		case stateHeld, statePinned:
			out.waiting++
		}
	}
	return out
}

// prepare reads the system, the configuration and the indexes.
func (p *patches) prepare(ctx context.Context, h *probe.Host, out *outcome) (*solver, error) {
	sys, err := readSystem(ctx, h, out.in)
	if err != nil {
		return nil, err
	}
	out.sys = sys
	conf, err := readAptConf(h, out.in)
	if err != nil {
		return nil, err
	}
	if archs := conf["apt::architectures"]; len(archs) > 0 {
		sys.archs = archs
	}
	policy, err := readPolicy(h, out.in, conf)
	if err != nil {
		return nil, err
	}
	sources, err := readSources(h, out.in, sys.native)
	if err != nil {
		out.problems = append(out.problems, err)
	}
	if len(sources) == 0 {
		out.problems = append(out.problems, errors.New("no package source is configured"))
	}
	s := &solver{sys: sys, policy: policy, recommends: conf.on("APT::Install-Recommends", true)}
	s.phasing, s.machineID = phasingOf(h, out.in, conf)
	names := make(want, len(sys.packages))
	for id, pkg := range sys.packages {
		if old, ok := names[id.name]; !ok || newer(old, pkg.version) {
			names[id.name] = pkg.version // the lowest, where several architectures differ
		}
	}
	p.open(ctx, h, out, sources, names)
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
func (p *patches) open(ctx context.Context, h *probe.Host, out *outcome, sources []source, names want) {
	used := make(map[string]*index)
	out.in.note(h, listsDir)
	for _, src := range sources {
		rel, err := readRelease(h, out.in, src)
		if err != nil {
			out.problems = append(out.problems, err)
			continue
		}
		repo := &repository{release: rel}
		for _, component := range src.components {
			for _, arch := range append(src.architectures(out.sys.archs), "all") {
				p.openIndex(ctx, h, out, repo, component, arch, names, used)
				if src.flat() {
					break
				}
			}
		}
		if rel.file == "" && len(repo.indexes) == 0 {
			out.problems = append(out.problems, fmt.Errorf("no index of source %q (run `apt-get update`)", src.name()))
		}
		out.repos = append(out.repos, repo)
	}
	p.indexes = used
}

func (p *patches) openIndex(ctx context.Context, h *probe.Host, out *outcome, repo *repository,
	component, arch string, names want, used map[string]*index) {
	src := repo.release.source
	path := src.indexPath(component, arch)
	size, offered := repo.release.offers(path, arch)
	if arch == "all" && repo.release.noAll || repo.release.file != "" && !offered || size == 0 {
		return
	}
	file := ""
	for _, ext := range indexExtensions {
		if name := src.index(component, arch) + ext; file == "" && out.in.exists(h, name) {
			file = name
		}
	}
	switch {
	case file == "" && repo.release.file == "":
		return // told once for the source
	case file == "":
		out.problems = append(out.problems, fmt.Errorf("index %s of source %q is missing (run `apt-get update`)", path, src.name()))
		return
	case used[file] != nil: // listed twice
		return
	}
	x := p.indexes[file]
	if x == nil {
		x = &index{file: file}
	}
	if err := x.ensure(ctx, h, names, false, size); err != nil {
		out.problems = append(out.problems, err)
		return
	}
	used[file] = x
	repo.indexes = append(repo.indexes, repositoryIndex{index: x, component: component, size: size})
}

// verdict weighs the outcome at this moment.
func (p *patches) verdict(h *probe.Host, out *outcome) *facts.PatchStateRow {
	row := &facts.PatchStateRow{
		IndexMaxAgeSeconds: int64(p.cfg.IndexMaxAge / time.Second),
		Pending:            out.pending, Security: out.security,
	}
	row.RebootRequired, row.RebootReasons = reboot(h, out.sys)
	confirmed, doubts := p.freshness(h, out)
	row.IndexTime = facts.TimeOf(confirmed)
	for _, err := range out.problems {
		doubts = append(doubts, err.Error())
	}
	end := supportEnd(h)
	switch {
	case len(doubts) > 0:
		row.Verdict, row.Reason = facts.VerdictUnknown, strings.Join(doubts, "; ")
	case out.pending > 0:
		row.Verdict, row.Reason = facts.VerdictPending, end
	case out.waiting > 0:
		row.Verdict, row.Reason = facts.VerdictPending, fmt.Sprintf("%d updates are held back or pinned", out.waiting)
	case end != "":
		row.Verdict, row.Reason = facts.VerdictUnknown, end
	default:
		row.Verdict = facts.VerdictCurrent
	}
	return row
}

// freshness returns when the oldest of the indexes was confirmed, and what speaks
// against relying on them now.
func (p *patches) freshness(h *probe.Host, out *outcome) (oldest time.Time, doubts []string) {
	now := h.Now()
	var name string
	for _, repo := range out.repos {
		rel := repo.release
		if until := rel.validUntil; !until.IsZero() && until.Before(now) {
			doubts = append(doubts, fmt.Sprintf("index of %q was valid until %s", rel.source.name(), until.Format(time.DateTime)))
		}
		at := time.Time{}
		if rel.file != "" {
			at = rel.confirmed(h)
		} else if len(repo.indexes) > 0 {
			at = modTime(h.Stat(repo.indexes[0].file))
		}
		if at.IsZero() {
			continue // missing: named as a problem
		}
		if oldest.IsZero() || at.Before(oldest) {
			oldest, name = at, rel.source.name()
		}
	}
	age := now.Sub(oldest)
	switch {
	case oldest.IsZero():
	case age > p.cfg.IndexMaxAge:
		doubts = append(doubts, fmt.Sprintf("index of %q is %s old, limit %s", name, days(age), days(p.cfg.IndexMaxAge)))
	case age < -clockTolerance:
		doubts = append(doubts, fmt.Sprintf("index of %q is dated %s ahead: the clock is wrong", name, days(-age)))
	}
	return oldest, doubts
}

// clockTolerance is how far ahead of the clock an index may be dated: servers' clocks
// differ a little.
const clockTolerance = time.Hour

func days(d time.Duration) string {
	if d < 48*time.Hour {
		return fmt.Sprintf("%d hours", int(d.Round(time.Hour)/time.Hour))
	}
	return fmt.Sprintf("%d days", int(d/(24*time.Hour)))
}

// supportEnd is why nothing new can be expected of this release: os-release(5) names
// the last day of support.
func supportEnd(h *probe.Host) string {
	for _, name := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		data, err := h.ReadFile(name)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			value, ok := strings.CutPrefix(strings.TrimSpace(line), "SUPPORT_END=")
			if !ok {
				continue
			}
			end, err := time.Parse(time.DateOnly, strings.Trim(value, `"'`))
			if err == nil && h.Now().After(end.Add(24*time.Hour)) {
				return "support of this release ended on " + end.Format(time.DateOnly)
			}
		}
		return ""
	}
	return ""
}
