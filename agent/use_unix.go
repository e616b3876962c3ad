//go:build unix

package agent

import (
	"syscall"
	"time"
)

func processUse() Use {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		return Use{}
	}
	cpu := time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
	return Use{CPUSeconds: cpu.Seconds()}
}
