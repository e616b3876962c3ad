package store

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"atalaya/shared/facts"
	"atalaya/shared/wire"
)

// holding is a section of a host while batches are applied.
type holding struct {
	*held
	dirty     bool
	recovered bool // made from the inverted index: the host's own columns are not known
}

// sectionPlan is what an update will do to a section. Nothing is written while plans
// are made, so that a batch is refused as a whole.
type sectionPlan struct {
	update *wire.SectionUpdate
	rows   []rowChange // sorted by key
	digest facts.Digest
	count  int
	resync bool
}

// rowChange: a row without old is new, one without new goes away.
type rowChange struct {
	key      string
	old, new []byte
	was      ref      // how old is stored
	told     *toldRow // new
}

// storedRow is a row with how it is stored.
type storedRow struct {
	facts.Item
	ref
}

// plan compares the updates of a batch with what is stored.
func (a *applier) plan(h *applying, b *wire.Batch) ([]sectionPlan, error) {
	if b.Kind != wire.KindInventory && len(b.Updates) > 0 {
		return nil, fmt.Errorf("%w: facts in a batch of kind %d", ErrMalformed, b.Kind)
	}
	var plans []sectionPlan
	known := map[facts.ID]bool{}
	for i := range b.Updates {
		u := &b.Updates[i]
		if _, ok := facts.ByID(u.Section); !ok {
			continue // of a newer agent: not known here, nothing to keep
		}
		if known[u.Section] {
			return nil, fmt.Errorf("%w: section %s twice in a batch", ErrMalformed, u.Section)
		}
		known[u.Section] = true
		p, err := a.planSection(h, u)
		if err != nil {
			return nil, fmt.Errorf("section %s: %w", u.Section, err)
		}
		plans = append(plans, p)
	}
	return plans, nil
}

func (a *applier) planSection(h *applying, u *wire.SectionUpdate) (sectionPlan, error) {
	p := sectionPlan{update: u}
	state := h.state(u.Section)
	p.digest, p.count = state.Digest, state.Rows
	if !carriesRows(u.Status) {
		if u.Full || len(u.Put)+len(u.Removed) > 0 {
			return p, fmt.Errorf("%w: rows with status %s", ErrMalformed, u.Status)
		}
		return p, nil
	}
	put, err := a.tx.decodeItems(u)
	if err != nil {
		return p, err
	}
	if u.Full {
		err = a.planFull(h, &p, put)
	} else {
		err = a.planDelta(h, &p, put)
	}
	if errors.Is(err, ErrCorrupt) && !u.Full {
		p.resync = true // a whole section replaces what is damaged
		return p, nil
	}
	p.resync = p.digest != u.Digest || state.Doubtful && !u.Full
	return p, err
}

// holding returns what a host has of a section.
func (a *applier) holding(h *applying, section facts.ID) (*holding, error) {
	if held, ok := h.held[section]; ok {
		return held, nil
	}
	held, err := a.tx.held(h.rec.Index, section)
	if err != nil {
		return nil, err
	}
	h.held[section] = &holding{held: held}
	return h.held[section], nil
}

// storedRows reads a section to compare it with the whole that came. What is damaged is
// thrown away: where only the record of the host is, its items are still known from
// the inverted index; otherwise the history of the section begins anew.
func (a *applier) storedRows(h *applying, section facts.ID) ([]storedRow, error) {
	has, err := a.holding(h, section)
	if err == nil {
		rows, err := a.tx.storedRows(section, has.held)
		if !errors.Is(err, ErrCorrupt) {
			return rows, err
		}
		return nil, a.discard(h, section, err)
	}
	if !errors.Is(err, ErrCorrupt) {
		return nil, err
	}
	if layouts[section].own || a.unindexed {
		return nil, a.discard(h, section, err)
	}
	a.tx.store.log.Error("damaged record of a host made anew from the index, its section comes again", "host", h.rec.Name, "section", section, "err", err)
	items, err := a.tx.indexed(h.rec.Index, section)
	if err != nil {
		return nil, err
	}
	has = &holding{held: &held{items: items}, dirty: true, recovered: true}
	h.held[section] = has
	a.doubt(h, section)
	rows, err := a.tx.storedRows(section, has.held)
	if errors.Is(err, ErrCorrupt) {
		return nil, a.discard(h, section, err)
	}
	return rows, errors.Join(err, a.tx.mend(tableHeld, sectionKey(h.rec.Index, section)))
}

