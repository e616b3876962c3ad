package inventory

import (
	"errors"
	"fmt"
	"slices"
	"time"

	who "atalaya/collector/identity"
	"atalaya/collector/identity/ledger"
	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
)

// beginning is what a host told for the first time.
type beginning struct {
	size
	epoch, batch uint64 // of the batch that is read now
	now          []facts.ID
	first, last  store.Change
}

// decision counts what a decision about a host moved.
type decision struct {
	size
	cleared bool
}

// decided takes in a change that a decision about its host brought: the decision is what
// is told.
func (r *ranking) decided(c store.Change) bool {
	if !decided(c) {
		return false
	}
	of := r.moved[c.Host]
	if of == nil {
		of = map[time.Time]*decision{}
		r.moved[c.Host] = of
	}
	d := of[c.Received]
	if d == nil {
		d = &decision{cleared: true}
		of[c.Received] = d
	}
	d.add(c)
	d.cleared = d.cleared && c.Kind == store.Cleared
	return true
}

// begins takes in a change of a first reading: a line for all of a host says as much.
func (r *ranking) begins(c store.Change) bool {
	b := r.begun[c.Host]
	switch {
	case firstOf(c):
		if b == nil {
			b = &beginning{first: c}
			r.begun[c.Host] = b
		}
		if b.epoch != c.Epoch || b.batch != c.BatchSeq {
			b.epoch, b.batch, b.now = c.Epoch, c.BatchSeq, nil
		}
		b.now = append(b.now, c.Section)
	case b == nil || b.epoch != c.Epoch || b.batch != c.BatchSeq || !slices.Contains(b.now, c.Section):
		return false
	}
	b.add(c)
	b.last = c
	return true
}

// happened tells what befell the hosts as a whole: who came and went, was merged, renamed,
// installed anew.
func (r *ranking) happened(hosts []uint32) error {
	for _, index := range hosts {
		id, ok, err := r.tx.HostByIndex(index)
		if err != nil || !ok {
			return errors.Join(err, fmt.Errorf("host number %d is not known", index))
		}
		h, _, err := r.tx.Host(id)
		if err != nil {
			return err
		}
		fresh, err := r.arrived(h)
		if err != nil {
			return err
		}
		if err := r.befell(h, fresh); err != nil {
			return err
		}
	}
	return nil
}

// arrived tells of a host's first readings; fresh: the host itself was not known before.
func (r *ranking) arrived(h store.Host) (fresh bool, err error) {
	b := r.begun[h.ID]
	if b == nil {
		return false, nil
	}
	first, err := r.firstSeen(h)
	if err != nil {
		return false, err
	}
	e := firstReading(b.size, b.last)
	key := e.Section + "\x00" + e.Kind + "\x00" + e.Text
	if fresh = first.After(r.from); fresh {
		e.Section, e.Kind, e.At, e.Received, key = HostEvents, FirstSeen, first, first, FirstSeen
	}
	g, _, err := r.join(key, e, h.ID, 1)
	if err != nil || !fresh {
		return fresh, err
	}
	g.arrivals.add(first, b.size)
	g.Text = g.arrivals.text(r.from)
	return true, nil
}

// firstSeen is from when on a host, or one that is part of it, is known.
func (r *ranking) firstSeen(h store.Host) (time.Time, error) {
	if h.KnownFrom.Before(r.from) { // the usual: no look at merges
		return h.KnownFrom, nil
	}
	parts, err := ledger.Parts(r.tx, h.ID)
	if err != nil {
		return time.Time{}, err
	}
	return firstSeen(r.tx, parts)
}

// befell tells what is noted of a host's identity, and of decisions that are not.
func (r *ranking) befell(h store.Host, fresh bool) error {
	notes, err := notesOf(r.tx, []ledger.Part{{Host: h.ID}}, r.from, r.to)
	if err != nil {
		return err
	}
	for _, n := range notes {
		if n.Kind == who.Enrolled && fresh {
			continue // told already
		}
		var moved size
		for at, d := range r.moved[h.ID] {
			if n.brought(at) {
				moved = d.size
				delete(r.moved[h.ID], at)
			}
		}
		if n.Kind == who.Merged && !h.RemovedAt.IsZero() && r.fleetwide {
			continue // the host that goes on tells it
		}
		if err := r.tell(n.event(moved), h.ID, max(n.Times, 1)); err != nil {
			return err
		}
	}
	for at, d := range r.moved[h.ID] {
		if err := r.tell(unnoted(d.size, d.cleared, at), h.ID, 1); err != nil {
			return err
		}
	}
	return nil
}

func (r *ranking) tell(e Event, id identity.HostID, times int) error {
	_, _, err := r.join(e.Section+"\x00"+e.Kind+"\x00"+e.Text, e, id, times)
	return err
}

// arrivals sums up the hosts that are new.
type arrivals struct {
	first, last time.Time
	hosts       int
	sections    int // of one host, at most
	rows        int
}

func (a *arrivals) add(at time.Time, s size) {
	if a.hosts++; a.hosts == 1 || at.Before(a.first) {
		a.first = at
	}
	if at.After(a.last) {
		a.last = at
	}
	a.sections = max(a.sections, len(s.sections))
	a.rows += s.rows
}

func (a *arrivals) text(from time.Time) string {
	when := "at " + stamp(a.first)
	if stamp(a.first) != stamp(a.last) {
		when = fmt.Sprintf("from %s to %s", stamp(a.first), stamp(a.last))
	}
	return fmt.Sprintf("not known at %s; first seen %s: %s, %s", stamp(from), when, count(a.sections, "section"), count(a.rows, "row"))
}
