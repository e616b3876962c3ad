//go:build !linux

package probe

import (
	"errors"
	"time"
)

// child is a helper process, which other systems than Linux have no use for yet.
type child struct {
	cpu   time.Duration
	ended bool
}

func startChild([]string) (*child, error) { return nil, errors.ErrUnsupported }

func (*child) write([]byte) error { return errors.ErrUnsupported }

func (*child) read([]byte, time.Time) (int, error) { return 0, errors.ErrUnsupported }

func (*child) kill() {}

func (*child) awaitEnd() {}

func (*child) reap() (time.Duration, bool) { return 0, true }

func nameProcess() {}

func processCPU() time.Duration { return 0 }
