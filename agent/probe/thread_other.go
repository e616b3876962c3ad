//go:build !linux

package probe

import "time"

func threadCPU() time.Duration { return 0 }

func lowPriority() (undo func()) { return lockThread() }
