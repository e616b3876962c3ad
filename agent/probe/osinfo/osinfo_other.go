//go:build !linux && !windows && !darwin && !freebsd

package osinfo

import (
	"errors"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

func read(h *probe.Host) (*facts.OSRow, []*facts.KernelRow, error) {
	if !h.Live() {
		return fromFiles(h, uname{})
	}
	return nil, nil, errors.ErrUnsupported
}

func machineID(h *probe.Host) string { return fileMachineID(h) }
