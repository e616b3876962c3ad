package inventory

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// Column is one column of a row that changed, with its values as JSON would have
// them; nil where there is none.
type Column struct {
	Name string `json:"name"`
	Old  any    `json:"old,omitempty"`
	New  any    `json:"new,omitempty"`
}

// Event is a change for people.
type Event struct {
	Seq      uint64           `json:"seq,omitempty"`
	Section  string           `json:"section"`
	Kind     store.ChangeKind `json:"kind"`
	Item     string           `json:"item,omitempty"` // the row's key, its parts separated by blanks
	Text     string           `json:"text"`           // what changed, in one line
	Columns  []Column         `json:"columns,omitempty"`
	Observed time.Time        `json:"observed_at,omitzero"` // by the host's clock
	Received time.Time        `json:"received_at,omitzero"`
}

// HistoryQuery selects changes of a host; empty fields select all.
type HistoryQuery struct {
	Section  string
	From, To time.Time // received after From and not after To
	Before   uint64    // events with smaller numbers: where the last page ended
	Limit    int       // 0: all
}

// History returns what changed on a host, newest first: also on those that were merged
// into it.
func (v *View) History(ref string, q HistoryQuery) (events []Event, err error) {
	cq := store.ChangeQuery{From: q.From, To: q.To, Before: q.Before, Limit: q.Limit, NewestFirst: true}
	if q.Section != "" {
		sec, ok := facts.ByName(q.Section)
		if !ok {
			return nil, fmt.Errorf("section %q: %w", q.Section, ErrNotFound)
		}
		cq.Section = sec.ID
	}
	events = []Event{}
	err = v.store.View(func(tx *store.Tx) error {
		h, err := FindHost(tx, ref)
		if err != nil {
			return err
		}
		changes, err := changesOf(tx, h.ID, cq)
		for i := 0; i < len(changes) && err == nil; i++ {
			var e Event
			e, err = event(changes[i])
			events = append(events, e)
		}
		return err
	})
	return events, err
}

// HostDiff is the net difference between two moments of a host.
type HostDiff struct {
	Host  HostRef   `json:"host"`
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	Items []Event   `json:"items"` // by section and key
}

