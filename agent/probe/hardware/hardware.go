// Package hardware reads the machine itself: the sections system, board, bios,
// chassis, cpus, memory_modules, memory_arrays, slots, batteries, power_supplies and tpm.
//
// The firmware's SMBIOS tables tell most of it; the kernel shows them to root in
// /sys/firmware/dmi/tables and we decode them ourselves (DMTF DSP0134). Without the
// right to read them the single values of /sys/class/dmi/id still tell all but the
// serial numbers, slots and memory modules. Machines without SMBIOS have a device tree,
// or name themselves in /proc/cpuinfo. Processors come from /proc/cpuinfo and
// /sys/devices/system/cpu, batteries and adapters from /sys/class/power_supply,
// trusted platform modules from /sys/class/tpm.
//
// Fill-ins such as "To be filled by O.E.M." are absent, never values.
//
// The probe keeps what it decoded of the tables and of /proc/cpuinfo, and gives it
// again while the tables are the same file and the same processors are online.
package hardware

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// New returns the probe of the hardware sections.
func New() probe.Probe { return &hardwareProbe{} }

type hardwareProbe struct {
	firmware keptFirmware
	cpus     keptCPUs
	memory   keptMemory
}

// dmiSections are those that /sys/class/dmi/id tells of too, tableSections those that
// only the tables do.
var (
	dmiSections   = []facts.ID{facts.System, facts.Board, facts.BIOS, facts.Chassis}
	tableSections = []facts.ID{facts.MemoryModules, facts.Slots}
	// mixedSections also come from elsewhere.
	mixedSections = []facts.ID{facts.CPUs, facts.MemoryArrays, facts.Batteries, facts.PowerSupplies, facts.TPM}
)

// Info implements probe.Probe.
func (*hardwareProbe) Info() probe.Info {
	return probe.Info{
		Name:     "hardware",
		Sections: slices.Concat(dmiSections, tableSections, mixedSections),
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
	errNoMemory = absentError("neither SMBIOS tables nor /proc/meminfo on this machine")
	errNoTPM    = absentError("neither SMBIOS nor /sys/class/tpm names one")
	errNoPower  = absentError("neither SMBIOS nor /sys/class/power_supply names one")
)

const (
	entryPointFile = "/sys/firmware/dmi/tables/smbios_entry_point"
	tableFile      = "/sys/firmware/dmi/tables/DMI"
)

// Collect implements probe.Probe.
func (p *hardwareProbe) Collect(_ context.Context, h *probe.Host, r *probe.Report) error {
	if err := filesTell(h); err != nil {
		return err
	}
	p.cpus.read(h.For(facts.CPUs))
	fw, err := p.firmware.read(h)
	if fw != nil {
		fw.report(h, r)
		if err != nil {
			for _, id := range slices.Concat(dmiSections, tableSections, []facts.ID{facts.MemoryArrays, facts.Batteries, facts.PowerSupplies, facts.TPM}) {
				r.Problem(id, err)
			}
		}
	} else {
		fw = &firmware{}
		withoutTables(h, r, p.cpus.machine, err)
	}
	p.cpus.report(r, fw.sockets)
	r.Add(facts.MemoryArrays, p.memory.rows(h, r, fw)...)
	reportPower(h, r, fw)
	reportTPM(h.For(facts.TPM), r, fw.tpm)
	return nil
}

// withoutTables reports the sections that the tables fill where they cannot be read
// because of err. machine is what /proc/cpuinfo says of it.
func withoutTables(h *probe.Host, r *probe.Report, machine *facts.SystemRow, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		err = errNoSMBIOS
	}
	for _, id := range tableSections {
		r.Problem(id, err)
	}
	if hasDMI(h) {
		collectDMI(h, r)
		return
	}
	if row := systemWithoutDMI(h); row != nil {
		machine = row
	}
	for _, id := range dmiSections {
		if id == facts.System && machine != nil {
			r.Add(id, machine)
		} else {
			r.Problem(id, err)
		}
	}
}

func bootedByUEFI(h *probe.Host) bool {
	_, err := h.Stat("/sys/firmware/efi")
	return err == nil
}

const dmiFolder = "/sys/class/dmi/id/"

func hasDMI(h *probe.Host) bool {
	_, err := h.Stat(dmiFolder)
	return !probe.Absent(err)
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

// collectDMI reports the values of /sys/class/dmi/id.
func collectDMI(h *probe.Host, r *probe.Report) {
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

// addDMI adds a row that tells something; what could not be read of it makes the section
// partial.
func addDMI(r *probe.Report, id facts.ID, d *dmiReader, row facts.Row) {
	if !reflect.ValueOf(row).Elem().IsZero() {
		r.Add(id, row)
	}
	if d.denied != nil {
		r.Problem(id, d.denied)
		d.denied = nil
	}
}

const deviceTree = "/proc/device-tree/"

// systemWithoutDMI names the machine by its device tree (Devicetree Specification 0.4,
// section 3.2; properties end with NUL) or by /proc/sysinfo of s390; nil when neither
// does.
func systemWithoutDMI(h *probe.Host) *facts.SystemRow {
	row := &facts.SystemRow{
		Product: meaningful(printable(h.ReadString(deviceTree + "model"))),
		Serial:  meaningful(printable(h.ReadString(deviceTree + "serial-number"))),
	}
	if *row != (facts.SystemRow{}) {
		if id := h.ReadString(deviceTree + "system-id"); row.Serial == "" { // IBM Power
			row.Serial = meaningful(printable(id))
		}
		return row
	}
	return sysinfo(h.ReadString("/proc/sysinfo"))
}

// sysinfo reads what the hypervisor of an s390 says of the machine
// (arch/s390/kernel/sysinfo.c); nil if it says nothing.
func sysinfo(text string) *facts.SystemRow {
	row := &facts.SystemRow{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		value = meaningful(printable(value))
		switch strings.TrimSpace(name) {
		case "Manufacturer":
			row.Manufacturer = value
		case "Type":
			row.Product = value
		case "Model":
			row.Version = strings.Join(strings.Fields(value), " ")
		case "Sequence Code":
			row.Serial = value
		}
	}
	if *row == (facts.SystemRow{}) {
		return nil
	}
	return row
}
