package inventory

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"atalaya/collector/identity/ledger"
	"atalaya/collector/store"
	"atalaya/shared/facts"
)

// comparison is of a host with itself at another moment.
type comparison struct {
	tx              *store.Tx
	host            store.Host
	q               DiffQuery
	parts           []ledger.Part
	first           time.Time // when the host was first seen
	then, later     *store.State
	wasHost, isHost uint32 // the part that reported then, and later
	was, is         []store.SectionState
	last            map[place]store.Change
}

func newComparison(tx *store.Tx, h store.Host, q DiffQuery) (c *comparison, err error) {
	c = &comparison{tx: tx, host: h, q: q}
	if c.then, err = tx.AsOf(q.From); err != nil {
		return nil, err
	}
	if c.later, err = tx.AsOf(q.To); err != nil {
		return nil, err
	}
	if c.parts, err = ledger.Parts(tx, h.ID); err != nil {
		return nil, err
	}
	var err1, err2, err3 error
	c.first, err1 = firstSeen(tx, c.parts)
	c.wasHost, err2 = partAt(tx, h, q.From)
	c.isHost, err3 = partAt(tx, h, q.To)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	if c.was, err = c.then.Sections(c.wasHost); err != nil {
		return nil, err
	}
	if c.is, err = c.later.Sections(c.isHost); err != nil {
		return nil, err
	}
	if len(c.is) == 0 && q.To.Before(c.first) {
		return nil, errUnseen(h.Name, q.To, c.first)
	}
	return c, nil
}

// ofHost tells what happened to the host as a whole; whole: that it came or went says all.
func (c *comparison) ofHost() (items []Event, whole bool, err error) {
	if c.q.Section != "" {
		return []Event{}, false, nil
	}
	notes, err := notesOf(c.tx, c.parts, c.q.From, c.q.To)
	if err != nil {
		return nil, false, err
	}
	for _, n := range slices.Backward(notes) {
		items = append(items, n.event(size{}))
	}
	if items = append([]Event{}, items...); c.q.Details {
		return items, false, nil
	}
	came, went := len(c.was) == 0 && len(c.is) > 0, len(c.was) > 0 && len(c.is) == 0
	e := Event{Section: HostEvents}
	was, wasAway := c.host.AwayAt(c.q.From)
	is, isAway := c.host.AwayAt(c.q.To)
	switch {
	case came && c.first.After(c.q.From):
		e.Kind, e.Received = FirstSeen, c.first
		e.Text = fmt.Sprintf("not known at %s; first seen at %s, with %s since", stamp(c.q.From), stamp(c.first), sizeOf(c.is))
	case came && wasAway:
		e.Kind, e.Received = FirstReading, was.Until.Time()
		e.Text = fmt.Sprintf("not in the fleet at %s; brought back at %s, with %s since", stamp(c.q.From), stamp(e.Received), sizeOf(c.is))
	case came:
		e.Kind, e.Received = FirstReading, c.first
		e.Text = fmt.Sprintf("nothing was known of it at %s; since then %s", stamp(c.q.From), sizeOf(c.is))
	case went && isAway:
		e.Kind, e.Received = removedKind, is.From.Time()
		e.Text = fmt.Sprintf("not in the fleet at %s: removed at %s, brought back at %s; it had %s", stamp(c.q.To), stamp(e.Received), stamp(is.Until.Time()), sizeOf(c.was))
	case went && c.host.RemovedAt.IsZero():
		e.Kind, e.Received = removedKind, c.q.To
		e.Text = fmt.Sprintf("it has not reported since it came back; before it was removed it had %s", sizeOf(c.was))
	case went:
		e.Kind, e.Received = removedKind, c.host.RemovedAt
		e.Text = fmt.Sprintf("not in the fleet any more; it had %s", sizeOf(c.was))
	default:
		return items, false, nil
	}
	e.At = e.Received
	return append(items, e), true, nil
}

// sizeOf counts what is in sections.
func sizeOf(states []store.SectionState) (s size) {
	for _, st := range states {
		s.sections = append(s.sections, st.Section)
		s.rows += st.Rows
	}
	return s
}

// ofSection tells what differs in a section.
func (c *comparison) ofSection(section facts.ID) (items []Event, err error) {
	changes, err := difference(c.then, c.later, c.wasHost, c.isHost, section)
	if err != nil {
		return nil, err
	}
	status := statusChange(section, c.was, c.is)
	if len(status) > 0 && status[0].Old == nil && !c.q.Details { // a first reading: a line says as much
		begun := size{[]facts.ID{section}, len(changes)}
		return []Event{firstReading(begun, c.placed(status[0]))}, nil
	}
	for _, ch := range append(status, changes...) {
		e, err := event(c.placed(ch))
		if err != nil {
			return nil, err
		}
		if c.q.Details || !elsewhere(e, ch) {
			items = append(items, e)
		}
	}
	return items, nil
}

// placed gives a difference the number and the times of the last change there.
func (c *comparison) placed(ch store.Change) store.Change {
	was, ok := c.last[place{ch.Section, ch.Key, ch.Kind == store.StatusChanged}]
	if !ok {
		was = c.last[place{section: ch.Section, status: true}] // a first reading
	}
	ch.Host, ch.Seq, ch.At, ch.Observed, ch.Received = c.host.ID, was.Seq, was.At, was.Observed, was.Received
	return ch
}
