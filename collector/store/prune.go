package store

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"atalaya/shared/facts"

	"github.com/RoaringBitmap/roaring/v2"
)

// pruneBlocks is how many records one transaction of Prune takes out.
const pruneBlocks = 256

// Prune takes changes received before that moment out of the log, as far as all views
// have read them, and items that nothing names any more. The past stays exact from
// HistoryFrom on, which moves: states are made by undoing what came later. It returns
// how many changes it took out.
func (s *Store) Prune(before time.Time) (int, error) {
	total := 0
	for {
		n, more := 0, false
		err := s.Update(func(tx *Tx) (err error) {
			n, more, err = tx.prune(facts.TimeOf(before))
			return err
		})
		total += n
		if err != nil {
			return total, err
		}
		if !more {
			break
		}
	}
	if total == 0 {
		return 0, nil
	}
	return total, errors.Join(s.tidyIndex(), s.tidyItems())
}

func (tx *Tx) prune(before facts.Time) (dropped int, more bool, err error) {
	unread, err := tx.slowestCursor()
	if err != nil {
		return 0, false, err
	}
	backs, err := tx.setBacks()
	if err != nil {
		return 0, false, err
	}
	horizon := facts.Time(0)
	var keys [][]byte
	err = tx.Table(tableChanges).Scan(nil, func(k, v []byte) error {
		head, err := readBlockHead(k, v)
		if err != nil {
			return err
		}
		high := byThen(head.high, head.last(), backs)
		if high >= before || head.last() > unread {
			return ErrStop
		}
		if more = len(keys) == pruneBlocks; more {
			return ErrStop
		}
		keys = append(keys, slices.Clone(k))
		dropped += int(head.count)
		horizon = max(horizon, high)
		return nil
	})
	if err != nil || len(keys) == 0 {
		return 0, false, err
	}
	for _, k := range keys {
		if err := tx.Table(tableChanges).Delete(k); err != nil {
			return 0, false, err
		}
	}
	history, err := tx.meta(metaHistory)
	if err != nil {
		return 0, false, err
	}
	return dropped, more, tx.putMeta(metaHistory, max(history, uint64(horizon)))
}

// firstKept returns the number of the oldest change in the log, one above the newest
// when there is none.
func (tx *Tx) firstKept() (uint64, error) {
	last, err := tx.LastChange()
	first := last + 1
	if err != nil {
		return 0, err
	}
	return first, tx.Table(tableChanges).Scan(nil, func(k, _ []byte) error {
		first = binary.BigEndian.Uint64(k)
		return ErrStop
	})
}

// tidyIndex drops records of the index by host that name pruned blocks only.
func (s *Store) tidyIndex() error {
	return s.Update(func(tx *Tx) error {
		first, err := tx.firstKept()
		if err != nil {
			return err
		}
		var drop [][]byte
		err = tx.Table(tableByHost).Scan(nil, func(k, v []byte) error {
			blocks, err := readBlocks(k, v)
			if err != nil {
				return err
			}
			if blocks[len(blocks)-1] < first {
				drop = append(drop, slices.Clone(k))
			}
			return nil
		})
		for _, k := range drop {
			err = errors.Join(err, tx.Table(tableByHost).Delete(k))
		}
		return err
	})
}

// tidyItems drops the items that no host has and no kept change names. The long look
// through the log runs beside other writers; what they did meanwhile is looked at in
// the transaction that drops.
func (s *Store) tidyItems() error {
	named, read := roaring.New(), uint64(0)
	err := s.View(func(tx *Tx) (err error) {
		if read, err = tx.LastChange(); err != nil {
			return err
		}
		return tx.namedAfter(0, named)
	})
	if err != nil {
		return err
	}
	return s.Update(func(tx *Tx) error {
		if err := tx.namedAfter(read, named); err != nil {
			return err
		}
		err := tx.Table(tableHave).Scan(nil, func(k, _ []byte) error {
			if len(k) == 7 {
				named.Add(binary.BigEndian.Uint32(k[3:]))
			}
			return nil
		})
		if err != nil {
			return err
		}
		var drop []uint32
		err = tx.Table(tableItems).Scan(nil, func(k, _ []byte) error {
			if id := binary.BigEndian.Uint32(k); !named.Contains(id) {
				drop = append(drop, id)
			}
			return nil
		})
		for _, id := range drop {
			err = errors.Join(err, tx.dropItem(id))
		}
		return err
	})
}

// namedAfter adds the items that changes with numbers above after name.
func (tx *Tx) namedAfter(after uint64, named *roaring.Bitmap) error {
	return tx.groupsAfter(after, func(g group) error {
		for _, e := range g.entries {
			named.Add(e.old.item)
			named.Add(e.new.item)
			if e.kind != Cleared {
				continue
			}
			was, ok := decodeHeld(tx.store.codec, e.content)
			if !ok {
				return &CorruptError{Table: tableChanges, Key: blockKey(g.first), Detail: "content is not decodable"}
			}
			for _, it := range was.items {
				named.Add(it.id)
			}
		}
		return nil
	})
}

func (tx *Tx) slowestCursor() (uint64, error) {
	slowest := ^uint64(0)
	err := tx.Table(tableCursors).Scan(nil, func(_, v []byte) error {
		if len(v) == 8 {
			slowest = min(slowest, binary.BigEndian.Uint64(v))
		}
		return nil
	})
	return slowest, err
}
