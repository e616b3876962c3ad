package ingest

import (
	"context"
	"sync"
	"time"
)

// bucket is a token bucket: it fills with rate per second up to burst. It belongs to
// a host, not to a session, so that coming back does not fill it.
type bucket struct {
	rate, burst float64

	mu    sync.Mutex // guards what follows
	level float64
	last  time.Time
}

func newBucket(rate, burst float64, now time.Time) *bucket {
	return &bucket{rate: rate, burst: burst, level: burst, last: now}
}

// take takes n out and returns how long to wait until that was allowed.
func (b *bucket) take(n float64, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.level = min(b.burst, b.level+b.rate*now.Sub(b.last).Seconds())
	b.last = now
	b.level -= n
	if b.level >= 0 {
		return 0
	}
	return time.Duration(-b.level / b.rate * float64(time.Second))
}

// full reports whether the bucket says nothing any more.
func (b *bucket) full(now time.Time) bool {
	b.take(0, now)
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.level >= b.burst
}

// budget bounds the memory of batches that wait for a commit, over all sessions.
type budget struct {
	mu     sync.Mutex // one taker at a time, or two could each hold half of what they need
	tokens chan struct{}
}

const (
	budgetUnit  = 16 << 10
	budgetBytes = 64 << 20
)

func newBudget() *budget { return &budget{tokens: make(chan struct{}, budgetBytes/budgetUnit)} }

// units returns how much of the budget a batch of the given size takes.
func (b *budget) units(size int) int { return min(size/budgetUnit+1, cap(b.tokens)) }

// take waits for units. What it has taken when ctx ends it gives back.
func (b *budget) take(ctx context.Context, units int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range units {
		select {
		case b.tokens <- struct{}{}:
		case <-ctx.Done():
			b.give(i)
			return context.Cause(ctx)
		}
	}
	return nil
}

func (b *budget) give(units int) {
	for range units {
		<-b.tokens
	}
}

// pause waits, or returns early when ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
