package store

import (
	"atalaya/shared/facts"

	"github.com/RoaringBitmap/roaring/v2"
)

// turned is the inverted index of a section as far as the past differs.
type turned struct {
	blank *roaring.Bitmap            // hosts of which the present index says nothing
	plus  map[uint32]*roaring.Bitmap // item -> hosts that had it
	minus map[uint32]*roaring.Bitmap // item -> hosts that have it but had it not
	extra map[uint32][]uint32        // host -> items it was put to in plus
}

// turn makes the difference between the present inverted index of a section and that
// of the moment.
func (s *State) turn(section facts.ID) (*turned, error) {
	if t, ok := s.turned[section]; ok || s.now() {
		return t, nil
	}
	t := &turned{roaring.New(), map[uint32]*roaring.Bitmap{}, map[uint32]*roaring.Bitmap{}, map[uint32][]uint32{}}
	var broken error
	err := s.fleet(section, func(index uint32, u undo) {
		if broken == nil {
			broken = t.undo(s.tx.store.codec, index, u)
		}
	})
	if err == nil {
		err = broken
	}
	if err != nil {
		return nil, err
	}
	s.turned[section] = t
	return t, nil
}

// undo takes one entry back.
func (t *turned) undo(c *codec, index uint32, u undo) error {
	switch u.kind {
	case Added:
		t.take(index, u.new.item)
	case Removed:
		t.put(index, u.old.item)
	case Changed:
		if u.old.item != u.new.item {
			t.take(index, u.new.item)
			t.put(index, u.old.item)
		}
	case Baseline, Cleared:
		for _, item := range t.extra[index] {
			t.plus[item].Remove(index)
		}
		delete(t.extra, index)
		t.blank.Add(index)
		if u.kind == Baseline {
			return nil
		}
		was, ok := decodeHeld(c, u.content)
		if !ok {
			return &CorruptError{Table: tableChanges, Key: blockKey(u.seq), Detail: "content is not decodable"}
		}
		for _, it := range was.items {
			setOf(t.plus, it.id).Add(index)
			t.extra[index] = append(t.extra[index], it.id)
		}
	}
	return nil
}

// put: the host had the item. Item 0 stands for a row of the host's own.
func (t *turned) put(index, item uint32) {
	if item == 0 {
		return
	}
	if m := t.minus[item]; m != nil && !t.blank.Contains(index) && m.CheckedRemove(index) {
		return
	}
	setOf(t.plus, item).Add(index)
	t.extra[index] = append(t.extra[index], item)
}

// take: the host had the item not.
func (t *turned) take(index, item uint32) {
	if item == 0 {
		return
	}
	if p := t.plus[item]; p != nil && p.CheckedRemove(index) || t.blank.Contains(index) {
		return
	}
	setOf(t.minus, item).Add(index)
}

func setOf(m map[uint32]*roaring.Bitmap, item uint32) *roaring.Bitmap {
	b := m[item]
	if b == nil {
		b = roaring.New()
		m[item] = b
	}
	return b
}
