package ledger

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"atalaya/collector/identity"
	"atalaya/collector/store"
	hostid "atalaya/shared/identity"
)

// mergedWhy begins the reason of the tombstone of a host that was merged into another.
const mergedWhy = "merged into "

// LeftByMerge reports whether a host left the fleet by a merge: nobody removed it before.
func LeftByMerge(h store.Host) bool { return strings.HasPrefix(h.RemovedWhy, mergedWhy) }

// What a caller may have to tell a person.
var (
	// ErrNotMerged: there is no merge of that host that was not undone.
	ErrNotMerged = errors.New("nothing was merged into this host that is not undone already")
	// ErrCannotMerge: the two cannot be one.
	ErrCannotMerge = errors.New("cannot be merged")
	// ErrCannotUnmerge: the merge is no more the last of those that made the host.
	ErrCannotUnmerge = errors.New("cannot be unmerged")
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
	err = eachMerge(tx, func(m Merge) {
		if m.Keep == id || m.Other == id {
			out = append(out, m)
		}
	})
	return out, err
}

// eachMerge calls fn for all merges, oldest first.
func eachMerge(tx *store.Tx, fn func(Merge)) error {
	return tx.Table(tableMerges).Scan(nil, func(k, v []byte) error {
		var m Merge
		if err := json.Unmarshal(v, &m); err != nil {
			return &store.CorruptError{Table: tableMerges, Key: slices.Clone(k), Detail: err.Error()}
		}
		fn(m)
		return nil
	})
}

// PartOf returns the merge by which a host is part of another; false: of none.
func PartOf(tx *store.Tx, id hostid.HostID) (in Merge, part bool, err error) {
	merges, err := Merges(tx, id)
	for _, m := range merges {
		if m.Other == id && m.Undone.IsZero() {
			in, part = m, true
		}
	}
	return in, part, err
}

// apart is an error of that kind when a host is part of another, which names the way out.
func apart(tx *store.Tx, id hostid.HostID, kind error) error {
	m, part, err := PartOf(tx, id)
	if err != nil || !part {
		return err
	}
	h, _, err1 := tx.Host(id)
	keep, _, err2 := tx.Host(m.Keep)
	return errors.Join(err1, err2, fmt.Errorf("%w: %s (%s) is part of %s (%s) since %s: run `atalaya host unmerge %s` first",
		kind, h.Name, id, keep.Name, m.Keep, m.At.UTC().Format(time.DateTime), m.Keep))
}

// Wholes tells of which host each merged one is part.
type Wholes map[hostid.HostID]hostid.HostID

// Joined returns all merges that are not undone. It reads every merge.
func Joined(tx *store.Tx) (Wholes, error) {
	w := Wholes{}
	err := eachMerge(tx, func(m Merge) {
		if m.Undone.IsZero() {
			w[m.Other] = m.Keep
		}
	})
	return w, err
}

