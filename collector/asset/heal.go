package asset

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"atalaya/collector/store"
	"atalaya/shared/facts"
)

// lostNote is what a line of the history says in whose place there was another one.
const lostNote = "this line was lost through damage to the state file: what the asset was before is not known"

// healLog puts a line in the place of each that damage took of the log: the index by asset
// says whose it was. The records are as they were. The newest line of an asset that was
// lost carries its present record, so that all can be made from the log again.
func healLog(tx *store.Tx, now time.Time) error {
	lost := map[ID][]uint64{}
	n := uint64(0)
	err := tx.Table(tableByAsset).Scan(nil, func(k, _ []byte) error {
		if len(k) != 12 {
			return &store.CorruptError{Table: tableByAsset, Key: bytes.Clone(k), Detail: "wrong length"}
		}
		v, err := tx.Table(tableLog).Get(k[4:])
		if err == nil && v == nil {
			id := ID(binary.BigEndian.Uint32(k))
			lost[id] = append(lost[id], binary.BigEndian.Uint64(k[4:]))
			n++
		}
		return err
	})
	if err != nil || n == 0 {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(lost)) {
		state, err := stateOf(tx, id)
		if err != nil {
			return err
		}
		for i, seq := range lost[id] {
			c := Change{Asset: id, By: "collector", Kind: Lost, Note: lostNote}
			if c.At, err = momentAfter(tx, seq, now); err != nil {
				return err
			}
			if i == len(lost[id])-1 {
				c.State = state
			}
			if err := putChange(tx, seq, c); err != nil {
				return err
			}
		}
	}
	what := fmt.Sprintf("lines of the history of %d assets; their present records are as they were", len(lost))
	if len(lost) == 1 {
		for id := range lost {
			what = fmt.Sprintf("lines of the history of %s; its present record is as it was", id)
		}
	}
	return tx.NoteLoss(tableLog, n, what, "replaced by lines that say so")
}

// stateOf is the present record of an asset, empty when it is removed. Asset zero has the
// custom fields.
func stateOf(tx *store.Tx, id ID) (*Record, error) {
	if id != 0 {
		r, _, err := readRecord(tx, id)
		return &r, err
	}
	r := Record{Values: map[string]string{}}
	err := tx.Table(tableFields).Scan(nil, func(k, v []byte) error {
		r.Values[string(k)] = string(v)
		return nil
	})
	return &r, err
}

// momentAfter is when the first change after that number was made: the latest moment at
// which that one can have been.
func momentAfter(tx *store.Tx, seq uint64, now time.Time) (at facts.Time, err error) {
	err = tx.Table(tableLog).ScanFrom(nil, seqKey(seq+1), func(k, v []byte) error {
		c, err := decodeChange(k, v)
		at = c.At
		if err == nil {
			err = store.ErrStop
		}
		return err
	})
	if err != nil || at != 0 {
		return at, err
	}
	at = facts.TimeOf(now)
	err = tx.Table(tableLog).ScanReverse(nil, nil, func(k, v []byte) error {
		c, err := decodeChange(k, v)
		at = max(at, c.At)
		if err == nil {
			err = store.ErrStop
		}
		return err
	})
	return at, err
}

// resume makes of the tables what the line in the place of a lost one says they were.
func resume(tx *store.Tx, c Change) error {
	if c.State == nil {
		return nil // a later line says more
	}
	if c.Asset == 0 {
		if err := tx.Table(tableFields).Clear(); err != nil {
			return err
		}
		for name, v := range c.State.Values {
			if err := tx.Table(tableFields).Put([]byte(name), []byte(v)); err != nil {
				return err
			}
		}
		return nil
	}
	old, _, err := readRecord(tx, c.Asset)
	if err != nil {
		return err
	}
	now := c.State.clone()
	now.ID = c.Asset
	if err := changeKeys(tx, old.clone(), now); err != nil {
		return err
	}
	if now.AddedAt == 0 {
		return tx.Table(tableRecords).Delete(idKey(c.Asset))
	}
	return putRecord(tx, now)
}
