package store

import (
	"slices"
	"sync"

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
	name, shared, err := s.turnedName(section)
	if err != nil {
		return nil, err
	}
	if t := s.tx.store.past.find(name); shared && t != nil {
		s.turned[section] = t
		return t, nil
	}
	t := &turned{roaring.New(), map[uint32]*roaring.Bitmap{}, map[uint32]*roaring.Bitmap{}, map[uint32][]uint32{}}
	var broken error
	err = s.fleet(section, func(index uint32, u undo) {
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
	if shared {
		s.tx.store.past.add(name, t)
	}
	return t, nil
}

// maxTurned is how many moments of a section are kept for the next who ask: some tens
// of megabytes each, of ten thousand hosts and a month.
const maxTurned = 4

// turnedPasts are the pasts that were asked for last. They hold until the log grows, as
// they are differences from the present, and are read by several transactions at once.
type turnedPasts struct {
	mu   sync.Mutex
	list []turnedPast // newest last
}

type turnedPast struct {
	turnedName
	*turned
}

type turnedName struct {
	section facts.ID
	at      facts.Time
	last    uint64 // number of the newest change
}

// turnedName names the past of a section; false: it is not one to share, since its
// transaction writes or the log is replayed.
func (s *State) turnedName(section facts.ID) (turnedName, bool, error) {
	last, err := s.tx.LastChange()
	return turnedName{section, s.at, last}, !s.bySeq && !s.tx.b.Writable(), err
}

func (p *turnedPasts) find(name turnedName) *turned {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.list {
		if t.turnedName == name {
			return t.turned
		}
	}
	return nil
}

func (p *turnedPasts) add(name turnedName, t *turned) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, turnedPast{name, t})
	if n := len(p.list) - maxTurned; n > 0 {
		p.list = slices.Delete(p.list, 0, n)
	}
}

func (p *turnedPasts) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = nil
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