// storedOrTold is storedRows after the rows that were sent have brought back those items
// that could not be read.
func (a *applier) storedOrTold(h *applying, section facts.ID, put []toldRow) ([]storedRow, error) {
	has, err := a.holding(h, section)
	if err == nil {
		var rows []storedRow
		if rows, err = a.tx.storedRows(section, has.held); err == nil {
			return rows, nil
		}
		for i := 0; i < len(put) && errors.Is(err, ErrCorrupt); i++ {
			if !put[i].shared {
				break
			}
			if _, _, err := a.tx.findItem(section, put[i].Key, put[i].common); err != nil {
				return nil, err
			}
		}
	}
	if err != nil && !errors.Is(err, ErrCorrupt) {
		return nil, err
	}
	return a.storedRows(h, section)
}

// discard throws a section of a host away.
func (a *applier) discard(h *applying, section facts.ID, damage error) error {
	a.tx.store.log.Error("damaged section of a host thrown away, it comes again", "host", h.rec.Name, "section", section, "err", damage)
	items, err := a.tx.indexed(h.rec.Index, section)
	if err != nil {
		return err
	}
	for _, it := range items {
		if _, err := a.tx.item(it.id); errors.Is(err, ErrCorrupt) {
			if of, err := a.tx.listedIn(it.id); err != nil {
				return err
			} else if of != section {
				continue // whose it is will not be known: it must not seem to be gone from another section
			}
		}
		a.tx.have(h.rec.Index, it.id, false)
	}
	h.held[section] = &holding{held: &held{}, dirty: true}
	if err := a.tx.mend(tableHeld, sectionKey(h.rec.Index, section)); err != nil {
		return err
	}
	return a.lost(h, section)
}

// lost notes in the log that what a section was is not known any more, and has it
// begin anew.
func (a *applier) lost(h *applying, section facts.ID) error {
	var i int
	h.states, i = stateOf(h.states, section)
	s := &h.states[i]
	s.KnownAt, s.At, s.Doubtful, s.Rows, s.Digest = time.Time{}, a.tx.store.now(), true, 0, 0
	h.statesDirty = true
	a.tx.store.askAnew(h.rec.Index)
	at := facts.TimeOf(s.At)
	if err := a.tx.refill(); err != nil {
		return err
	}
	_, err := a.tx.logGroup(group{host: h.rec.Index, received: at, entries: []entry{
		{section: section, kind: Baseline, at: at, observed: at, lost: true, is: EncodeStatus(s.Status, s.Reason)}}})
	return err
}

// storedRows gives the rows of a section with how they are stored, by key.
func (tx *Tx) storedRows(section facts.ID, h *held) ([]storedRow, error) {
	out := make([]storedRow, 0, h.rows())
	for _, it := range h.items {
		r := ref{item: it.id, data: it.pairs}
		key, data, err := tx.row(section, r)
		if err != nil {
			return nil, err
		}
		out = append(out, storedRow{facts.Item{Key: key, Data: data}, r})
	}
	for _, it := range h.own {
		out = append(out, storedRow{it, ref{key: it.Key, data: it.Data}})
	}
	slices.SortFunc(out, func(a, b storedRow) int { return cmp.Compare(a.Key, b.Key) })
	return out, nil
}

