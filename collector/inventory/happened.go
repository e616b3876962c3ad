package inventory

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"atalaya/collector/identity"
	"atalaya/collector/identity/ledger"
	"atalaya/collector/store"
	"atalaya/shared/facts"
)

// Kinds of events of hosts as a whole, beside those of package identity. Their section is
// HostEvents.
const (
	// FirstSeen: the host was not known before.
	FirstSeen = "first-seen"
	// FirstReading: sections were read for the first time, or anew after a removal.
	FirstReading = "first-reading"
	// Replaced: a merge or its undo gave the host other facts, and its record no longer says which.
	Replaced = "replaced"
	// HostEvents stands for a section in what concerns a host as a whole.
	HostEvents = "host"
)

// removedKind is what the removal of a host is called, also where its record has no event of it.
const removedKind = string(identity.Removed)

// noteSlack is how far an event of the identity may lie from the changes that it brought.
const noteSlack = 2 * time.Second

// decided reports whether a change came of a decision about the host (a removal, its undo, a
// merge or its undo), and of no batch.
func decided(c store.Change) bool { return c.BatchSeq == 0 && !c.Lost }

// firstOf reports whether a change begins the first reading of its section.
func firstOf(c store.Change) bool {
	return !c.Lost && (c.Kind == store.Baseline || c.Kind == store.StatusChanged && c.Old == nil && c.New != nil)
}

// size counts what came or went in one go.
type size struct {
	sections []facts.ID
	rows     int
}

func (s *size) add(c store.Change) {
	if !slices.Contains(s.sections, c.Section) {
		s.sections = append(s.sections, c.Section)
	}
	switch c.Kind {
	case store.Baseline, store.Cleared:
		s.rows += c.Rows
	case store.Added, store.Changed, store.Removed:
		s.rows++
	}
}

// String counts in words.
func (s size) String() string {
	return count(len(s.sections), "section") + ", " + count(s.rows, "row")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// named lists the sections where they are few.
func (s size) named() string {
	const few = 3
	if len(s.sections) > few {
		return fmt.Sprintf("first reading of %s", s)
	}
	var names []string
	for _, id := range s.sections {
		names = append(names, id.String())
	}
	return fmt.Sprintf("first reading of %s: %s", strings.Join(names, ", "), count(s.rows, "row"))
}

// firstReading is the first reading of sections as one event.
func firstReading(s size, last store.Change) Event {
	e := Event{Seq: last.Seq, Section: HostEvents, Kind: FirstReading, Text: s.named(), At: last.At, Observed: last.Observed, Received: last.Received}
	if len(s.sections) == 1 {
		e.Section, e.Text = s.sections[0].String(), "first reading: "+count(s.rows, "row")
		if is, reason := store.DecodeStatus(last.New); (last.Kind == store.Baseline || last.Kind == store.StatusChanged) && is != facts.StatusOK {
			e.Text += ", status " + is.String()
			if reason != "" {
				e.Text += ": " + reason
			}
		}
	}
	return e
}

// note is an event of a host's identity.
type note struct {
	identity.Event
	at time.Time // the last of its times
}

// notesOf returns what happened to the identity of a host and of those that were merged into
// it, up to that, after from and not after to (zero: no bound), oldest first.
func notesOf(tx *store.Tx, parts []ledger.Part, from, to time.Time) ([]note, error) {
	var out []note
	for _, p := range parts {
		r, err := ledger.Record(tx, p.Host)
		if err != nil {
			return nil, err
		}
		for _, e := range r.Events {
			n := note{e, e.At}
			if e.Last.After(e.At) {
				n.at = e.Last
			}
			if (p.Until.IsZero() || e.At.Before(p.Until)) && (from.IsZero() || n.at.After(from)) && (to.IsZero() || !n.at.After(to)) {
				out = append(out, n)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b note) int { return a.at.Compare(b.at) })
	return out, nil
}

// brought reports whether a note tells of the decision that brought changes at that moment.
func (n note) brought(received time.Time) bool {
	switch n.Kind {
	case identity.Removed, identity.Revived, identity.CameBack, identity.Merged, identity.Unmerged:
		return n.at.Sub(received).Abs() <= noteSlack
	}
	return false
}

// event is a note in one line; moved counts the rows it moved.
func (n note) event(moved size) Event {
	var aside []string
	if n.By != "" {
		aside = append(aside, "by "+n.By)
	}
	if n.Times > 1 {
		aside = append(aside, fmt.Sprintf("%d times since %s", n.Times, n.At.UTC().Format(time.DateTime)))
	}
	if len(moved.sections) > 0 {
		aside = append(aside, moved.String())
	}
	e := Event{Section: HostEvents, Kind: string(n.Kind), Text: n.Text, At: n.at, Received: n.at}
	if len(aside) > 0 {
		e.Text += " (" + strings.Join(aside, "; ") + ")"
	}
	return e
}

// unnoted is the line of a decision of which the host's record tells nothing: it keeps the
// newest events only.
func unnoted(moved size, cleared bool, at time.Time) Event {
	e := Event{Section: HostEvents, Kind: Replaced, At: at, Received: at, Text: "a merge or its undo gave it other facts (" + moved.String() + ")"}
	if cleared {
		e.Kind, e.Text = removedKind, "left the fleet ("+moved.String()+")"
	}
	return e
}

// firstSeen returns from when on a host, or one that was merged into it, is known; zero where
// no record says so.
func firstSeen(tx *store.Tx, parts []ledger.Part) (first time.Time, err error) {
	for _, p := range parts {
		h, ok, err := tx.Host(p.Host)
		if err != nil {
			return first, err
		}
		if ok && !h.KnownFrom.IsZero() && (first.IsZero() || h.KnownFrom.Before(first)) {
			first = h.KnownFrom
		}
	}
	return first, nil
}

// errUnseen says that a host was not known yet.
func errUnseen(name string, at, first time.Time) error {
	return fmt.Errorf("%w: %s was not known at %s, it was first seen at %s", ErrHistory, name, stamp(at), stamp(first))
}
