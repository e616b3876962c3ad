package probe

import (
	"strconv"
	"strings"
)

// Bits of capabilities (linux/capability.h).
const (
	capSysPtrace = 1 << 19
	capSysAdmin  = 1 << 21
)

// Traces reports whether the agent has CAP_SYS_PTRACE in effect: what it may not see of a
// process then is protected from everybody, and no lack of rights (capabilities(7)).
func (h *Host) Traces() bool {
	set, err := h.capabilities()
	return err == nil && set&capSysPtrace != 0
}

// Veiled reports whether the agent is known to lack CAP_SYS_ADMIN, without which the marks
// of overlayfs look as if they were not there (xattr(7)).
func (h *Host) Veiled() bool {
	set, err := h.capabilities()
	return err == nil && set&capSysAdmin == 0
}

// capabilities are those in effect.
func (h *Host) capabilities() (uint64, error) {
	_, rest, _ := strings.Cut(h.ReadString("/proc/self/status"), "\nCapEff:")
	line, _, _ := strings.Cut(rest, "\n")
	return strconv.ParseUint(strings.TrimSpace(line), 16, 64)
}
