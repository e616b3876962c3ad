//go:build !linux && !windows && !darwin && !freebsd

package osinfo

import (
	"errors"

	"atalaya/agent/probe"
)

func read(h *probe.Host) system {
	if !h.Live() {
		return fromFiles(h, uname{})
	}
	return system{nameless: errors.ErrUnsupported, noKernel: errors.ErrUnsupported, unknown: errors.ErrUnsupported}
}

func machineID(h *probe.Host) string { return fileMachineID(h) }
