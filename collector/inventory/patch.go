package inventory

import (
	"fmt"
	"time"

	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
)

// Patch is the patch state of a host as it can be said now. Times are by our clock.
type Patch struct {
	// Verdict is what the host's own verdict is still worth: it turns unknown when the
	// index it rests on has become too old, or when the last reading failed.
	Verdict        string        `json:"verdict"`
	Reason         string        `json:"reason,omitempty"`
	Pending        int           `json:"pending"`
	Security       int           `json:"security"`
	IndexTime      time.Time     `json:"index_time,omitzero"` // when the package index was fetched or confirmed
	IndexAge       time.Duration `json:"-"`
	IndexMaxAge    time.Duration `json:"-"`
	RebootRequired *bool         `json:"reboot_required,omitempty"` // absent: not known
	RebootReasons  []string      `json:"reboot_reasons,omitempty"`
	ReportedAt     time.Time     `json:"reported_at,omitzero"` // the reading it rests on
}

// judge works out what a host's verdict is worth now. row is nil when there is none.
func judge(row *facts.PatchStateRow, sec Section, offset time.Duration, now time.Time) Patch {
	if row == nil {
		return Patch{Verdict: verdictWithoutRow(sec), Reason: reasonWithoutRow(sec)}
	}
	p := Patch{
		Verdict: row.Verdict, Reason: row.Reason, Pending: row.Pending, Security: row.Security,
		IndexTime: ours(row.IndexTime.Time(), offset), IndexMaxAge: time.Duration(row.IndexMaxAgeSeconds) * time.Second,
		RebootRequired: row.RebootRequired, RebootReasons: row.RebootReasons, ReportedAt: sec.KnownAt,
	}
	if !p.IndexTime.IsZero() {
		p.IndexAge = max(0, now.Sub(p.IndexTime))
	}
	if p.Verdict != facts.VerdictCurrent && p.Verdict != facts.VerdictPending {
		return p
	}
	switch {
	case sec.Status == facts.StatusStale:
		p.Verdict, p.Reason = facts.VerdictUnknown, "the last reading did not succeed: "+sec.Reason
	case p.IndexMaxAge > 0 && p.IndexTime.IsZero():
		p.Verdict, p.Reason = facts.VerdictUnknown, "the age of the package index is not known"
	case p.IndexMaxAge > 0 && p.IndexAge > p.IndexMaxAge:
		p.Verdict = facts.VerdictUnknown
		p.Reason = fmt.Sprintf("the package index is %s old, the limit is %s", span(p.IndexAge), span(p.IndexMaxAge))
	}
	return p
}

func verdictWithoutRow(sec Section) string {
	if sec.Status == facts.StatusUnsupported {
		return facts.VerdictUnsupported
	}
	return facts.VerdictUnknown
}

func reasonWithoutRow(sec Section) string {
	switch {
	case sec.Status == facts.StatusUnknown:
		return "not reported yet"
	case sec.Reason == "":
		return "the reading is " + sec.Status.String()
	}
	return sec.Status.String() + ": " + sec.Reason
}

// span writes a duration for people, in the two largest units.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= 2*day:
		return fmt.Sprintf("%d days", d/day)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	}
	return fmt.Sprintf("%d seconds", d/time.Second)
}

// PatchQuery selects hosts by patch state; empty fields select all.
type PatchQuery struct {
	Host     string // part of the name, any case
	Tag      string
	Verdict  string // the verdict as it is now
	Security bool   // only hosts with pending security updates
	Reboot   bool   // only hosts that need a reboot
	After    identity.HostID
	Limit    int // 0: all
}

// PatchHost is the patch state of one host.
type PatchHost struct {
	Host     HostRef   `json:"host"`
	OSName   string    `json:"os_name,omitempty"`
	LastSeen time.Time `json:"last_seen,omitzero"`
	Patch
}

// Patches returns the patch state of the fleet in the order of host ids; more tells
// that there are others behind.
func (v *View) Patches(q PatchQuery) (out []PatchHost, more bool, err error) {
	now := v.store.Now()
	hq := HostQuery{Name: q.Host, Tag: q.Tag}
	err = v.store.View(func(tx *store.Tx) error {
		return tx.HostsFrom(q.After, func(sh store.Host) error {
			if sh.ID == q.After || !hq.fitsStored(sh) {
				return nil
			}
			h, err := readHost(tx, sh, now)
			if err != nil || !q.fits(h.Patch) {
				return err
			}
			if q.Limit > 0 && len(out) == q.Limit {
				more = true
				return store.ErrStop
			}
			out = append(out, PatchHost{HostRef{h.ID, h.Name}, h.OSName, h.LastSeen, h.Patch})
			return nil
		})
	})
	return out, more, err
}

func (q PatchQuery) fits(p Patch) bool {
	return (q.Verdict == "" || p.Verdict == q.Verdict) && (!q.Security || p.Security > 0) &&
		(!q.Reboot || p.RebootRequired != nil && *p.RebootRequired)
}