// planFull finds what differs between the stored section and the one that was sent.
func (a *applier) planFull(h *applying, p *sectionPlan, put []toldRow) error {
	if len(p.update.Removed) > 0 {
		return fmt.Errorf("%w: removals in a whole section", ErrMalformed)
	}
	p.digest, p.count = 0, len(put)
	for _, it := range put {
		p.digest = p.digest.Plus(it.Item)
	}
	stored, err := a.storedOrTold(h, p.update.Section, put)
	if err != nil {
		return err
	}
	for len(stored) > 0 || len(put) > 0 {
		switch {
		case len(put) == 0 || len(stored) > 0 && stored[0].Key < put[0].Key:
			p.rows = append(p.rows, rowChange{stored[0].Key, stored[0].Data, nil, stored[0].ref, nil})
			stored = stored[1:]
		case len(stored) == 0 || put[0].Key < stored[0].Key:
			p.rows = append(p.rows, rowChange{put[0].Key, nil, put[0].Data, ref{}, &put[0]})
			put = put[1:]
		default:
			if string(stored[0].Data) != string(put[0].Data) {
				p.rows = append(p.rows, rowChange{put[0].Key, stored[0].Data, put[0].Data, stored[0].ref, &put[0]})
			}
			stored, put = stored[1:], put[1:]
		}
	}
	return nil
}

func (a *applier) planDelta(h *applying, p *sectionPlan, put []toldRow) error {
	section := p.update.Section
	if len(put)+len(p.update.Removed) == 0 {
		return nil
	}
	held, err := a.holding(h, section)
	if err != nil {
		return err
	}
	known := make(map[string]bool, len(put)+len(p.update.Removed))
	for i := range put {
		it := &put[i]
		known[it.Key] = true
		was, old, err := a.tx.stored(section, held.held, it.Key)
		if err != nil {
			return err
		}
		if old != nil {
			p.digest = p.digest.Minus(facts.Item{Key: it.Key, Data: old})
			p.count--
		}
		p.digest = p.digest.Plus(it.Item)
		p.count++
		if old == nil || string(old) != string(it.Data) {
			p.rows = append(p.rows, rowChange{it.Key, old, it.Data, was, it})
		}
	}
	for _, key := range p.update.Removed {
		if known[key] {
			return fmt.Errorf("%w: row %q is put and removed, or removed twice", ErrMalformed, key)
		}
		known[key] = true
		was, old, err := a.tx.stored(section, held.held, key)
		if err != nil {
			return err
		}
		if old == nil {
			continue // the digest tells whether that matters
		}
		p.digest = p.digest.Minus(facts.Item{Key: key, Data: old})
		p.count--
		p.rows = append(p.rows, rowChange{key, old, nil, was, nil})
	}
	slices.SortFunc(p.rows, func(a, b rowChange) int { return cmp.Compare(a.key, b.key) })
	return nil
}

// stored returns the row with that key, nil when there is none.
func (tx *Tx) stored(section facts.ID, h *held, key string) (ref, []byte, error) {
	r, found, err := tx.find(section, h, key)
	if err != nil || !found {
		return ref{}, nil, err
	}
	_, data, err := tx.row(section, r)
	return r, data, err
}

// write carries out the plans of a batch.
func (a *applier) write(h *applying, d *Delivery, plans []sectionPlan) (Outcome, error) {
	var out Outcome
	g := group{host: h.rec.Index, received: facts.TimeOf(d.Received), epoch: d.Batch.Epoch, batchSeq: d.Batch.Seq}
	since := map[facts.ID]int{} // section -> entry that brings its status
	for _, p := range plans {
		if p.resync {
			out.Resync = append(out.Resync, p.update.Section)
			continue
		}
		begin := len(g.entries)
		entries, err := a.accept(h, d, p)
		if err != nil {
			return out, err
		}
		if len(entries) > 0 && entries[0].is != nil {
			since[p.update.Section] = begin
		}
		g.entries = append(g.entries, entries...)
	}
	if len(g.entries) == 0 {
		return out, nil
	}
	for _, e := range g.entries {
		h.recDirty = h.rec.date(e.at) || h.recDirty
	}
	first, err := a.tx.logGroup(g)
	for section, i := range since {
		var at int
		h.states, at = stateOf(h.states, section)
		h.states[at].Since = first + uint64(i)
	}
	return out, err
}

