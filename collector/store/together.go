package store

import (
	"errors"
	"sync"
)

// maxTogether bounds how many share a transaction, and with it how long the last of
// them holds up the first.
const maxTogether = 256

// together are the small writes that wait for a transaction to share.
type together struct {
	mu      sync.Mutex
	waiting []*sharer // each maxTogether of them, and the rest, have one who leads
}

// sharer is one of them.
type sharer struct {
	fn  func(*Tx) error
	err chan error // told once
}

// errAlone tells a sharer that one of its group failed: it is to write by itself.
var errAlone = errors.New("write alone")

// UpdateTogether is Update for small writes of which many come at once, such as the
// greetings of a fleet after a restart: those that wait for the same turn to write share
// one transaction, and one wait for the disk. None is held back for others to come. When
// one fails each gets a transaction of its own, so fn may run twice.
func (s *Store) UpdateTogether(fn func(*Tx) error) error {
	me := &sharer{fn, make(chan error, 1)}
	if s.together.join(me) {
		s.lead()
	}
	if err := <-me.err; !errors.Is(err, errAlone) {
		return err
	}
	return s.Update(fn)
}

// lead waits for its turn to write, runs those that wait by then, and tells them.
func (s *Store) lead() {
	var group []*sharer
	err := s.Update(func(tx *Tx) (err error) {
		group = s.together.take()
		defer func() {
			if recover() != nil { // whose fault it is shows when each is alone
				err = errAlone
			}
		}()
		for _, w := range group {
			if err := w.fn(tx); err != nil && len(group) > 1 {
				return errAlone
			} else if err != nil {
				return err
			}
		}
		return nil
	})
	if group == nil { // there was no turn
		group = s.together.take()
	}
	for _, w := range group {
		w.err <- err
	}
}

// join has one wait, and tells whether it leads.
func (t *together) join(w *sharer) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = append(t.waiting, w)
	return len(t.waiting)%maxTogether == 1
}

// take hands out the first that wait.
func (t *together) take() []*sharer {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(len(t.waiting), maxTogether)
	group := t.waiting[:n:n]
	t.waiting = t.waiting[n:]
	return group
}
