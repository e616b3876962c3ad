//go:build !linux

package self

import (
	"os"

	"github.com/shirou/gopsutil/v3/process"

	"atalaya/agent/probe"
)

// reader asks gopsutil about this process.
type reader struct{ process *process.Process }

func (u *reader) read(*probe.Host) (usage, error) {
	var out usage
	if u.process == nil {
		p, err := process.NewProcess(int32(os.Getpid()))
		if err != nil {
			return out, err
		}
		u.process = p
	}
	// What this system does not tell stays 0: not reported.
	if t, err := u.process.Times(); err == nil {
		out.cpuSeconds = t.User + t.System
	}
	if m, err := u.process.MemoryInfo(); err == nil {
		out.resident = m.RSS
	}
	return out, nil
}
