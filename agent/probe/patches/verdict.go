package patches

import (
	"context"
	"fmt"
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// finding is what the files of one package manager say. Time alone does not change it before until.
type finding struct {
	in             *inputs
	rows           []facts.Row // updates
	repositories   []facts.Row
	indexes        []*indexState
	problems       []error   // what is missing for a verdict
	gaps           []string  // why nothing pending would not prove that all is current
	unchecked      []string  // sources whose signature nothing asks for
	unjudged       string    // what the verdict does not cover, "" in most
	remark         string    // what is not known of complete rows
	indexesProblem error     // why the indexes were not looked at
	sourcesProblem error     // what is missing among the configured sources
	until          time.Time // when it must be read again though no file changed; zero: never
	// rebootReasons tells what the manager knows beyond the kernel and the programs
	// that run; nil: nothing.
	rebootReasons func(h *probe.Host) []string
}

func newFinding() *finding { return &finding{in: newInputs()} }

func (f *finding) problem(format string, args ...any) {
	f.problems = append(f.problems, fmt.Errorf(format, args...))
}

// indexState is what is known of one index.
type indexState struct {
	facts.PackageIndexRow
	// confirmed tells, where that can change without the files, when the index was last
	// fetched or confirmed, and what speaks against it now. nil: as the row has it.
	confirmed func(h *probe.Host) (at time.Time, doubt string)
}

// row is the index at this moment.
func (x *indexState) row(h *probe.Host) *facts.PackageIndexRow {
	row := x.PackageIndexRow
	if x.confirmed != nil {
		at, doubt := x.confirmed(h)
		row.Time = facts.TimeOf(at)
		row.Error = joined(row.Error, doubt)
	}
	return &row
}

func joined(parts ...string) string {
	return strings.Join(filter(parts, func(s string) bool { return s != "" }), "; ")
}

// verdict weighs the findings at this moment.
func (p *patches) verdict(h *probe.Host, found []*finding) *facts.PatchStateRow {
	row := &facts.PatchStateRow{IndexMaxAgeSeconds: int64(p.cfg.IndexMaxAge / time.Second)}
	row.RebootRequired, row.RebootReasons = reboot(h, found)
	waiting := count(row, found)
	confirmed, doubts := p.freshness(h, found)
	row.IndexTime = facts.TimeOf(confirmed)
	for _, f := range found {
		for _, err := range f.problems {
			doubts = append(doubts, err.Error())
		}
	}
	gaps := supportDoubt(h, found)
	for _, f := range found {
		gaps = joined(append([]string{gaps}, f.gaps...)...)
	}
	row.Reason = unsignedSources(found)
	if names := unjudged(found); names != "" {
		row.Reason = joined(row.Reason, "without "+names+", whose updates files do not tell")
	}
	switch {
	case len(doubts) > 0:
		row.Verdict, row.Reason = facts.VerdictUnknown, joined(append(doubts, gaps, row.Reason)...)
	case row.Pending > 0:
		row.Verdict, row.Reason = facts.VerdictPending, joined(gaps, row.Reason)
	case waiting > 0:
		row.Verdict, row.Reason = facts.VerdictPending, joined(held(waiting), gaps, row.Reason)
	case gaps != "":
		row.Verdict, row.Reason = facts.VerdictUnknown, joined(gaps, row.Reason)
	default:
		row.Verdict = facts.VerdictCurrent
	}
	return row
}

// unjudged names what the verdict does not cover.
func unjudged(found []*finding) string {
	var names []string
	for _, f := range found {
		if f.unjudged != "" {
			names = append(names, f.unjudged)
		}
	}
	return strings.Join(names, " and ")
}

// unjudgedManager is one whose updates only the program itself finds out: portage by
// solving what its tree and its configuration ask for, nix by building its expressions.
type unjudgedManager struct{ name, dir string }

func (m unjudgedManager) found(h *probe.Host) bool {
	entries, _ := h.ReadDir(m.dir)
	return len(entries) > 0
}

func (m unjudgedManager) read(context.Context, *probe.Host) *finding {
	f := newFinding()
	f.unjudged = "packages of " + m.name
	return f
}

// count fills in how many updates wait, and returns how many are kept from it.
func count(row *facts.PatchStateRow, found []*finding) (waiting int) {
	for _, f := range found {
		for _, r := range f.rows {
			switch update := r.(*facts.PatchRow); update.State {
			case statePending:
				row.Pending++
				if update.Security {
					row.Security++
				}
			case stateHeld, statePinned:
				waiting++
			}
		}
	}
	return waiting
}

// freshness returns when the oldest of the indexes was confirmed, and what speaks
// against relying on them now.
func (p *patches) freshness(h *probe.Host, found []*finding) (oldest time.Time, doubts []string) {
	now := h.Now()
	var name string
	for _, f := range found {
		for _, x := range f.indexes {
			if f.unjudged != "" {
				break
			}
			row := x.row(h)
			if until := row.ValidUntil.Time(); !until.IsZero() && until.Before(now) {
				doubts = append(doubts, fmt.Sprintf("index of %q was valid until %s", row.Repository, until.Format(time.DateTime)))
			}
			at := row.Time.Time()
			if at.IsZero() {
				continue // missing: named as a problem
			}
			if ahead := at.Sub(now); ahead > clockTolerance {
				doubts = append(doubts, fmt.Sprintf("index of %q is dated %s ahead: the clock is wrong", row.Repository, days(ahead)))
			}
			if oldest.IsZero() || at.Before(oldest) {
				oldest, name = at, row.Repository
			}
		}
	}
	if age := now.Sub(oldest); !oldest.IsZero() && age > p.cfg.IndexMaxAge {
		doubts = append(doubts, fmt.Sprintf("index of %q is %s old, limit %s", name, days(age), days(p.cfg.IndexMaxAge)))
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

func held(updates int) string {
	if updates == 1 {
		return "1 update is held back or pinned"
	}
	return fmt.Sprintf("%d updates are held back or pinned", updates)
}
