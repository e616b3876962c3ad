package store

import (
	"slices"

	"atalaya/shared/facts"
)

// asking says which sections a host is asked for with its next batch, whatever is in
// that: a host that sends metrics alone for a while is not to stay in doubt as long.
// Once in a session is enough, and more would never end with an agent that cannot tell
// a section now: it answers each time.
type asking uint8

const (
	forDoubtful asking = iota
	forAll             // it is known without its facts
	asked              // until its next Hello, or until more is in doubt
)

// askAnew has a host asked for what is in doubt, although it was already.
func (s *Store) askAnew(index uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asking[index] == asked {
		delete(s.asking, index)
	}
}

// askAll has a host asked for all that it knows.
func (s *Store) askAll(index uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asking[index] = forAll
}

// ask returns what a host is to be asked for beside what it is asked for anyway. When the
// answer to the batch does not reach the agent its session has ended.
func (s *Store) ask(h *applying, anyway []facts.ID) (sections []facts.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.asking[h.rec.Index] {
	case forDoubtful:
		for _, st := range h.states {
			if st.Doubtful {
				sections = append(sections, st.Section)
			}
		}
		if len(sections) == 0 {
			return nil
		}
	case forAll:
		for _, section := range facts.Sections() {
			if st := h.state(section.ID); st.Doubtful || st.KnownAt.IsZero() {
				sections = append(sections, section.ID)
			}
		}
	case asked:
		return nil
	}
	s.asking[h.rec.Index] = asked
	return slices.DeleteFunc(sections, func(id facts.ID) bool { return slices.Contains(anyway, id) })
}
