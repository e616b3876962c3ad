package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"atalaya/collector/identity"
	"atalaya/collector/store"
	hostid "atalaya/shared/identity"
)

// mergedWhy begins the reason of the tombstone of a host that was merged into another.
const mergedWhy = "merged into "

// What a caller may have to tell a person.
var (
	// ErrNotMerged: there is no merge of that host that was not undone.
	ErrNotMerged = errors.New("nothing was merged into this host that is not undone already")
	// ErrCannotMerge: the two cannot be one.
	ErrCannotMerge = errors.New("cannot be merged")
)

// Merge tells that two hosts are one: Other is part of Keep. It holds what both were
// just before.
type Merge struct {
	Number uint64        `json:"number"`
	Kind   identity.Kind `json:"kind"` // merged, or what the collector decided: reimaged, reinstalled, came-back
	At     time.Time     `json:"at"`
	By     string        `json:"by,omitempty"` // empty: the collector
	Keep   hostid.HostID `json:"keep"`
	Other  hostid.HostID `json:"other"`
	After  uint64        `json:"after"`         // number of the last change before
	Name   string        `json:"name"`          // of Other
	Key    []byte        `json:"key,omitempty"` // hash of the key that came to Keep, when Other was never a host of its own
	Undone time.Time     `json:"undone,omitzero"`
	Kept   Before        `json:"kept"`
	Gone   Before        `json:"gone"`
}

// Before is what a host was before a merge.
type Before struct {
	Host   json.RawMessage      `json:"host,omitempty"` // store.Host
	States []store.SectionState `json:"states,omitempty"`
	Facts  []hostid.Fact        `json:"facts,omitempty"`
}

// save keeps what a host is now.
func (m *Merge) save(tx *store.Tx, h store.Host, b *Before) (err error) {
	if b.Host, err = json.Marshal(h); err != nil {
		return err
	}
	if b.States, err = tx.Sections(h.ID); err != nil {
		return err
	}
	r, err := Record(tx, h.ID)
	b.Facts = r.Facts
	return err
}

// number gives the merge its number and writes it.
func (m *Merge) number(tx *store.Tx) (err error) {
	if m.After, err = tx.LastChange(); err != nil {
		return err
	}
	m.Number = 1
	err = tx.Table(tableMerges).ScanReverse(nil, nil, func(k, _ []byte) error {
		m.Number = mergeNumber(k) + 1
		return store.ErrStop
	})
	if err != nil {
		return err
	}
	return write(tx, tableMerges, mergeKey(m.Number), m)
}

// Merges returns the merges in which a host is kept or gone, oldest first.
func Merges(tx *store.Tx, id hostid.HostID) (out []Merge, err error) {
	err = tx.Table(tableMerges).Scan(nil, func(k, v []byte) error {
		var m Merge
		if err := json.Unmarshal(v, &m); err != nil {
			return &store.CorruptError{Table: tableMerges, Key: slices.Clone(k), Detail: err.Error()}
		}
		if m.Keep == id || m.Other == id {
			out = append(out, m)
		}
		return nil
	})
	return out, err
}

// MergedInto returns the host of which another is part; false: of none.
func MergedInto(tx *store.Tx, id hostid.HostID) (keep hostid.HostID, merged bool, err error) {
	merges, err := Merges(tx, id)
	for _, m := range merges {
		if m.Other == id && m.Undone.IsZero() {
			keep, merged = m.Keep, true
		}
	}
	return keep, merged, err
}

// Part is a host whose history is part of another's, until it was merged into it.
type Part struct {
	Host  hostid.HostID
	Until time.Time // zero: it is the host itself
}

