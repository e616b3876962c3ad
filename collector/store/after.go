package store

import (
	"encoding/binary"
	"errors"
)

// ItemsAfter calls fn for the items with numbers above after, in the order of their
// numbers; numbers are never reused, so that a reader sees what is new since its last
// look. Items that cannot be read are left out. ErrStop ends it early.
func (s *State) ItemsAfter(after uint32, fn func(Item) error) error {
	return s.tx.Table(tableItems).ScanFrom(nil, itemKey(after+1), func(k, _ []byte) error {
		it, err := s.tx.item(binary.BigEndian.Uint32(k))
		if errors.Is(err, ErrCorrupt) {
			return nil // told by those who look after the file
		}
		if err != nil {
			return err
		}
		return fn(it)
	})
}

// Item returns the item of that number.
func (s *State) Item(id uint32) (Item, error) { return s.tx.item(id) }
