package store

import (
	"fmt"
	"time"

	"atalaya/shared/facts"
	"atalaya/shared/identity"
)

// RemoveHost takes an active host out of the fleet: its facts go, as one change for
// each section, and the past keeps them. The host's record stays as a tombstone with
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

// ReviveHost makes a removed host active again. Its facts come with its next whole
// reports, which its next batch asks for.
func (tx *Tx) ReviveHost(id identity.HostID) error {
	rec, ok, err := tx.hostRecord(id)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%w: %s", ErrUnknownHost, id)
	}
	rec.RemovedAt, rec.RemovedWhy = 0, ""
	return tx.putHostRecord(id, rec)
}
