//go:build darwin || freebsd

package osinfo

import (
	"errors"
	"golang.org/x/sys/unix"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// sysctls of Darwin that name the product; FreeBSD has os-release(5).
const (
	sysctlVersion = "kern.osproductversion"
	sysctlBuild   = "kern.osversion"
)

func read(h *probe.Host) system {
	if !h.Live() {
		return fromFiles(h, uname{})
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return system{nameless: err, noKernel: err, unknown: err}
	}
	n := native{
		system:   unix.ByteSliceToString(u.Sysname[:]),
		hostname: unix.ByteSliceToString(u.Nodename[:]),
		names: uname{
			release: unix.ByteSliceToString(u.Release[:]),
			version: unix.ByteSliceToString(u.Version[:]),
			machine: unix.ByteSliceToString(u.Machine[:]),
		},
	}
	n.version, _ = unix.Sysctl(sysctlVersion) // not on FreeBSD
	n.build, _ = unix.Sysctl(sysctlBuild)
	row := n.row(detect(func(p string) []byte { b, _ := h.ReadFile(p); return b }))
	row.MachineID, row.Timezone = MachineID(h), timezone(h)
	return system{os: row, kernels: []*facts.KernelRow{n.kernel()}, unknown: errors.ErrUnsupported}
}

// machineID is the UUID that FreeBSD keeps in /etc/hostid and in this sysctl, and
// Darwin gives no program but by its I/O registry.
func machineID(h *probe.Host) string {
	if !h.Live() {
		return fileMachineID(h)
	}
	id, _ := unix.Sysctl("kern.hostuuid")
	return id
}

func (n native) kernel() *facts.KernelRow {
	return &facts.KernelRow{
		Release: n.names.release, Version: strings.TrimSpace(n.names.version), Arch: n.names.machine, Running: true,
	}
}
