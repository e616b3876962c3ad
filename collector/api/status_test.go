package api

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestWithinDoesNotWaitForAnAnswerThatDoesNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		never := make(chan struct{})
		start := time.Now()
		_, err := within(statsTime, func() (int, error) { <-never; return 1, nil })
		if waited := time.Since(start); err == nil || waited != statsTime {
			t.Errorf("%v after %s, want an error after %s", err, waited, statsTime)
		}
		close(never)
		if n, err := within(statsTime, func() (int, error) { return 2, nil }); n != 2 || err != nil {
			t.Errorf("%d, %v, want 2", n, err)
		}
	})
}
