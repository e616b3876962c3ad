package probe

import (
	"strconv"
	"strings"
)

// capSysPtrace is the bit of CAP_SYS_PTRACE (linux/capability.h).
const capSysPtrace = 1 << 19

// Traces reports whether the agent has CAP_SYS_PTRACE in effect: what it may not see of a
// process then is protected from everybody, and no lack of rights (capabilities(7)).
func (h *Host) Traces() bool {
	_, rest, _ := strings.Cut(h.ReadString("/proc/self/status"), "\nCapEff:")
	line, _, _ := strings.Cut(rest, "\n")
	set, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	return err == nil && set&capSysPtrace != 0
}
