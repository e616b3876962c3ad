// Package hardware reads the machine itself: the sections system, board, bios,
// chassis, cpus and memory_modules.
//
// The firmware's SMBIOS tables tell most of it; the kernel shows them to root in
// /sys/firmware/dmi/tables and we decode them ourselves (DMTF DSP0134). Without the
// right to read them the single values of /sys/class/dmi/id still tell all but the
// serial numbers and the memory modules. Machines without SMBIOS have a device tree.
// Processors come from /proc/cpuinfo and /sys/devices/system/cpu.
//
// Fill-ins such as "To be filled by O.E.M." are absent, never values.
package hardware

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// New returns the probe of the hardware sections.
func New() probe.Probe { return hardwareProbe{} }

type hardwareProbe struct{}

// firmwareSections are those that SMBIOS fills.
var firmwareSections = []facts.ID{facts.System, facts.Board, facts.BIOS, facts.Chassis, facts.MemoryModules}

// Info implements probe.Probe.
func (hardwareProbe) Info() probe.Info {
	return probe.Info{
		Name:     "hardware",
		Sections: append([]facts.ID{facts.CPUs}, firmwareSections...),
		Timeout:  5 * time.Second,
		MaxItems: 4096, // memory slots of the largest machines: 1024
		MaxBytes: 8 << 20,
		Watch:    []string{"/sys/devices/system/cpu/online"},
	}
}

// absentError says that a machine has no such source; it is errors.ErrUnsupported
// without the words of that error.
type absentError string

func (e absentError) Error() string        { return string(e) }
func (e absentError) Is(target error) bool { return target == errors.ErrUnsupported }

const (
	errNoSMBIOS = absentError("no SMBIOS tables on this machine")
	errNoCPUs   = absentError("no /proc/cpuinfo on this machine")
)

const (
	entryPointFile = "/sys/firmware/dmi/tables/smbios_entry_point"
	tableFile      = "/sys/firmware/dmi/tables/DMI"
)

// Collect implements probe.Probe.
func (hardwareProbe) Collect(_ context.Context, h *probe.Host, r *probe.Report) error {
	if err := filesTell(h); err != nil {
		return err
	}
	var t table
	raw, err := h.ReadFile(tableFile)
	switch {
	case err == nil:
		t = collectTable(h, r, raw)
	case errors.Is(err, fs.ErrNotExist) && hasDeviceTree(h) && !hasDMI(h):
		collectDeviceTree(h, r)
	default:
		collectDMI(h, r, err)
	}
	collectCPUs(h, r, t.maxSpeeds())
	return nil
}

func collectTable(h *probe.Host, r *probe.Report, raw []byte) table {
	var version uint16
	if entry, err := h.ReadFile(entryPointFile); err == nil {
		version = decodeEntryPoint(entry)
	}
	t, err := decodeTable(raw, version)
	if err != nil {
		for _, id := range firmwareSections {
			r.Problem(id, err)
		}
	}
	if row := t.systemRow(); row != nil {
		r.Add(facts.System, row)
	}
	for _, row := range t.boardRows() {
		r.Add(facts.Board, row)
	}
	if row := t.biosRow(bootedByUEFI(h)); row != nil {
		r.Add(facts.BIOS, row)
	}
	if row := t.chassisRow(); row != nil {
		r.Add(facts.Chassis, row)
	}
	for _, row := range t.memoryRows() {
		r.Add(facts.MemoryModules, row)
	}
	return t
}

func bootedByUEFI(h *probe.Host) bool {
	_, err := h.Stat("/sys/firmware/efi")
	return err == nil
}

const dmiFolder = "/sys/class/dmi/id/"

func hasDMI(h *probe.Host) bool {
	_, err := h.Stat(dmiFolder)
	return err == nil
}

// dmiReader reads the single values of /sys/class/dmi/id and remembers which it was
// not allowed to read: the kernel shows serial numbers and UUID to root only.
type dmiReader struct {
	host   *probe.Host
	denied error
}

func (d *dmiReader) text(name string) string {
	b, err := d.host.ReadFile(dmiFolder + name)
	if errors.Is(err, fs.ErrPermission) {
		d.denied = fmt.Errorf("%s and other serial numbers: %w", name, err)
	}
	return meaningful(printable(string(b)))
}

// collectDMI reports what is left when the tables cannot be read because of err.
func collectDMI(h *probe.Host, r *probe.Report, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		err = errNoSMBIOS
	}
	r.Problem(facts.MemoryModules, err)
	if !hasDMI(h) {
		for _, id := range firmwareSections[:len(firmwareSections)-1] {
			r.Problem(id, err)
		}
		return
	}
	d := &dmiReader{host: h}
	addDMI(r, facts.System, d, &facts.SystemRow{
		Manufacturer: d.text("sys_vendor"), Product: d.text("product_name"), Version: d.text("product_version"),
		Serial: d.text("product_serial"), UUID: d.text("product_uuid"), SKU: d.text("product_sku"), Family: d.text("product_family"),
	})
	addDMI(r, facts.Board, d, &facts.BoardRow{
		Manufacturer: d.text("board_vendor"), Product: d.text("board_name"), Version: d.text("board_version"),
		Serial: d.text("board_serial"), AssetTag: d.text("board_asset_tag"),
	})
	addDMI(r, facts.BIOS, d, &facts.BIOSRow{
		Vendor: d.text("bios_vendor"), Version: d.text("bios_version"), Date: biosDate(d.text("bios_date")),
		Release: d.text("bios_release"), Firmware: d.text("ec_firmware_release"), UEFI: bootedByUEFI(h),
	})
	var kind int
	_, _ = fmt.Sscanf(d.text("chassis_type"), "%d", &kind) // no number: no type
	addDMI(r, facts.Chassis, d, &facts.ChassisRow{
		Type: chassisType(kind), Manufacturer: d.text("chassis_vendor"), Version: d.text("chassis_version"),
		Serial: d.text("chassis_serial"), AssetTag: d.text("chassis_asset_tag"),
	})
}

// addDMI adds a row; what could not be read of it makes the section partial.
func addDMI(r *probe.Report, id facts.ID, d *dmiReader, row facts.Row) {
	r.Add(id, row)
	if d.denied != nil {
		r.Problem(id, d.denied)
		d.denied = nil
	}
}

const deviceTree = "/proc/device-tree/"

func hasDeviceTree(h *probe.Host) bool {
	_, err := h.Stat(deviceTree + "model")
	return err == nil
}

// collectDeviceTree reads what a device tree says of the machine (Devicetree
// Specification 0.4, section 3.2); its properties end with NUL.
func collectDeviceTree(h *probe.Host, r *probe.Report) {
	row := &facts.SystemRow{
		Product: meaningful(printable(h.ReadString(deviceTree + "model"))),
		Serial:  meaningful(printable(h.ReadString(deviceTree + "serial-number"))),
	}
	r.Add(facts.System, row)
	for _, id := range firmwareSections[1:] {
		r.Problem(id, errNoSMBIOS)
	}
}
