package store

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"atalaya/shared/facts"
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

// Host returns the host of that number, if it was there as Hosts tells.
func (s *State) Host(index uint32) (h Host, there bool, err error) {
	id, ok, err := s.tx.HostByIndex(index)
	if err == nil && ok {
		h, ok, err = s.tx.Host(id)
	}
	return h, err == nil && ok && s.there(h), err
}

// there reports whether a host was known at the moment: enrolled by then, or told of by facts
// that came about by then, and not removed then.
func (s *State) there(h Host) bool {
	removed := facts.TimeOf(h.RemovedAt)
	if s.now() {
		return removed == 0
	}
	_, away := h.AwayAt(s.at.Time())
	return (removed == 0 || removed > s.at) && !away && facts.TimeOf(h.KnownFrom) <= s.at
}

// AwayAt returns when a host that was brought back had been removed, if it was at that moment.
func (h Host) AwayAt(at time.Time) (Span, bool) {
	t := facts.TimeOf(at)
	i := slices.IndexFunc(h.Away, func(a Span) bool { return a.From <= t && t < a.Until })
	if i < 0 {
		return Span{}, false
	}
	return h.Away[i], true
}
