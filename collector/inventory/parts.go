package inventory

import (
	"cmp"
	"slices"
	"time"

	"atalaya/collector/identity/ledger"
	"atalaya/collector/store"
	"atalaya/shared/identity"
)

// changesOf returns the changes of a host that q selects, with those of the hosts that
// were merged into it, up to that: their numbers put them in one order.
func changesOf(tx *store.Tx, id identity.HostID, q store.ChangeQuery) ([]store.Change, error) {
	parts, err := ledger.Parts(tx, id)
	if err != nil {
		return nil, err
	}
	var all []store.Change
	for _, p := range parts {
		err := tx.HostChanges(p.Host, q, func(c store.Change) error {
			if p.Until.IsZero() || c.Received.Before(p.Until) { // the end of its record is no change of the machine
				all = append(all, c)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(parts) == 1 {
		return all, nil
	}
	slices.SortFunc(all, func(a, b store.Change) int {
		if q.NewestFirst {
			a, b = b, a
		}
		return cmp.Compare(a.Seq, b.Seq)
	})
	if q.Limit > 0 && len(all) > q.Limit {
		all = all[:q.Limit]
	}
	return all, nil
}

// partAt returns the index of the host that reported last by a moment, of a host and
// those that were merged into it later.
func partAt(tx *store.Tx, h store.Host, at time.Time) (uint32, error) {
	parts, err := ledger.Parts(tx, h.ID)
	if err != nil {
		return 0, err
	}
	index, newest := h.Index, uint64(0)
	for _, p := range parts {
		if !p.Until.IsZero() && !at.Before(p.Until) {
			continue
		}
		err := tx.HostChanges(p.Host, store.ChangeQuery{To: at, NewestFirst: true, Limit: 1}, func(c store.Change) error {
			if c.Seq < newest {
				return nil
			}
			newest = c.Seq
			part, _, err := tx.Host(p.Host)
			index = part.Index
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return index, nil
}
