package inventory

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"atalaya/collector/identity/ledger"
	"atalaya/collector/store"
	"atalaya/shared/facts"
)

// ErrCursor: that is no place in a history.
var ErrCursor = errors.New("not a place in a history")

// cursor is where a page of a history ended.
type cursor struct {
	before uint64 // changes with smaller numbers are still to tell
	skip   int    // lines of the first chapter that were told
	notes  int    // events of the identity that are still to tell, the oldest ones
}

func (c cursor) String() string { return fmt.Sprintf("%d.%d.%d", c.before, c.skip, c.notes) }

func parseCursor(s string) (c cursor, err error) {
	if _, err := fmt.Sscanf(s, "%d.%d.%d", &c.before, &c.skip, &c.notes); err != nil || c.String() != s || c.before == 0 || c.skip < 0 || c.notes < 0 {
		return c, ErrCursor
	}
	return c, nil
}

// chapter is what a host brought in one batch, or what one decision did to it: its changes
// newest first, and the lines in which they are told.
type chapter struct {
	changes []store.Change
	lines   []Event
}

// line is an event with its place.
type line struct {
	Event
	cursor
}

// telling makes a history of chapters and of what happened to the identity.
type telling struct {
	tx    *store.Tx
	parts []ledger.Part
	q     HistoryQuery
	cq    store.ChangeQuery
	from  cursor
	notes []note // oldest first
	out   []line
}

// tell returns the lines of a history, newest first, one more than the limit where there
// are more.
func (t *telling) tell() ([]line, error) {
	var err error
	if t.notes, err = notesOf(t.tx, t.parts, t.q.From, t.q.To); err != nil {
		return nil, err
	}
	if t.from.before > 0 {
		t.notes = t.notes[:min(t.from.notes, len(t.notes))]
	}
	chapters, err := t.chapters()
	if err != nil {
		return nil, err
	}
	for i, ch := range chapters {
		first := ch.changes[0]
		t.before(first)
		at := cursor{before: first.Seq + 1, notes: len(t.notes)}
		if decided(first) && !t.q.Details {
			ch.lines = []Event{t.decision(ch)}
		}
		for n, e := range ch.lines {
			if i > 0 || n >= t.from.skip {
				at.skip = n
				t.out = append(t.out, line{e, at})
			}
		}
	}
	t.before(store.Change{})
	return t.out, nil
}

// before tells what happened to the identity since a change.
func (t *telling) before(c store.Change) {
	for len(t.notes) > 0 {
		n := t.notes[len(t.notes)-1]
		if n.at.Before(c.Received) || c.Seq > 0 && decided(c) && !t.q.Details && n.brought(c.Received) {
			return
		}
		if t.q.Section == "" {
			t.out = append(t.out, line{n.event(size{}), cursor{before: c.Seq + 1, notes: len(t.notes)}})
		}
		t.notes = t.notes[:len(t.notes)-1]
	}
}

// decision tells a chapter that a decision brought in one line.
func (t *telling) decision(ch chapter) Event {
	var moved size
	cleared := true
	for _, c := range ch.changes {
		moved.add(c)
		cleared = cleared && c.Kind == store.Cleared
	}
	last := ch.changes[len(ch.changes)-1]
	e := unnoted(moved, cleared, last.Received)
	if n := len(t.notes); n > 0 && t.notes[n-1].brought(last.Received) {
		e = t.notes[n-1].event(moved)
		t.notes = t.notes[:n-1]
	}
	e.Seq = last.Seq
	return e
}

// chapters reads so many that the page is full, newest first.
func (t *telling) chapters() ([]chapter, error) {
	var all []chapter
	for _, p := range t.parts {
		part, err := t.read(p)
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
	}
	slices.SortFunc(all, func(a, b chapter) int { return cmp.Compare(b.changes[0].Seq, a.changes[0].Seq) })
	return all, nil
}

func (t *telling) read(p ledger.Part) (out []chapter, err error) {
	told, want := 0, t.q.Limit+t.from.skip+1
	var open chapter
	end := func() error {
		if len(open.changes) == 0 {
			return nil
		}
		if told++; t.q.Details || !decided(open.changes[0]) {
			if open.lines, err = linesOf(open.changes, t.q.Details); err != nil {
				return err
			}
			told += len(open.lines) - 1
		}
		out, open = append(out, open), chapter{}
		return nil
	}
	err = t.tx.HostChanges(p.Host, t.cq, func(c store.Change) error {
		if !p.Until.IsZero() && !c.Received.Before(p.Until) { // the end of its record is no change of the machine
			return nil
		}
		if n := len(open.changes); n > 0 && !sameChapter(open.changes[n-1], c) {
			if err := end(); err != nil {
				return err
			}
			if t.q.Limit > 0 && told >= want {
				return store.ErrStop
			}
		}
		open.changes = append(open.changes, c)
		return nil
	})
	return out, errors.Join(err, end())
}

func sameChapter(a, b store.Change) bool {
	return a.Seq == b.Seq+1 && a.BatchSeq == b.BatchSeq && a.Epoch == b.Epoch && a.Received.Equal(b.Received)
}

// linesOf tells changes, newest first: a line each, but one for all sections that were read
// for the first time, and none for programs that were met elsewhere.
func linesOf(changes []store.Change, details bool) ([]Event, error) {
	first := map[facts.ID]bool{}
	for _, c := range changes {
		if firstOf(c) && !details {
			first[c.Section] = true
		}
	}
	var lines []Event
	var begun size
	var last store.Change
	for _, c := range changes {
		if first[c.Section] && c.Kind != store.Cleared {
			begun.add(c)
			last = c
			continue
		}
		e, err := event(c)
		if err != nil {
			return nil, err
		}
		if details || !elsewhere(e, c) {
			lines = append(lines, e)
		}
	}
	if len(begun.sections) > 0 {
		lines = append(lines, firstReading(begun, last))
	}
	return lines, nil
}

// historyFrom is the moment before which changes were taken out of the log, where a
// history that begins at from would have had more; else zero.
func historyFrom(tx *store.Tx, from time.Time) (time.Time, error) {
	kept, err := tx.HistoryFrom()
	if err != nil || !from.IsZero() && !from.Before(kept) {
		return time.Time{}, err
	}
	return kept, nil
}
