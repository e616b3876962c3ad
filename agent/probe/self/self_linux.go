package self

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"atalaya/agent/probe"
)

// reader keeps the file of the process' memory open.
type reader struct {
	statm *probe.File
	buf   []byte
}

func (u *reader) read(h *probe.Host) (usage, error) {
	if u.statm == nil {
		u.statm = h.File("/proc/self/statm")
	}
	var out usage
	var ru unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &ru); err != nil {
		return out, fmt.Errorf("getrusage: %w", err)
	}
	out.cpuSeconds = time.Duration(ru.Utime.Nano() + ru.Stime.Nano()).Seconds()
	b, err := u.statm.Read(u.buf)
	u.buf = b
	if err != nil {
		return out, err
	}
	resident, anonymous, err := parseStatm(b)
	page := uint64(os.Getpagesize())
	out.resident, out.anonymous = resident*page, anonymous*page
	return out, err
}
