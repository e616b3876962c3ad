package process

import (
	"bytes"

	"atalaya/agent/probe"
)

// stat is what we take of /proc/PID/stat.
type stat struct {
	name    []byte // of the program, at most 15 bytes, as the kernel has it; part of the input
	state   byte
	parent  int32
	ticks   uint64 // of processor time, in 1/100 s
	threads uint64
	start   uint64 // after boot, in 1/100 s
	pages   uint64 // resident
	kernel  bool   // a thread of the kernel
}

// kthread is PF_KTHREAD of the process' flags (include/linux/sched.h).
const kthread = 0x00200000

// parseStat parses "17 (name) S 2 0 0 ...". The name may hold blanks, parentheses and
// newlines; it ends at the last parenthesis.
func parseStat(b []byte) (s stat, ok bool) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return s, false
	}
	s.name = b[open+1 : end]
	state, rest := probe.NextField(firstLine(b[end+1:]))
	if len(state) != 1 {
		return s, false
	}
	s.state = state[0]
	// Fields are numbered as in proc_pid_stat(5): state is 3.
	for i := 4; i <= 24; i++ {
		var field []byte
		if field, rest = probe.NextField(rest); len(field) == 0 {
			return s, false
		}
		var to *uint64
		var n uint64
		switch i {
		case 4, 9:
			to = &n
		case 14, 15: // user and system time
			to = &n
		case 20:
			to = &s.threads
		case 22:
			to = &s.start
		case 24:
			to = &s.pages
		default:
			continue // some of these are negative
		}
		if *to, ok = probe.ParseUint(field); !ok {
			return s, false
		}
		switch i {
		case 4:
			s.parent = int32(n)
		case 9:
			s.kernel = n&kthread != 0
		case 14, 15:
			s.ticks += n
		}
	}
	return s, s.pages < 1<<50 && s.threads < 1<<31
}
