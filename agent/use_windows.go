package agent

import (
	"syscall"
	"time"
)

func processUse() Use {
	var created, exited, kernel, user syscall.Filetime
	self, err := syscall.GetCurrentProcess()
	if err != nil || syscall.GetProcessTimes(self, &created, &exited, &kernel, &user) != nil {
		return Use{}
	}
	// Both are spans in units of 100 ns, see GetProcessTimes.
	ticks := func(f syscall.Filetime) int64 { return int64(f.HighDateTime)<<32 | int64(f.LowDateTime) }
	return Use{CPUSeconds: (time.Duration(ticks(kernel)+ticks(user)) * 100).Seconds()}
}
