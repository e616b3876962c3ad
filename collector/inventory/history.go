package inventory

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"atalaya/collector/identity/ledger"
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
	Seq      uint64    `json:"seq,omitempty"`
	Section  string    `json:"section"`        // or HostEvents
	Kind     string    `json:"kind"`           // of the change, or what happened to the host
	Item     string    `json:"item,omitempty"` // the row's key, its parts separated by blanks
	Text     string    `json:"text"`           // what changed, in one line
	Columns  []Column  `json:"columns,omitempty"`
	At       time.Time `json:"at,omitzero"`          // when it came about, by the collector's clock
	Observed time.Time `json:"observed_at,omitzero"` // by the host's clock
	Received time.Time `json:"received_at,omitzero"`
}

// HistoryQuery selects changes of a host; empty fields select all.
type HistoryQuery struct {
	Section  string
	From, To time.Time // came about after From and not after To
	Cursor   string    // where the last page ended
	Limit    int       // 0: all
	Details  bool      // every change, also those of a first reading and of a merge
}

// HistoryPage is a part of a host's history.
type HistoryPage struct {
	Events []Event
	Next   string    // Cursor of the next page; empty: this is the last
	Kept   time.Time // what was before is no longer kept, where the page is the last and there was more; else zero
}

// History returns what changed on a host and what happened to it, newest first: also on those
// that were merged into it.
func (v *View) History(ref string, q HistoryQuery) (p HistoryPage, err error) {
	t := telling{q: q, cq: store.ChangeQuery{From: q.From, CameFrom: q.From, CameTo: q.To, NewestFirst: true}}
	if q.Section != "" {
		sec, ok := facts.ByName(q.Section)
		if !ok {
			return p, fmt.Errorf("section %q: %w", q.Section, ErrNotFound)
		}
		t.cq.Section = sec.ID
	}
	if q.Cursor != "" {
		from, err := parseCursor(q.Cursor)
		if err != nil {
			return p, err
		}
		t.from = &from
	}
	err = v.store.View(func(tx *store.Tx) error {
		h, err := FindHost(tx, ref)
		if err != nil {
			return err
		}
		t.tx = tx
		if t.parts, err = ledger.Parts(tx, h.ID); err != nil {
			return err
		}
		first, err := firstSeen(tx, t.parts)
		if err != nil {
			return err
		}
		lines, err := t.tell()
		if err != nil {
			return err
		}
		if len(lines) == 0 && !q.To.IsZero() && q.To.Before(first) {
			return errUnseen(h.Name, q.To, first)
		}
		if q.Limit > 0 && len(lines) > q.Limit {
			lines = lines[:q.Limit]
			p.Next = lines[q.Limit-1].cursor.String()
		} else if p.Kept, err = historyFrom(tx, q.From); err != nil {
			return err
		}
		p.Events = make([]Event, len(lines))
		for i, l := range lines {
			p.Events[i] = l.Event
		}
		return nil
	})
	return p, err
}

// DiffQuery selects two moments of a host.
type DiffQuery struct {
	From, To time.Time
	Section  string // empty: all
	Details  bool   // every row, also of a host or a section that was not known
}

// HostDiff is the net difference between two moments of a host.
type HostDiff struct {
	Host  HostRef   `json:"host"`
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	Items []Event   `json:"items"` // what happened to the host, newest first; then rows by section and key
}

// Diff returns what differs between the state of a host at two moments, as we knew it
// then: what came and went between them does not appear. Moments before the log was
// pruned, and an end before the host was known, are refused with ErrHistory.
func (v *View) Diff(ref string, q DiffQuery) (d HostDiff, err error) {
	if q.To.Before(q.From) {
		return d, fmt.Errorf("difference from %s to %s: the second moment is before the first", stamp(q.From), stamp(q.To))
	}
	err = v.store.View(func(tx *store.Tx) error {
		h, err := FindHost(tx, ref)
		if err != nil {
			return err
		}
		d = HostDiff{Host: HostRef{h.ID, h.Name}, From: q.From, To: q.To}
		d.Items, err = diff(tx, h, q)
		return err
	})
	return d, err
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// diff compares the two states, and takes number and times from the last change of
// each row between them.
func diff(tx *store.Tx, h store.Host, q DiffQuery) ([]Event, error) {
	c, err := newComparison(tx, h, q)
	if err != nil {
		return nil, err
	}
	items, whole, err := c.ofHost()
	if err != nil || whole {
		return items, err
	}
	if c.last, err = lastChanges(tx, h.ID, q.From, q.To); err != nil {
		return nil, err
	}
	for _, section := range facts.Sections() {
		if q.Section != "" && q.Section != section.Name {
			continue
		}
		more, err := c.ofSection(section.ID)
		if err != nil {
			return nil, err
		}
		items = append(items, more...)
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

// elsewhere reports whether a package of a running program was only met in another place:
// which programs run is no change of the software.
func elsewhere(e Event, c store.Change) bool {
	if c.Section != facts.Packages || c.Kind != store.Changed || len(e.Columns) != 1 || e.Columns[0].Name != "locations" {
		return false
	}
	row, err := wire.DecodeRow(c.Section, c.New)
	p, ok := row.(*facts.PackageRow)
	return err == nil && ok && (p.Source == "go" || p.Source == "maven")
}

// event decodes a change.
func event(c store.Change) (Event, error) {
	e := Event{
		Seq: c.Seq, Section: c.Section.String(), Kind: c.Kind.String(), Item: itemName(c.Key),
		At: c.At, Observed: c.Observed, Received: c.Received,
	}
	switch c.Kind {
	case store.Baseline:
		is, _ := store.DecodeStatus(c.New)
		e.Text = fmt.Sprintf("first reading: %s, status %s", count(c.Rows, "row"), is)
		if c.Lost {
			e.Text = "what was known before is lost to damage, the section is read again"
		}
		return e, nil
	case store.Cleared:
		e.Text = "left with the host: " + count(c.Rows, "row")
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
		case store.Changed.String():
			parts = append(parts, fmt.Sprintf("%s %s -> %s", c.Name, show(c.Old), show(c.New)))
		case store.Added.String():
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
