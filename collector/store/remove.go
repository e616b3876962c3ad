package store

import (
	"errors"
	"fmt"
	"time"

	"atalaya/shared/facts"
	"atalaya/shared/identity"
)

// RemoveHost takes an active host out of the fleet: its facts go, as one change for
// each section, and the past keeps them for ReviveHost. The host's record stays as a tombstone with
// the reason, so that its identity is known when it comes again; until ReviveHost
// whatever it sends is refused with ErrUnknownHost.
func (tx *Tx) RemoveHost(id identity.HostID, at time.Time, why string) error {
	rec, ok, err := tx.hostRecord(id)
	if err != nil {
		return err
	}
	if !ok || rec.RemovedAt != 0 {
		return fmt.Errorf("%w: %s", ErrUnknownHost, id)
	}
	states, err := tx.sections(rec.Index)
	if err != nil {
		return err
	}
	now := facts.TimeOf(at)
	g := group{host: rec.Index, received: now}
	for _, st := range states {
		h, err := tx.held(rec.Index, st.Section)
		if err != nil {
			return fmt.Errorf("section %s: %w", st.Section, err)
		}
		for _, it := range h.items {
			tx.have(rec.Index, it.id, false)
		}
		g.entries = append(g.entries, entry{
			section: st.Section, kind: Cleared, at: max(now, facts.TimeOf(st.At)), observed: now,
			was: EncodeStatus(st.Status, st.Reason), rows: h.rows(), content: h.encode(tx.store.codec),
		})
		if err := tx.putHeld(rec.Index, st.Section, &held{}); err != nil {
			return err
		}
	}
	rec.Had = &had{States: encodeSections(states)}
	if rec.Had.After, err = tx.LastChange(); err != nil {
		return err
	}
	if len(g.entries) > 0 {
		if _, err := tx.logGroup(g); err != nil {
			return err
		}
	}
	if err := tx.Table(tableSections).Delete(indexKey(rec.Index)); err != nil {
		return err
	}
	rec.RemovedAt, rec.RemovedWhy = now, why
	return tx.putHostRecord(id, rec)
}

// ReviveHost makes a removed host active again, with the facts that it had. They are in
// doubt: its next batch asks for them whole. Where the log has forgotten them or is
// damaged there, it has none until they have come.
func (tx *Tx) ReviveHost(id identity.HostID, at time.Time) error {
	rec, ok, err := tx.hostRecord(id)
	if err != nil || !ok {
		return orUnknown(err, id)
	}
	if rec.RemovedAt == 0 {
		return nil
	}
	if now := facts.TimeOf(at); now > rec.RemovedAt {
		rec.Away = append(rec.Away[max(0, len(rec.Away)+1-maxAway):], Span{rec.RemovedAt, now})
	}
	had := rec.Had
	rec.RemovedAt, rec.RemovedWhy, rec.Had = 0, "", nil
	if err := tx.putHostRecord(id, rec); err != nil {
		return err
	}
	if had == nil { // a version before this one removed it
		tx.store.askAll(rec.Index)
		return nil
	}
	as := Assumption{Host: id, From: id, After: had.After}
	as.States, _ = decodeSections(had.States)
	switch err := tx.assumable(rec.Index, as); {
	case errors.Is(err, ErrHistory), errors.Is(err, ErrCorrupt):
		tx.store.log.Warn("a host is back without its facts: the log does not tell them", "host", id.String(), "err", err)
		tx.store.askAll(rec.Index)
		return nil
	case err != nil:
		return err
	}
	return tx.AssumeFacts(as, at)
}

// assumable reports whether the log still tells what AssumeFacts would read.
func (tx *Tx) assumable(from uint32, as Assumption) error {
	then, err := tx.afterChange(as.After)
	if err != nil {
		return err
	}
	for _, st := range as.States {
		if err := then.Rows(from, st.Section, func(string, []byte) error { return nil }); err != nil {
			return fmt.Errorf("section %s: %w", st.Section, err)
		}
	}
	return nil
}
