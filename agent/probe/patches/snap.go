package patches

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

const snapState = "/var/lib/snapd/state.json"

// snapManager judges snaps by snapd's own state: it asks the store several times a day,
// and notes which refreshes it has found.
type snapManager struct{}

func (snapManager) found(h *probe.Host) bool { return anyThere(h, []string{snapState}) }

// snapData is what is read of snapd's state (overlord/snapstate).
type snapData struct {
	Data struct {
		Snaps map[string]struct {
			Current json.RawMessage `json:"current"`
			Channel string          `json:"channel"`
		} `json:"snaps"`
		Candidates map[string]struct {
			SideInfo  snapSide `json:"side-info"`
			SnapSetup struct {
				SideInfo snapSide `json:"side-info"`
			} `json:"snap-setup"`
		} `json:"refresh-candidates"`
		// Holds has for each snap who holds it: system, or another snap.
		Holds map[string]map[string]struct {
			Until string `json:"hold-until"`
		} `json:"snaps-hold"`
		LastRefresh time.Time `json:"last-refresh"`
		LastHints   time.Time `json:"last-refresh-hints"`
		Config      struct {
			Core struct {
				Refresh struct {
					Hold string `json:"hold"`
				} `json:"refresh"`
			} `json:"core"`
		} `json:"config"`
	} `json:"data"`
}

type snapSide struct {
	Revision json.RawMessage `json:"revision"` // a number, in older states a string
}

func (snapManager) read(_ context.Context, h *probe.Host) *finding {
	f := newFinding()
	data, err := f.in.read(h, snapState)
	var rows []facts.Row
	var at time.Time
	if err == nil {
		rows, at, f.until, err = parseSnapState(data, h.Now())
	}
	if err != nil {
		f.problem("%s: %w", snapState, err)
	}
	f.rows = rows
	f.repositories = []facts.Row{&facts.RepositoryRow{Manager: "snap", ID: "store", Kind: "snap", URI: "https://api.snapcraft.io", Enabled: true, Signing: "packages"}}
	f.indexes = []*indexState{{PackageIndexRow: facts.PackageIndexRow{Manager: "snap", Repository: "store", Time: facts.TimeOf(at), File: snapState}}}
	return f
}

// parseSnapState returns the updates, when snapd asked for them, and when the first hold
// ends.
func parseSnapState(data []byte, now time.Time) (rows []facts.Row, asked, until time.Time, err error) {
	var s snapData
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, asked, until, err
	}
	for _, name := range slices.Sorted(maps.Keys(s.Data.Candidates)) {
		c, installed := s.Data.Candidates[name], s.Data.Snaps[name]
		to := first(revision(c.SideInfo.Revision), revision(c.SnapSetup.SideInfo.Revision))
		from := revision(installed.Current)
		if from == "" || to == "" || from == to {
			continue // refreshed or removed since
		}
		row := &facts.PatchRow{Name: name, Installed: from, Candidate: to, Origin: installed.Channel, State: statePending, Source: "snap"}
		for _, hold := range s.holds(name) {
			end, err := time.Parse(time.RFC3339, hold)
			if hold == "" || err == nil && !end.After(now) {
				continue // ended: it holds nothing
			}
			row.State, row.Reason = stateHeld, "refreshes are on hold until "+hold
			if err == nil && (until.IsZero() || end.Before(until)) {
				until = end
			}
		}
		rows = append(rows, row)
	}
	asked = later(s.Data.LastRefresh, s.Data.LastHints)
	if asked.IsZero() {
		err = fmt.Errorf("snapd has not asked the store yet")
	}
	return rows, asked, until, err
}

// holds are the ends of what holds a snap: a moment, or "forever".
func (s *snapData) holds(name string) []string {
	ends := []string{s.Data.Config.Core.Refresh.Hold}
	for _, holder := range slices.Sorted(maps.Keys(s.Data.Holds[name])) {
		ends = append(ends, s.Data.Holds[name][holder].Until)
	}
	return ends
}

// revision reads a revision, which may be a number or text.
func revision(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var number json.Number
	if json.Unmarshal(raw, &number) == nil {
		return number.String()
	}
	return ""
}