// Of returns the host that a host is now: itself, or the one that it is part of after all merges.
func (w Wholes) Of(id hostid.HostID) hostid.HostID {
	for range w { // no chain is longer
		keep, part := w[id]
		if !part {
			break
		}
		id = keep
	}
	return id
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

// Alive tells who gave a sign of life lately.
type Alive struct {
	Connected func(hostid.HostID) bool // has a session now
	Now       time.Time
	Within    time.Duration // who was seen so long ago at most is alive, also when its session was ended since
}

// two says why two hosts cannot be one machine; empty: they may be.
func (a Alive) two(x, y store.Host) string {
	seen := func(h, other store.Host) bool { // who enrolled after the other was seen last may be what became of it
		return h.LastSeen.After(a.Now.Add(-a.Within)) && h.LastSeen.After(other.EnrolledAt)
	}
	switch {
	case a.Connected(x.ID) && a.Connected(y.ID):
		return "both are connected now, so they are two machines"
	case seen(x, y) && seen(y, x):
		return fmt.Sprintf("both were seen within the last %s, so they are two machines; if one was stopped for good, try again when %s have passed since", a.Within, a.Within)
	}
	return ""
}

// Propose says what merging other into keep would do. Two that are alive are two, and one
// that is part of a host is no other's: that is ErrCannotMerge.
func Propose(tx *store.Tx, keep, other store.Host, alive Alive) (p Proposal, err error) {
	if keep.ID == other.ID {
		return p, fmt.Errorf("%w: they are the same host", ErrCannotMerge)
	}
	if err := cmp.Or(apart(tx, keep.ID, ErrCannotMerge), apart(tx, other.ID, ErrCannotMerge)); err != nil {
		return p, err
	}
	if !keep.RemovedAt.IsZero() {
		return p, fmt.Errorf("%w: %s was removed; revive it first", ErrCannotMerge, keep.Name)
	}
	if why := alive.two(keep, other); why != "" {
		return p, fmt.Errorf("%w: %s", ErrCannotMerge, why)
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

// Last returns the newest merge into a host that is not undone. Merges are undone in the
// reverse of their order alone: of a host that is itself part of another it is ErrCannotUnmerge.
func Last(tx *store.Tx, id hostid.HostID) (Merge, error) {
	if err := apart(tx, id, ErrCannotUnmerge); err != nil {
		return Merge{}, err
	}
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

// Undo takes a merge back, which Last has given: both hosts are what they were just before
// it, and one that was removed since stays removed. What came in between stays in the history
// of the one that was kept. The keys go back by the caller.
func Undo(tx *store.Tx, m Merge, by string, at time.Time) error {
	now, err := Record(tx, m.Keep)
	if err != nil {
		return err
	}
	is, _, err := tx.Host(m.Keep)
	if err != nil {
		return err
	}
	if err := m.restoreKept(tx, is, at); err != nil {
		return err
	}
	if m.Key != nil { // Other was never a host of its own: it becomes one
		m.Name = is.Name
		if err := tx.PutHost(store.Host{ID: m.Other, Name: m.Name, EnrolledAt: m.At}); err != nil {
			return err
		}
		m.Gone.Facts = now.Facts
	} else if err := m.restoreGone(tx, at); err != nil {
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

// restoreKept makes the kept host what it was before the merge. That it was removed, then
// or since, stays so.
func (m *Merge) restoreKept(tx *store.Tx, is store.Host, at time.Time) error {
	h, err := m.Kept.host(m.Keep)
	if err != nil {
		return err
	}
	if !h.RemovedAt.IsZero() && is.RemovedAt.IsZero() { // it came back by the merge
		if err := tx.RemoveHost(m.Keep, at, h.RemovedWhy); err != nil {
			return err
		}
	}
	return m.Kept.restore(tx, h, m.After, at)
}

// restoreGone makes a host of its own again of the one that left, unless it was removed
// already: then the merge has left its tombstone as it was.
func (m *Merge) restoreGone(tx *store.Tx, at time.Time) error {
	h, err := m.Gone.host(m.Other)
	if err != nil || !h.RemovedAt.IsZero() {
		return err
	}
	if err := tx.ReviveHost(m.Other, at); err != nil {
		return err
	}
	return m.Gone.restore(tx, h, m.After, at)
}

func (b *Before) host(id hostid.HostID) (h store.Host, err error) {
	if err = json.Unmarshal(b.Host, &h); err != nil {
		err = fmt.Errorf("host %s before the merge: %w", id, err)
	}
	return h, err
}

// restore gives a host the record and the facts that it had before a merge; a removed one
// has them when it is revived.
func (b *Before) restore(tx *store.Tx, h store.Host, after uint64, at time.Time) error {
	if err := tx.PutHost(h); err != nil {
		return err
	}
	if err := tx.PutSeen(h.ID, h.LastSeen); err != nil { // not when the other was
		return err
	}
	return tx.AssumeFacts(store.Assumption{Host: h.ID, From: h.ID, After: after, States: b.States}, at)
}
