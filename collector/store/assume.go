package store

import (
	"fmt"
	"slices"
	"time"

	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// Assumption says whose facts a host is to have.
type Assumption struct {
	Host, From identity.HostID // may be the same
	After      uint64          // as they were after the change of that number
	// States are those of the sections at that time, as Sections gave them then: the
	// past itself knows no times of readings.
	States []SectionState
}

// AssumeFacts makes the present facts of a host those that another one had, or the same
// one had before. What differs is logged as changes of the host. Its sections are in
// doubt until its agent has told them whole. What the log has forgotten is ErrHistory.
// A removed host that assumes its own has them when it is revived.
func (tx *Tx) AssumeFacts(as Assumption, at time.Time) error {
	then, err := tx.afterChange(as.After)
	if err != nil {
		return err
	}
	to, ok, err := tx.hostRecord(as.Host)
	if err != nil || !ok {
		return orUnknown(err, as.Host)
	}
	if to.RemovedAt != 0 && as.From == as.Host {
		to.Had = &had{States: encodeSections(as.States), After: as.After}
		return tx.putHostRecord(as.Host, to)
	}
	from, ok, err := tx.hostRecord(as.From)
	if err != nil || !ok {
		return orUnknown(err, as.From)
	}
	a := applier{tx: tx, hosts: map[identity.HostID]*applying{}}
	h := &applying{rec: to, held: map[facts.ID]*holding{}}
	if h.states, err = tx.sections(to.Index); err != nil {
		return err
	}
	g := group{host: to.Index, received: facts.TimeOf(at)}
	var states []SectionState
	for _, section := range facts.Sections() {
		var is *SectionState
		if i := slices.IndexFunc(as.States, func(s SectionState) bool { return s.Section == section.ID }); i >= 0 {
			is = &as.States[i]
		}
		entries, err := a.assumeSection(h, then, from.Index, section.ID, is, facts.TimeOf(at))
		if err != nil {
			return fmt.Errorf("section %s: %w", section.Name, err)
		}
		if is != nil {
			s := *is
			was := h.state(section.ID)
			s.Doubtful, s.Since = true, was.Since
			if s.At = at; was.At.After(at) { // it never goes back
				s.At = was.At
			}
			states = append(states, s)
		}
		g.entries = append(g.entries, entries...)
	}
	slices.SortFunc(states, bySection) // they are listed in another order
	h.states, h.statesDirty = states, true
	tx.store.askAnew(to.Index)
	if len(g.entries) > 0 {
		if _, err := tx.logGroup(g); err != nil {
			return err
		}
	}
	return a.finishHost(as.Host, h)
}

// afterChange is asOfChange within a transaction that may have changed something. What
// the log has forgotten is ErrHistory.
func (tx *Tx) afterChange(seq uint64) (*State, error) {
	if err := tx.flushLog(); err != nil {
		return nil, err
	}
	first, err := tx.firstKept()
	if err == nil && seq+1 < first {
		err = fmt.Errorf("%w: it was pruned", ErrHistory)
	}
	return tx.asOfChange(seq), err
}

func orUnknown(err error, id identity.HostID) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", ErrUnknownHost, id)
}

// assumeSection changes a section to what it was, or clears it when is is nil, and
// returns what that changes.
func (a *applier) assumeSection(h *applying, then *State, from uint32, section facts.ID, is *SectionState, at facts.Time) ([]entry, error) {
	was := h.state(section)
	base := entry{section: section, at: max(at, facts.TimeOf(was.At)), observed: at}
	held, err := a.holding(h, section)
	if err != nil {
		return nil, err
	}
	if is == nil {
		return a.clear(h, held, base, was), nil
	}
	var rows []toldRow
	err = then.Rows(from, section, func(key string, data []byte) error {
		r := toldRow{Item: facts.Item{Key: key, Data: slices.Clone(data)}}
		r.common, r.pairs, r.shared = layouts[section].split(r.Data)
		rows = append(rows, r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	p := sectionPlan{update: &wire.SectionUpdate{Section: section, Full: true}}
	if err := a.planFull(h, &p, rows); err != nil {
		return nil, err
	}
	first := was.KnownAt.IsZero() && held.rows() == 0 && len(p.rows) > fewRows
	entries, err := a.carryOut(h, held, base, p.rows)
	if err != nil || !first && was.Status == is.Status {
		return entries, err
	}
	status := base
	status.kind, status.is = StatusChanged, EncodeStatus(is.Status, is.Reason)
	if was.Status != facts.StatusUnknown {
		status.was = EncodeStatus(was.Status, was.Reason)
	}
	if first {
		status.kind, status.rows = Baseline, len(p.rows)
		return []entry{status}, nil
	}
	return append([]entry{status}, entries...), nil
}

// clear takes a section away from a host.
func (a *applier) clear(h *applying, has *holding, base entry, was SectionState) []entry {
	if was.Status == facts.StatusUnknown {
		return nil
	}
	for _, it := range has.items {
		a.tx.have(h.rec.Index, it.id, false)
	}
	base.kind, base.was, base.rows, base.content = Cleared, EncodeStatus(was.Status, was.Reason), has.rows(), has.encode(a.tx.store.codec)
	h.held[base.section] = &holding{held: &held{}, dirty: true}
	return []entry{base}
}
