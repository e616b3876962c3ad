package store

import (
	"slices"
	"sync"

	"atalaya/shared/facts"

	"github.com/RoaringBitmap/roaring/v2"
)

// turned is the inverted index of a section as far as the past differs: for each item
// what to do, in this order, to the hosts that have it now.
type turned struct {
	blank *roaring.Bitmap // hosts of which the present index says nothing
	least uint32          // the least item that there is something to do about
	from  []uint32        // item less least -> where its steps begin; one more at the end
	hosts []uint32        // of the steps, by item
	had   []bool          // of the steps: the host had the item, or had it not
	// status is that of the hosts whose status is another one now.
	status map[uint32]facts.Status
}

// turning gathers the steps in the order of undoing.
type turning struct {
	codec *codec
	blank *roaring.Bitmap
	void  map[uint32]int // host -> how many steps there were when it was last blank
	was   map[uint32]facts.Status
	n     int
	steps [][]turnStep // in pieces, which need not be copied to grow
}

const turnPiece = 1 << 16

type turnStep struct {
	item, host uint32
	had        bool
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
	g := turning{codec: s.tx.store.codec, blank: roaring.New(), void: map[uint32]int{}, was: map[uint32]facts.Status{}}
	if err := s.fleet(section, true, g.undo); err != nil {
		return nil, err
	}
	t := g.sorted()
	s.turned[section] = t
	if shared {
		s.tx.store.past.add(name, t)
	}
	return t, nil
}

// undo takes one entry back.
func (g *turning) undo(index uint32, e *entry, seq uint64) error {
	if e.status() {
		g.was[index], _ = DecodeStatus(e.was)
	}
	switch e.kind {
	case Added:
		g.step(e.new.item, index, false)
	case Removed:
		g.step(e.old.item, index, true)
	case Changed:
		if e.old.item != e.new.item {
			g.step(e.new.item, index, false)
			g.step(e.old.item, index, true)
		}
	case Baseline, Cleared:
		g.blank.Add(index)
		g.void[index] = g.n
		if e.kind == Baseline {
			return nil
		}
		was, ok := decodeHeld(g.codec, e.content)
		if !ok {
			return &CorruptError{Table: tableChanges, Key: blockKey(seq), Detail: "content is not decodable"}
		}
		for _, it := range was.items {
			g.step(it.id, index, true)
		}
	}
	return nil
}

// step notes whether a host had an item. Item 0 stands for a row of the host's own.
func (g *turning) step(item, host uint32, had bool) {
	if item == 0 {
		return
	}
	if g.n%turnPiece == 0 {
		g.steps = append(g.steps, make([]turnStep, 0, turnPiece))
	}
	last := &g.steps[len(g.steps)-1]
	*last = append(*last, turnStep{item, host, had})
	g.n++
}

// each calls fn for the steps that count, in their order.
func (g *turning) each(fn func(turnStep)) {
	n := 0
	for _, piece := range g.steps {
		for _, st := range piece {
			if at, blank := g.void[st.host]; !blank || n >= at {
				fn(st)
			}
			n++
		}
	}
}

// sorted puts the steps that count by item, those of an item in their order.
func (g *turning) sorted() *turned {
	t := &turned{blank: g.blank, status: g.was}
	least, most, n := ^uint32(0), uint32(0), 0
	g.each(func(st turnStep) {
		least, most = min(least, st.item), max(most, st.item)
		n++
	})
	if n == 0 {
		return t
	}
	t.least, t.from, t.hosts, t.had = least, make([]uint32, most-least+2), make([]uint32, n), make([]bool, n)
	g.each(func(st turnStep) { t.from[st.item-least+1]++ })
	for i := 1; i < len(t.from); i++ {
		t.from[i] += t.from[i-1]
	}
	next := slices.Clone(t.from)
	g.each(func(st turnStep) {
		at := next[st.item-least]
		t.hosts[at], t.had[at] = st.host, st.had
		next[st.item-least]++
	})
	return t
}

// apply makes the hosts that have an item now those that had it.
func (t *turned) apply(item uint32, hosts *roaring.Bitmap) {
	hosts.AndNot(t.blank)
	if item < t.least || int(item-t.least)+1 >= len(t.from) {
		return
	}
	for i := t.from[item-t.least]; i < t.from[item-t.least+1]; i++ {
		if t.had[i] {
			hosts.Add(t.hosts[i])
		} else {
			hosts.Remove(t.hosts[i])
		}
	}
}

// maxTurned is how many steps of moments are kept for the next who ask, five bytes each:
// four moments of ten thousand hosts and a month.
const maxTurned = 8 << 20

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

// add keeps a past, and of those before it the newest that fit. One that is larger than
// all that may be kept is kept alone: it took long to make.
func (p *turnedPasts) add(name turnedName, t *turned) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, turnedPast{name, t})
	kept, room := len(p.list)-1, maxTurned-len(t.hosts)
	for kept > 0 && len(p.list)-kept < maxPasts {
		if room -= len(p.list[kept-1].hosts); room < 0 {
			break
		}
		kept--
	}
	p.list = slices.Delete(p.list, 0, kept)
}

// maxPasts bounds their number, since each also takes some bytes for each item.
const maxPasts = 8

func (p *turnedPasts) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = nil
}