// Parts returns the hosts whose history is part of that of a host: itself, and those
// that were merged into it and into them.
func Parts(tx *store.Tx, id hostid.HostID) ([]Part, error) {
	parts := []Part{{Host: id}}
	for i := 0; i < len(parts); i++ {
		merges, err := Merges(tx, parts[i].Host)
		if err != nil {
			return nil, err
		}
		for _, m := range merges {
			known := slices.ContainsFunc(parts, func(p Part) bool { return p.Host == m.Other })
			if m.Keep == parts[i].Host && m.Undone.IsZero() && m.Key == nil && !known {
				parts = append(parts, Part{m.Other, m.At.Truncate(time.Millisecond)}) // as moments in the log
			}
		}
	}
	return parts, nil
}

// Proposal is what a merge would do.
type Proposal struct {
	Keep, Other store.Host
	Verdict     identity.Verdict
	FactsOf     hostid.HostID // whose present facts the merged host has: who was seen last of those that have any
	Has, Gives  Size          // what Keep and Other report now
}

// Size counts facts.
type Size struct{ Sections, Rows int }

func sizeOf(states []store.SectionState) (s Size) {
	for _, st := range states {
		s.Sections++
		s.Rows += st.Rows
	}
	return s
}

// Propose says what merging other into keep would do; connected says who has a session.
// Two that are connected are two: that is ErrCannotMerge.
func Propose(tx *store.Tx, keep, other store.Host, connected func(hostid.HostID) bool) (p Proposal, err error) {
	switch {
	case keep.ID == other.ID:
		return p, fmt.Errorf("%w: they are the same host", ErrCannotMerge)
	case !keep.RemovedAt.IsZero():
		return p, fmt.Errorf("%w: %s was removed; revive it first", ErrCannotMerge, keep.Name)
	case connected(keep.ID) && connected(other.ID):
		return p, fmt.Errorf("%w: both are connected now, so they are two machines", ErrCannotMerge)
	}
	kept, err1 := Record(tx, keep.ID)
	gone, err2 := Record(tx, other.ID)
	if err := errors.Join(err1, err2); err != nil {
		return p, err
	}
	p = Proposal{Keep: keep, Other: other, Verdict: identity.SameMachine(kept.Facts, gone.Facts, judge(tx)), FactsOf: keep.ID}
	has, err1 := tx.Sections(keep.ID)
	gives, err2 := tx.Sections(other.ID)
	p.Has, p.Gives = sizeOf(has), sizeOf(gives)
	later := other.LastSeen.After(keep.LastSeen)
	if other.RemovedAt.IsZero() && (len(has) == 0 || later) && (len(gives) > 0 || later && len(has) == 0) {
		p.FactsOf = other.ID
	}
	return p, errors.Join(err1, err2)
}

// Apply merges the two hosts of a proposal. The keys of the one that goes become the
// other's by the caller.
func Apply(tx *store.Tx, p Proposal, by string, at time.Time) (m Merge, err error) {
	m = Merge{Kind: identity.Merged, At: at, By: by, Keep: p.Keep.ID, Other: p.Other.ID, Name: p.Other.Name}
	if err := errors.Join(m.save(tx, p.Keep, &m.Kept), m.save(tx, p.Other, &m.Gone)); err != nil {
		return m, err
	}
	if err := m.number(tx); err != nil {
		return m, err
	}
	facts := m.Kept.Facts
	if p.FactsOf == m.Other {
		if err := m.assume(tx, p); err != nil {
			return m, err
		}
		facts = m.Gone.Facts
	}
	if p.Other.RemovedAt.IsZero() {
		if err := tx.RemoveHost(m.Other, at, mergedWhy+m.Keep.String()); err != nil {
			return m, err
		}
	}
	text := fmt.Sprintf("%s (%s) was merged into it: %s", p.Other.Name, m.Other, p.Verdict.Text)
	err = change(tx, m.Keep, func(r *identity.Record) {
		r.Facts, r.Runs, r.Epochs, r.Boards = facts, nil, nil, nil
		r.Add(identity.Event{At: at, Kind: identity.Merged, By: by, Text: text, Lines: p.Verdict.Lines, Merge: m.Number})
	})
	if err != nil {
		return m, err
	}
	return m, change(tx, m.Other, func(r *identity.Record) {
		r.Facts = nil
		r.Add(identity.Event{At: at, Kind: identity.Merged, By: by, Text: mergedWhy + p.Keep.Name + " (" + m.Keep.String() + ")", Merge: m.Number})
	})
}

