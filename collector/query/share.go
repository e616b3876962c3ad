package query

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// maxWaiting bounds the queries of one caller that wait for their turn: each holds one
// of the few requests that the API works on at once.
const maxWaiting = 16

// shares gives the connections to callers, so that none keeps the others out: a caller
// has at most half of them, and the last free one goes to a caller who has none.
type shares struct {
	total   int
	mu      sync.Mutex // guards what follows
	used    int
	running map[string]int // by caller
	waiting []*waiter      // in the order in which they came
}

// waiter is a query that waits for its turn.
type waiter struct {
	caller string
	turn   chan struct{} // closed when it has come
}

func newShares(total int) *shares { return &shares{total: total, running: map[string]int{}} }

// each is how many connections one caller may have.
func (s *shares) each() int { return max(1, s.total/2) }

func (s *shares) mayLocked(caller string) bool {
	has, free := s.running[caller], s.total-s.used
	return has < s.each() && (free > 1 || free == 1 && has == 0)
}

func (s *shares) takeLocked(caller string) {
	s.used++
	s.running[caller]++
}

// take waits at most so long for a connection that the caller may have. It must be given
// back. A caller that is told at once can ask again.
func (s *shares) take(ctx context.Context, caller string, wait time.Duration) error {
	s.mu.Lock()
	if s.mayLocked(caller) { // those who wait may not, or they would run
		s.takeLocked(caller)
		s.mu.Unlock()
		return nil
	}
	own := 0
	for _, w := range s.waiting {
		if w.caller == caller {
			own++
		}
	}
	if own >= maxWaiting {
		s.mu.Unlock()
		return fmt.Errorf("%w: %d of your queries wait for their turn; ask them one after the other", ErrShare, own)
	}
	w := &waiter{caller, make(chan struct{})}
	s.waiting = append(s.waiting, w)
	s.mu.Unlock()
	late := time.NewTimer(wait)
	defer late.Stop()
	select {
	case <-w.turn:
		return nil
	case <-late.C:
		return s.leave(w, nil)
	case <-ctx.Done():
		return s.leave(w, ctx.Err())
	}
}

// leave ends waiting, for a cause or because it took too long; nil when the turn came
// at this very moment.
func (s *shares) leave(w *waiter, cause error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.waiting, w)
	switch has := s.running[w.caller]; {
	case i < 0:
		return nil
	case cause != nil:
	case has >= s.each() && s.total > 1:
		cause = fmt.Errorf("%w: %d of your queries are running, as many as one caller may have at once; wait until one has ended", ErrShare, has)
	case s.used < s.total:
		cause = fmt.Errorf("%w: the last of %d places is kept for other callers, and one of your queries is running; wait until it has ended", ErrShare, s.total)
	default:
		cause = fmt.Errorf("%w: %d queries are running, try again", ErrBusy, s.used)
	}
	s.waiting = slices.Delete(s.waiting, i, i+1)
	return cause
}

// give takes a connection back and hands it to the first who may have it.
func (s *shares) give(caller string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used--
	if s.running[caller]--; s.running[caller] == 0 {
		delete(s.running, caller)
	}
	s.waiting = slices.DeleteFunc(s.waiting, func(w *waiter) bool {
		if !s.mayLocked(w.caller) {
			return false
		}
		s.takeLocked(w.caller)
		close(w.turn)
		return true
	})
}
