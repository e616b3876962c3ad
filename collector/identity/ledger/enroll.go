package ledger

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"atalaya/collector/identity"
	"atalaya/collector/store"
	hostid "atalaya/shared/identity"
)

// Newcomer is a machine that enrols with a key that is not known.
type Newcomer struct {
	ID       hostid.HostID // that it gets unless it is a host that is known
	Key      [32]byte      // hash of its public key
	Hostname string
	Address  string
	Facts    []hostid.Fact
	At       time.Time
	// Connected reports whether a host has a session now: a machine that is in use was
	// not installed anew.
	Connected func(hostid.HostID) bool
}

// Known is the host that a newcomer is.
type Known struct {
	Host    store.Host
	Verdict identity.Verdict
}

// Find looks for the host that a newcomer was before it was installed anew; false: it
// is none. Of several the one for which most speaks.
func Find(tx *store.Tx, n Newcomer) (best Known, found bool, err error) {
	err = eachAlike(tx, n, func(k Known) {
		if k.Verdict.Refuse || n.Connected(k.Host.ID) {
			return
		}
		if !found || k.Verdict.For-k.Verdict.Against > best.Verdict.For-best.Verdict.Against {
			best, found = k, true
		}
	})
	return best, found, err
}

// eachAlike calls fn for the hosts with which a newcomer shares a fact of its hardware or
// its installation: a machine whose firmware tells nothing has no other.
func eachAlike(tx *store.Tx, n Newcomer, fn func(Known)) error {
	junk := judge(tx)
	var seen []hostid.HostID
	for _, f := range n.Facts {
		if junk(f) != "" {
			continue
		}
		ids, err := sharers(tx, f)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if slices.Contains(seen, id) {
				continue
			}
			seen = append(seen, id)
			r, err := Record(tx, id)
			if err != nil {
				return err
			}
			h, ok, err := tx.Host(id)
			if err != nil {
				return err
			}
			if !ok || LeftByMerge(h) {
				continue
			}
			fn(Known{h, identity.SameMachine(r.Facts, n.Facts, junk)})
		}
	}
	return nil
}

// Enrolled notes a new host, and of which others it has facts without being them.
func Enrolled(tx *store.Tx, n Newcomer) error {
	var alike []string
	var lines []identity.Line
	err := eachAlike(tx, n, func(k Known) {
		why := k.Verdict.Text
		if !k.Verdict.Refuse {
			why = "it is connected now, so this is another system on the same machine"
		}
		alike, lines = append(alike, fmt.Sprintf("%s (%s): %s", k.Host.Name, k.Host.ID, why)), k.Verdict.Lines
	})
	if err != nil {
		return err
	}
	e := identity.Event{At: n.At, Kind: identity.Enrolled, Text: "a host of its own: new key, and no known host has a fact of its hardware or its installation", Lines: identity.Compare(nil, n.Facts, judge(tx)).Lines}
	if len(alike) > 0 {
		e.Kind, e.Lines = identity.LookAlike, lines
		e.Text = "a host of its own, although it looks like " + strings.Join(alike[:min(len(alike), 3)], "; like ") + ". If they are one: `atalaya host merge`"
	}
	return change(tx, n.ID, func(r *identity.Record) { r.Join(n.Facts, e) })
}

// Join makes a newcomer the host that it was. Its key becomes one of the host's by the
// caller; what is needed to undo that is kept as a merge.
func Join(tx *store.Tx, n Newcomer, k Known) error {
	kind, removed := k.Verdict.Kind, !k.Host.RemovedAt.IsZero()
	if removed {
		kind = identity.CameBack
		if err := tx.ReviveHost(k.Host.ID, n.At); err != nil {
			return err
		}
	}
	m := Merge{Kind: kind, At: n.At, Keep: k.Host.ID, Other: n.ID, Key: n.Key[:], Name: n.Hostname}
	if err := m.save(tx, k.Host, &m.Kept); err != nil {
		return err
	}
	if err := m.number(tx); err != nil {
		return err
	}
	text := k.Verdict.Text
	if removed {
		text = fmt.Sprintf("the host was removed at %s (%s) and enrolled again: %s", k.Host.RemovedAt.UTC().Format(time.DateTime), orNone(k.Host.RemovedWhy), text)
	}
	text += ". Its history goes on"
	return change(tx, k.Host.ID, func(r *identity.Record) {
		r.Join(n.Facts, identity.Event{At: n.At, Kind: kind, Text: text, Lines: k.Verdict.Lines, Merge: m.Number})
	})
}

func orNone(s string) string {
	if s == "" {
		return "no reason given"
	}
	return s
}
