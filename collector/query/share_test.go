package query

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// take is a query that gets its turn at once, or is refused after a second.
func take(t *testing.T, s *shares, caller, want string) {
	t.Helper()
	began := time.Now()
	err := s.take(t.Context(), caller, time.Second)
	switch took := time.Since(began); {
	case want == "" && (err != nil || took > 0):
		t.Errorf("%s: %v after %s, want its turn at once", caller, err, took)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want) || took != time.Second):
		t.Errorf("%s: %v after %s, want %q", caller, err, took, want)
	}
	if kind := map[bool]error{true: ErrBusy, false: ErrShare}[strings.Contains(want, "try again")]; want != "" && !errors.Is(err, kind) {
		t.Errorf("%s: %v is of the wrong kind", caller, err)
	}
}

func TestNoCallerTakesAllConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShares(4)
		take(t, s, "amy", "")
		take(t, s, "amy", "")
		take(t, s, "amy", "2 of your queries are running")
		take(t, s, "bob", "")
		take(t, s, "bob", "the last of 4 places is kept for other callers")
		take(t, s, "eve", "")
		take(t, s, "joe", "4 queries are running, try again")
		took := make(chan error)
		go func() { took <- s.take(t.Context(), "joe", time.Second) }()
		synctest.Wait()
		s.give("amy")
		if err := <-took; err != nil {
			t.Errorf("a place that came free while one waited: %v", err)
		}
		for _, caller := range []string{"amy", "bob", "eve", "joe"} {
			s.give(caller)
		}
		if s.used != 0 || len(s.running) != 0 || len(s.waiting) != 0 {
			t.Errorf("kept afterwards: %d used, %v, %d waiting", s.used, s.running, len(s.waiting))
		}
	})
}

func TestACallerMayHaveFewQueriesWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShares(2)
		take(t, s, "amy", "")
		ended := make(chan error, maxWaiting)
		for range maxWaiting {
			go func() { ended <- s.take(t.Context(), "amy", time.Second) }()
		}
		synctest.Wait()
		began := time.Now()
		if err := s.take(t.Context(), "amy", time.Second); !errors.Is(err, ErrShare) || time.Since(began) > 0 || !strings.Contains(err.Error(), "one after the other") {
			t.Errorf("one more: %v after %s", err, time.Since(began))
		}
		take(t, s, "bob", "")
		for range maxWaiting {
			if err := <-ended; !errors.Is(err, ErrShare) {
				t.Errorf("waited in vain: %v", err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.take(ctx, "amy", time.Second); !errors.Is(err, context.Canceled) || len(s.waiting) > 0 {
			t.Errorf("a caller that went away: %v, %d wait", err, len(s.waiting))
		}
	})
}

// TestSharesHoldWhateverComes: random callers come, wait, give up and go.
func TestSharesHoldWhateverComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		s, ended := newShares(5), make(chan bool)
		const queries = 2000
		for i := range queries {
			caller, wait, work := fmt.Sprint(rng.IntN(4)), time.Duration(rng.IntN(20))*time.Millisecond, time.Duration(rng.IntN(30))*time.Millisecond
			go func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				err := s.take(t.Context(), caller, wait)
				if err == nil {
					s.mu.Lock()
					if s.used > s.total || s.running[caller] > s.each() {
						t.Errorf("%d of %d used, %d by %s", s.used, s.total, s.running[caller], caller)
					}
					s.mu.Unlock()
					time.Sleep(work)
					s.give(caller)
				}
				ended <- err == nil
			}()
		}
		taken := 0
		for range queries {
			if <-ended {
				taken++
			}
		}
		if s.used != 0 || len(s.running) != 0 || len(s.waiting) != 0 || taken == 0 || taken == queries {
			t.Errorf("%d taken; kept: %d used, %v, %d waiting", taken, s.used, s.running, len(s.waiting))
		}
	})
}
