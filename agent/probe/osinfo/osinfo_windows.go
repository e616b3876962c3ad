package osinfo

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"time"

	winapi "golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

const currentVersion = `SOFTWARE\Microsoft\Windows NT\CurrentVersion`

func read(h *probe.Host) system {
	if !h.Live() {
		return fromFiles(h, uname{})
	}
	key, err := registry.OpenKey(registry.LOCAL_MACHINE, currentVersion, registry.QUERY_VALUE|registry.WOW64_64KEY)
	if err != nil {
		return system{nameless: err, noKernel: err, unknown: err}
	}
	defer key.Close() // read only: nothing can be lost
	text := func(name string) string {
		s, _, _ := key.GetStringValue(name) // absent in older versions
		return s
	}
	v := winapi.RtlGetVersion() // GetVersion would lie without a manifest
	w := windows{
		product: text("ProductName"), displayVersion: text("DisplayVersion"), editionID: text("EditionID"),
		build: strconv.Itoa(int(v.BuildNumber)), arch: runtime.GOARCH,
		major: strconv.Itoa(int(v.MajorVersion)), minor: strconv.Itoa(int(v.MinorVersion)),
	}
	if ubr, _, err := key.GetIntegerValue("UBR"); err == nil {
		w.ubr = strconv.FormatUint(ubr, 10)
	}
	if at, _, err := key.GetIntegerValue("InstallDate"); err == nil {
		w.installed = facts.TimeOf(time.Unix(int64(at), 0))
	}
	w.hostname, _ = os.Hostname() // the row is worth having without it
	row := w.row(int(v.BuildNumber))
	row.MachineID = MachineID(h)
	kernel := &facts.KernelRow{Release: w.kernelVersion(), Arch: w.arch, Running: true}
	return system{os: row, kernels: []*facts.KernelRow{kernel}, unknown: errors.ErrUnsupported}
}

func machineID(h *probe.Host) string {
	if !h.Live() {
		return fileMachineID(h)
	}
	key, err := registry.OpenKey(registry.LOCAL_MACHINE, `SOFTWARE\Microsoft\Cryptography`, registry.QUERY_VALUE|registry.WOW64_64KEY)
	if err != nil {
		return ""
	}
	defer key.Close() // read only: nothing can be lost
	id, _, _ := key.GetStringValue("MachineGuid")
	return id
}
