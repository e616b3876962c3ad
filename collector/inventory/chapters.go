package inventory

import (
	"cmp"
	"container/heap"
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

// cursor is where a page of a history ended: the place of its last line. Lines are in the
// order of the moments at which they came about; what a batch told late stands among what
// came about with it.
type cursor struct {
	at  int64  // milliseconds since 1970
	tie int    // events of the identity: how many more came about at that moment; they are told before changes
	seq uint64 // of the change; 0: an event of the identity
}

func (c cursor) String() string { return fmt.Sprintf("%d.%d.%d", c.at, c.tie, c.seq) }

func parseCursor(s string) (c cursor, err error) {
	if _, err := fmt.Sscanf(s, "%d.%d.%d", &c.at, &c.tie, &c.seq); err != nil || c.String() != s || c.at <= 0 || c.tie < 0 {
		return c, ErrCursor
	}
	return c, nil
}

// compare orders places newest first.
func (c cursor) compare(with cursor) int {
	isNote := func(c cursor) int {
		if c.seq == 0 {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(with.at, c.at), cmp.Compare(isNote(c), isNote(with)), cmp.Compare(with.tie, c.tie), cmp.Compare(with.seq, c.seq))
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
	from  *cursor // nil: from the newest on
	notes []note  // oldest first
	out   []line
}

// tell returns the lines of a history, newest first, one more than the limit where there
// are more.
func (t *telling) tell() ([]line, error) {
	var err error
	if t.notes, err = notesOf(t.tx, t.parts, t.q.From, t.q.To); err != nil {
		return nil, err
	}
	for _, p := range t.parts {
		if err := t.read(p); err != nil {
			return nil, err
		}
	}
	if t.q.Section == "" {
		tie := 0
		for i, n := range t.notes {
			if tie++; i == 0 || n.at.UnixMilli() != t.notes[i-1].at.UnixMilli() {
				tie = 0
			}
			t.add(n.event(size{}), tie)
		}
	}
	slices.SortFunc(t.out, func(a, b line) int { return a.compare(b.cursor) })
	return t.out, nil
}

// add takes in a line that is behind the place where the page begins; false: it is not.
func (t *telling) add(e Event, tie int) bool {
	l := line{e, cursor{e.At.UnixMilli(), tie, e.Seq}}
	behind := t.from == nil || t.from.compare(l.cursor) < 0
	if behind {
		t.out = append(t.out, l)
	}
	return behind
}

// decision tells a chapter that a decision brought in one line, with the note of it.
func (t *telling) decision(changes []store.Change) Event {
	var moved size
	cleared := true
	for _, c := range changes {
		moved.add(c)
		cleared = cleared && c.Kind == store.Cleared
	}
	last := changes[len(changes)-1]
	e := unnoted(moved, cleared, last.Received)
	for i, n := range slices.Backward(t.notes) {
		if n.brought(last.Received) {
			e = n.event(moved)
			t.notes = slices.Delete(t.notes, i, i+1)
			break
		}
	}
	e.Seq = last.Seq
	return e
}

// read takes in the lines of one part, newest first by when they were received, until what
// is left cannot belong to the page: nothing came about after it was received.
func (t *telling) read(p ledger.Part) error {
	var open []store.Change
	var told newest // of the lines of this part, for the page
	end := func() error {
		changes := open
		open = nil
		if len(changes) == 0 || t.onEarlierPage(changes) {
			return nil
		}
		lines, err := t.lines(changes)
		for _, e := range lines {
			if t.add(e, 0) && t.q.Limit > 0 {
				told.add(e.At.UnixMilli(), t.q.Limit+1)
			}
		}
		return err
	}
	err := t.tx.HostChanges(p.Host, t.cq, func(c store.Change) error {
		if !p.Until.IsZero() && !c.Received.Before(p.Until) { // the end of its record is no change of the machine
			return nil
		}
		if n := len(open); n > 0 && !sameChapter(open[n-1], c) {
			if err := end(); err != nil {
				return err
			}
			if t.q.Limit > 0 && told.allAfter(c.Received.UnixMilli(), t.q.Limit+1) {
				return store.ErrStop
			}
		}
		open = append(open, c)
		return nil
	})
	return errors.Join(err, end())
}

// onEarlierPage reports whether all lines of a chapter came about after the place where the
// page begins: they need not be made. A decision takes its note with it in any case.
func (t *telling) onEarlierPage(changes []store.Change) bool {
	if t.from == nil || decided(changes[0]) && !t.q.Details {
		return false
	}
	return !slices.ContainsFunc(changes, func(c store.Change) bool { return c.At.UnixMilli() <= t.from.at })
}

// newest is a heap of the newest moments of a page, the oldest of them first.
type newest []int64

func (h newest) Len() int           { return len(h) }
func (h newest) Less(i, j int) bool { return h[i] < h[j] }
func (h newest) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *newest) Push(x any)        { *h = append(*h, x.(int64)) }
func (h *newest) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// add takes in a moment, and keeps so many at most.
func (h *newest) add(at int64, most int) {
	if h.Len() < most {
		heap.Push(h, at)
	} else if at > (*h)[0] {
		(*h)[0] = at
		heap.Fix(h, 0)
	}
}

// allAfter reports whether there are so many and all are after a moment.
func (h newest) allAfter(at int64, count int) bool { return h.Len() >= count && h[0] > at }

// lines are those of a chapter.
func (t *telling) lines(changes []store.Change) ([]Event, error) {
	if decided(changes[0]) && !t.q.Details {
		return []Event{t.decision(changes)}, nil
	}
	return linesOf(changes, t.q.Details)
}

// sameChapter reports whether a host brought changes in one batch, or one decision did.
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