// Diff returns what differs between the state of a host at two moments, as we knew it
// then: what came and went between them does not appear. Moments before the log was
// pruned are refused with ErrHistory.
func (v *View) Diff(ref string, from, to time.Time) (d HostDiff, err error) {
	if to.Before(from) {
		return d, fmt.Errorf("difference from %s to %s: the second moment is before the first", stamp(from), stamp(to))
	}
	err = v.store.View(func(tx *store.Tx) error {
		h, err := FindHost(tx, ref)
		if err != nil {
			return err
		}
		d = HostDiff{Host: HostRef{h.ID, h.Name}, From: from, To: to}
		d.Items, err = diff(tx, h, from, to)
		return err
	})
	return d, err
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// diff compares the two states, and takes number and times from the last change of
// each row between them.
func diff(tx *store.Tx, h store.Host, from, to time.Time) ([]Event, error) {
	then, err := tx.AsOf(from)
	if err != nil {
		return nil, err
	}
	later, err := tx.AsOf(to)
	if err != nil {
		return nil, err
	}
	last, err := lastChanges(tx, h.ID, from, to)
	if err != nil {
		return nil, err
	}
	wasHost, err1 := partAt(tx, h, from)
	isHost, err2 := partAt(tx, h, to)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	was, err := then.Sections(wasHost)
	if err != nil {
		return nil, err
	}
	is, err := later.Sections(isHost)
	if err != nil {
		return nil, err
	}
	items := []Event{}
	for _, section := range facts.Sections() {
		changes, err := difference(then, later, wasHost, isHost, section.ID)
		changes = append(statusChange(section.ID, was, is), changes...)
		if err != nil {
			return nil, err
		}
		for _, c := range changes {
			p := place{c.Section, c.Key, c.Kind == store.StatusChanged}
			was, ok := last[p]
			if !ok {
				was = last[place{section: c.Section, status: true}] // a first reading
			}
			c.Host, c.Seq, c.Observed, c.Received = h.ID, was.Seq, was.Observed, was.Received
			e, err := event(c)
			if err != nil {
				return nil, err
			}
			items = append(items, e)
		}
	}
	return items, nil
}

// place is a row, or the status of a section.
type place struct {
	section facts.ID
	key     string
	status  bool
}

// lastChanges returns the last change of each place that came about between two moments.
func lastChanges(tx *store.Tx, id identity.HostID, from, to time.Time) (map[place]store.Change, error) {
	last := map[place]store.Change{}
	changes, err := changesOf(tx, id, store.ChangeQuery{From: from})
	for _, c := range changes {
		if c.At.After(from) && !c.At.After(to) {
			last[place{c.Section, c.Key, c.Key == "" && c.Kind > store.Removed}] = c
		}
	}
	return last, err
}

// difference returns what differs in a section between two states, of a host that was
// of one number then and is of another later, as changes without number and times, by key.
func difference(then, later *store.State, wasHost, isHost uint32, section facts.ID) ([]store.Change, error) {
	old, err := rows(then, wasHost, section)
	if err != nil {
		return nil, err
	}
	new, err := rows(later, isHost, section)
	if err != nil {
		return nil, err
	}
	d := facts.Diff(old, new)
	before := map[string][]byte{}
	for _, it := range old {
		before[it.Key] = it.Data
	}
	changes := make([]store.Change, 0, len(d.Put)+len(d.Removed))
	for _, it := range d.Put {
		c := store.Change{Section: section, Kind: store.Changed, Key: it.Key, Old: before[it.Key], New: it.Data}
		if c.Old == nil {
			c.Kind = store.Added
		}
		changes = append(changes, c)
	}
	for _, key := range d.Removed {
		changes = append(changes, store.Change{Section: section, Kind: store.Removed, Key: key, Old: before[key]})
	}
	slices.SortFunc(changes, func(a, b store.Change) int { return strings.Compare(a.Key, b.Key) })
	return changes, nil
}

func rows(s *store.State, index uint32, section facts.ID) (items []facts.Item, err error) {
	err = s.Rows(index, section, func(key string, data []byte) error {
		items = append(items, facts.Item{Key: key, Data: data})
		return nil
	})
	return items, err
}

// statusChange returns the change of a section's status between two states, if any.
func statusChange(section facts.ID, was, is []store.SectionState) []store.Change {
	old, new := stateOf(section, was), stateOf(section, is)
	if old.Status == new.Status {
		return nil
	}
	c := store.Change{Section: section, Kind: store.StatusChanged}
	if old.Status != facts.StatusUnknown {
		c.Old = store.EncodeStatus(old.Status, old.Reason)
	}
	if new.Status != facts.StatusUnknown {
		c.New = store.EncodeStatus(new.Status, new.Reason)
	}
	return []store.Change{c}
}

func stateOf(section facts.ID, states []store.SectionState) store.SectionState {
	for _, s := range states {
		if s.Section == section {
			return s
		}
	}
	return store.SectionState{Section: section}
}

// event decodes a change.
func event(c store.Change) (Event, error) {
	e := Event{
		Seq: c.Seq, Section: c.Section.String(), Kind: c.Kind, Item: itemName(c.Key),
		Observed: c.Observed, Received: c.Received,
	}
	switch c.Kind {
	case store.Baseline:
		is, _ := store.DecodeStatus(c.New)
		e.Text = fmt.Sprintf("first reading: %d rows, status %s", c.Rows, is)
		if c.Lost {
			e.Text = "what was known before is lost to damage, the section is read again"
		}
		return e, nil
	case store.Cleared:
		e.Text = fmt.Sprintf("host removed: %d rows", c.Rows)
		return e, nil
	case store.StatusChanged:
		was, _ := store.DecodeStatus(c.Old)
		is, reason := store.DecodeStatus(c.New)
		e.Columns = []Column{{"status", was, is}}
		e.Text = fmt.Sprintf("status %s -> %s", was, is)
		if reason != "" {
			e.Text += ": " + reason
		}
		return e, nil
	}
	if c.Lost && c.Old == nil && c.New == nil {
		e.Text = "lost to damage"
		return e, nil
	}
	var old, new facts.Row
	var err error
	if c.Old != nil {
		if old, err = wire.DecodeRow(c.Section, c.Old); err != nil {
			return e, fmt.Errorf("change %d: %w", c.Seq, err)
		}
	}
	if c.New != nil {
		if new, err = wire.DecodeRow(c.Section, c.New); err != nil {
			return e, fmt.Errorf("change %d: %w", c.Seq, err)
		}
	}
	e.Columns = columns(c.Section, old, new)
	e.Text = text(e)
	return e, nil
}

// itemName makes a row's key readable: its parts (see package facts) with blanks between.
func itemName(key string) string {
	return strings.Join(slices.DeleteFunc(facts.KeyParts(key), func(p string) bool { return p == "" }), " ")
}

// columns returns the columns that differ between two rows, one of which may be nil,
// in the order of the section.
func columns(section facts.ID, old, new facts.Row) []Column {
	sec, ok := facts.ByID(section)
	if !ok {
		return nil
	}
	var out []Column
	for i, name := range sec.Columns() {
		was, is := value(old, i), value(new, i)
		if !reflect.DeepEqual(was, is) {
			out = append(out, Column{name, was, is})
		}
	}
	return out
}

// value returns the i-th column of a row, nil where it is absent.
func value(row facts.Row, i int) any {
	if row == nil {
		return nil
	}
	v := reflect.ValueOf(row).Elem()
	f, tag := v.Field(i), v.Type().Field(i).Tag.Get("json")
	if strings.Contains(tag, ",omitempty") && f.IsZero() {
		return nil
	}
	if f.Kind() == reflect.Pointer {
		f = f.Elem()
	}
	if t, ok := f.Interface().(facts.Time); ok {
		return stamp(t.Time())
	}
	return f.Interface()
}

// maxText is how many columns the line of an event shows.
const maxText = 4

// text writes an event's columns in one line.
func text(e Event) string {
	var parts []string
	for _, c := range e.Columns {
		if len(parts) == maxText {
			parts = append(parts, fmt.Sprintf("and %d more", len(e.Columns)-maxText))
			break
		}
		switch e.Kind {
		case store.Changed:
			parts = append(parts, fmt.Sprintf("%s %s -> %s", c.Name, show(c.Old), show(c.New)))
		case store.Added:
			parts = append(parts, fmt.Sprintf("%s %s", c.Name, show(c.New)))
		default:
			parts = append(parts, fmt.Sprintf("%s %s", c.Name, show(c.Old)))
		}
	}
	return strings.Join(parts, ", ")
}

func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "(none)"
	case []string:
		return strings.Join(v, ",")
	}
	return fmt.Sprint(v)
}
