package probe

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// threadCPU is the CPU time of the calling thread; 0 where it is not told.
func threadCPU() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// inventoryNice is how far inventory stands back behind the work of the host.
const inventoryNice = 10

// lowPriority gives the calling goroutine a thread of low priority. It is never
// unlocked: the thread ends with the goroutine, so that no other runs on it.
func lowPriority() (undo func()) {
	runtime.LockOSThread()
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, inventoryNice) // 0: this thread; refused: it runs as it is
	return func() {}
}
