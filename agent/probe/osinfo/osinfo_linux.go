package osinfo

import (
	"golang.org/x/sys/unix"

	"atalaya/agent/probe"
)

func read(h *probe.Host) system {
	var names uname
	var u unix.Utsname
	if h.Live() && unix.Uname(&u) == nil {
		names = uname{
			release: unix.ByteSliceToString(u.Release[:]),
			version: unix.ByteSliceToString(u.Version[:]),
			machine: unix.ByteSliceToString(u.Machine[:]),
		}
	}
	return fromFiles(h, names)
}

func machineID(h *probe.Host) string { return fileMachineID(h) }
