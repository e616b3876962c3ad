package asset

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"atalaya/collector/store"
	"atalaya/shared/facts"
)

// AsOf calls fn for all assets as they were at a moment, in the order of their numbers.
// Zero is now. store.ErrStop ends it early.
func AsOf(tx *store.Tx, at time.Time, fn func(Record) error) error {
	if err := whole(tx); err != nil {
		return err
	}
	if at.IsZero() {
		return Each(tx, 0, fn)
	}
	touched, err := undone(tx, facts.TimeOf(at))
	if err != nil {
		return err
	}
	var was []Record
	for _, r := range touched {
		if r.AddedAt != 0 {
			was = append(was, r)
		}
	}
	err = Each(tx, 0, func(r Record) error {
		if _, ok := touched[r.ID]; !ok {
			was = append(was, r)
		}
		return nil
	})
	slices.SortFunc(was, func(a, b Record) int { return cmp.Compare(a.ID, b.ID) })
	for _, r := range was {
		if err == nil {
			err = fn(r)
		}
	}
	if errors.Is(err, store.ErrStop) {
		return nil
	}
	return err
}

// undone gives the assets that were changed after a moment as they were at it; those
// that were not there, or of which that is not known, have no AddedAt.
func undone(tx *store.Tx, at facts.Time) (map[ID]Record, error) {
	touched := map[ID]Record{}
	unknown := map[ID]bool{} // a change after the moment is lost
	err := tx.Table(tableLog).ScanReverse(nil, nil, func(k, v []byte) error {
		c, err := decodeChange(k, v)
		if err != nil {
			return err
		}
		if c.At <= at {
			return store.ErrStop
		}
		if c.Asset == 0 {
			return nil
		}
		unknown[c.Asset] = unknown[c.Asset] || c.Kind == Lost
		r, ok := touched[c.Asset]
		if !ok {
			if r, _, err = readRecord(tx, c.Asset); err != nil {
				return err
			}
			r = r.clone()
		}
		r.undo(c)
		touched[c.Asset] = r
		return nil
	})
	if err != nil {
		return nil, err
	}
	for id, r := range touched {
		if unknown[id] {
			r.AddedAt = 0
			touched[id] = r
			continue
		}
		if r.AddedAt, r.ChangedAt, r.ChangedBy, err = times(tx, id, at); err != nil {
			return nil, err
		}
		touched[id] = r
	}
	return touched, nil
}

// times tells when an asset was added and last changed by a moment; zero: it was not
// there then.
func times(tx *store.Tx, id ID, at facts.Time) (added, changed facts.Time, by string, err error) {
	first := true
	err = eachChange(tx, id, 0, func(c Change) error {
		switch {
		case c.At > at:
			return nil
		case first && c.Kind == Removed:
			return store.ErrStop
		case first:
			if first = false; c.Kind != Lost { // who made that one, and when, is not known
				changed, by = c.At, c.By
			}
		}
		if c.Kind == Lost && c.State != nil {
			added = cmp.Or(c.State.AddedAt, c.At)
			return store.ErrStop
		}
		if c.Kind == Added {
			added = c.At
			return store.ErrStop
		}
		return nil
	})
	return added, changed, by, err
}

// eachChange calls fn for the changes of an asset with numbers below before, newest
// first; before 0 is all.
func eachChange(tx *store.Tx, id ID, before uint64, fn func(Change) error) error {
	var end []byte
	if before > 0 {
		end = append(idKey(id), seqKey(before)...)
	}
	return tx.Table(tableByAsset).ScanReverse(idKey(id), end, func(k, _ []byte) error {
		seq := k[4:]
		v, err := tx.Table(tableLog).Get(seq)
		if err != nil {
			return err
		}
		c, err := decodeChange(seq, v)
		if err != nil {
			return err
		}
		return fn(c)
	})
}

// History returns changes, newest first: of one asset, which may be removed by now, or of
// all where ref is empty. before is the number of a change, 0 for the newest; more tells
// that there are others.
func (b *Book) History(ref string, before uint64, limit int) (r Record, changes []Change, more bool, err error) {
	take := func(c Change) error {
		if len(changes) == limit {
			more = true
			return store.ErrStop
		}
		changes = append(changes, c)
		return nil
	}
	err = b.view(func(tx *store.Tx) error {
		if ref == "" {
			return EachChange(tx, before, take)
		}
		id, ok := ParseID(ref)
		r, err = find(tx, ref)
		if err != nil {
			if !ok {
				return err
			}
			r = Record{ID: id}.clone()
		}
		lookup := err
		if err := eachChange(tx, r.ID, before, take); err != nil {
			return err
		}
		if len(changes) == 0 {
			return lookup
		}
		return nil
	})
	return r, changes, more, err
}

// EachChange calls fn for all changes with numbers below before, newest first; before 0
// is all. store.ErrStop ends it early.
func EachChange(tx *store.Tx, before uint64, fn func(Change) error) error {
	var end []byte
	if before > 0 {
		end = seqKey(before)
	}
	return tx.Table(tableLog).ScanReverse(nil, end, func(k, v []byte) error {
		c, err := decodeChange(k, v)
		if err != nil {
			return err
		}
		return fn(c)
	})
}

// LastChange returns the number of the newest change, 0 when there is none.
func LastChange(tx *store.Tx) (seq uint64, err error) {
	err = tx.Table(tableLog).ScanReverse(nil, nil, func(k, _ []byte) error {
		if len(k) == 8 {
			seq = binary.BigEndian.Uint64(k)
		}
		return store.ErrStop
	})
	return seq, err
}