// accept takes a plan into the section and returns what it changes.
func (a *applier) accept(h *applying, d *Delivery, p sectionPlan) ([]entry, error) {
	var i int
	h.states, i = stateOf(h.states, p.update.Section)
	s, u := &h.states[i], p.update
	h.statesDirty = true
	observed := facts.Time(u.At).Time()
	s.At = effective(observed, d.Received, h.rec.ClockOffset, s.At)
	base := entry{section: u.Section, at: facts.TimeOf(s.At), observed: facts.TimeOf(observed)}
	var entries []entry
	if u.Status != s.Status {
		e := base
		e.kind, e.is = StatusChanged, EncodeStatus(u.Status, u.Reason)
		if s.Status != facts.StatusUnknown {
			e.was = EncodeStatus(s.Status, s.Reason)
		}
		entries = append(entries, e)
	}
	first := s.KnownAt.IsZero()
	s.Status, s.Reason, s.ObservedAt = u.Status, u.Reason, observed
	if !carriesRows(u.Status) {
		return entries, nil
	}
	s.KnownAt, s.Digest, s.Rows, s.Doubtful = observed, p.digest, p.count, false
	if len(p.rows) == 0 && !u.Full {
		return entries, nil
	}
	held, err := a.holding(h, u.Section)
	if err != nil {
		return nil, err
	}
	if u.Full && first && held.rows() == 0 && len(p.rows) > fewRows {
		e := base
		e.kind, e.is, e.rows = Baseline, EncodeStatus(u.Status, u.Reason), len(p.rows)
		if len(entries) > 0 {
			e.was = entries[0].was
		} else {
			e.was = e.is
		}
		_, err := a.carryOut(h, held, base, p.rows)
		return []entry{e}, err
	}
	changed, err := a.carryOut(h, held, base, p.rows)
	if held.recovered { // the host's own columns were not known: that they are is no change
		changed = slices.DeleteFunc(changed, func(e entry) bool { return e.kind == Changed && e.old.item == e.new.item })
		held.recovered = false
	}
	return append(entries, changed...), err
}

// fewRows is up to how many rows a first reading is told row by row: a line of its own
// for each is then as short and says more.
const fewRows = 2

// carryOut changes the rows of a section and returns an entry for each.
func (a *applier) carryOut(h *applying, held *holding, base entry, rows []rowChange) ([]entry, error) {
	refs, err := a.tx.internAll(base.section, rows)
	if err != nil {
		return nil, err
	}
	out := make([]entry, 0, len(rows))
	for i, r := range rows {
		e := base
		e.old, e.new = r.was, refs[i]
		switch {
		case r.old == nil:
			e.kind = Added
		case r.new == nil:
			e.kind = Removed
		default:
			e.kind = Changed
		}
		out = append(out, e)
	}
	a.tx.redo(h.rec.Index, held.held, out)
	held.dirty = held.dirty || len(out) > 0
	return out, nil
}

// redo changes a section and the inverted index as the entries say.
func (tx *Tx) redo(index uint32, h *held, entries []entry) {
	if len(entries) > 64 && h.rows() == 0 {
		h.fill(entries)
	} else {
		for _, e := range entries {
			if e.kind != Added && e.old.item != e.new.item || e.kind == Removed {
				h.drop(e.old)
			}
			if e.kind != Removed {
				h.put(e.new)
			}
		}
	}
	for _, e := range entries {
		if e.kind == Changed && e.old.item == e.new.item {
			continue
		}
		if e.kind != Added && e.old.item != 0 {
			tx.have(index, e.old.item, false)
		}
		if e.kind != Removed && e.new.item != 0 {
			tx.have(index, e.new.item, true)
		}
	}
}

// minOffset is the least clock offset that is corrected: below it, it is mostly the
// time that the message took.
const minOffset = 2 * time.Second

// effective returns the moment by our clock at which something came about that a host
// observed: its clock corrected by the offset known of it, but not after it was
// received, and not before what is already known of the section, as far as that is
// itself not after it.
func effective(observed, received time.Time, offset time.Duration, last time.Time) time.Time {
	at := observed
	if offset.Abs() >= minOffset {
		at = at.Add(-offset)
	}
	if observed.IsZero() || at.After(received) {
		at = received
	}
	if at.Before(last) {
		at = last
	}
	if at.After(received) {
		at = received
	}
	return at.Truncate(time.Millisecond)
}