// assume gives the kept host what the one that goes reports: it is the same machine,
// and was seen last.
func (m *Merge) assume(tx *store.Tx, p Proposal) error {
	as := store.Assumption{Host: m.Keep, From: m.Other, After: m.After, States: m.Gone.States}
	if err := tx.AssumeFacts(as, m.At); err != nil {
		return err
	}
	h := p.Other
	h.ID, h.Tags, h.EnrolledAt = m.Keep, p.Keep.Tags, p.Keep.EnrolledAt
	return tx.PutHost(h)
}

// Last returns the newest merge into a host that is not undone.
func Last(tx *store.Tx, id hostid.HostID) (Merge, error) {
	merges, err := Merges(tx, id)
	if err != nil {
		return Merge{}, err
	}
	for _, m := range slices.Backward(merges) {
		if m.Keep == id && m.Undone.IsZero() {
			return m, nil
		}
	}
	return Merge{}, ErrNotMerged
}

// Undo takes a merge back: both hosts are what they were just before it. What came in
// between stays in the history of the one that was kept. The keys go back by the caller.
func Undo(tx *store.Tx, m Merge, by string, at time.Time) error {
	now, err := Record(tx, m.Keep)
	if err != nil {
		return err
	}
	is, _, err := tx.Host(m.Keep)
	if err != nil {
		return err
	}
	if err := m.Kept.restore(tx, m.Keep, m.After, at); err != nil {
		return err
	}
	if m.Key != nil { // Other was never a host of its own: it becomes one
		m.Name = is.Name
		if err := tx.PutHost(store.Host{ID: m.Other, Name: m.Name, EnrolledAt: m.At}); err != nil {
			return err
		}
		m.Gone.Facts = now.Facts
	} else if err := m.Gone.restore(tx, m.Other, m.After, at); err != nil {
		return err
	}
	back := func(id hostid.HostID, facts []hostid.Fact, text string) error {
		return change(tx, id, func(r *identity.Record) {
			r.Facts, r.Runs, r.Epochs, r.Boards = facts, nil, nil, nil
			r.Add(identity.Event{At: at, Kind: identity.Unmerged, By: by, Text: text, Merge: m.Number})
		})
	}
	if err := back(m.Keep, m.Kept.Facts, fmt.Sprintf("merge %d (%s at %s) was undone: %s (%s) is a host of its own, and this one what it was before", m.Number, m.Kind, m.At.UTC().Format(time.DateTime), m.Name, m.Other)); err != nil {
		return err
	}
	if err := back(m.Other, m.Gone.Facts, fmt.Sprintf("merge %d into %s was undone: a host of its own", m.Number, m.Keep)); err != nil {
		return err
	}
	m.Undone = at
	return write(tx, tableMerges, mergeKey(m.Number), m)
}

// restore makes a host what it was before a merge.
func (b *Before) restore(tx *store.Tx, id hostid.HostID, after uint64, at time.Time) error {
	var h store.Host
	if err := json.Unmarshal(b.Host, &h); err != nil {
		return fmt.Errorf("host %s before the merge: %w", id, err)
	}
	if !h.RemovedAt.IsZero() {
		is, _, err := tx.Host(id)
		if err != nil || !is.RemovedAt.IsZero() {
			return err
		}
		return tx.RemoveHost(id, at, h.RemovedWhy)
	}
	if err := tx.ReviveHost(id, at); err != nil {
		return err
	}
	if err := tx.PutHost(h); err != nil {
		return err
	}
	if err := tx.PutSeen(id, h.LastSeen); err != nil { // not when the other was
		return err
	}
	return tx.AssumeFacts(store.Assumption{Host: id, From: id, After: after, States: b.States}, at)
}
