package devices

import (
	"errors"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

const (
	drmFolder    = "/sys/class/drm"
	nvidiaFolder = "/proc/driver/nvidia/gpus/"
)

// collectGPUs reports the cards among the PCI devices, and those that the kernel's
// graphics subsystem has elsewhere, as in systems on a chip. bus says whether there is a
// PCI bus.
func collectGPUs(h *probe.Host, r *probe.Report, onPCI []*facts.PCIDeviceRow, bus bool) {
	entries, err := h.ReadDir(drmFolder)
	if err != nil && !probe.Absent(err) {
		r.Problem(facts.GPUs, err)
	}
	cards := make(map[string]string) // by the name of their device
	for _, e := range entries {
		if number, ok := strings.CutPrefix(e.Name(), "card"); !ok || strings.Trim(number, "0123456789") != "" {
			continue // card0-HDMI-A-1 is a connector
		}
		if target, err := h.Readlink(drmFolder + "/" + e.Name() + "/device"); err == nil {
			cards[path.Base(target)] = e.Name()
		}
	}
	for _, device := range onPCI {
		row := pciGPU(h, device)
		row.Card = cards[device.Address]
		delete(cards, device.Address)
		r.Add(facts.GPUs, row)
	}
	for device, card := range cards {
		r.Add(facts.GPUs, platformGPU(h, device, card))
	}
	if probe.Absent(err) && !bus {
		problem(r, facts.GPUs, drmFolder+" or PCI bus", err)
	}
}

func pciGPU(h *probe.Host, d *facts.PCIDeviceRow) *facts.GPURow {
	dir := pciFolder + "/" + d.Address + "/"
	row := &facts.GPURow{
		Address: d.Address, Type: "graphics", Vendor: d.Vendor, Model: model(d.Device), Driver: d.Driver,
		Boot: h.ReadString(dir+"boot_vga") == "1",
	}
	if !strings.HasPrefix(d.ClassID, "03") {
		row.Type = "compute"
	}
	switch d.Driver {
	case "nvidia":
		nvidia(h, row)
	case "amdgpu":
		row.MemoryBytes = number(h, dir+"mem_info_vram_total")
		row.Firmware, row.UUID, row.Serial = h.ReadString(dir+"vbios_version"), h.ReadString(dir+"unique_id"), h.ReadString(dir+"serial_number")
	}
	if row.MemoryBytes == 0 { // cards of Intel
		row.MemoryBytes = number(h, dir+"lmem_total_bytes")
	}
	return row
}

// model is the name under which a card is sold: the lists have it in brackets behind
// that of the chip, as in "GA102 [GeForce RTX 3090]".
func model(device string) string {
	if _, after, ok := strings.Cut(device, "["); ok && strings.HasSuffix(after, "]") {
		return strings.TrimSuffix(after, "]")
	}
	return device
}

// number reads a decimal number; 0 when there is none.
func number(h *probe.Host, name string) int64 {
	n, err := strconv.ParseInt(h.ReadString(name), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// nvidia reads what NVIDIA's driver says of a card, in lines like "Model:  NVIDIA A100".
// How much memory it has is not among them.
func nvidia(h *probe.Host, row *facts.GPURow) {
	row.DriverVersion = h.ReadString("/sys/module/nvidia/version")
	for line := range strings.Lines(h.ReadString(nvidiaFolder + row.Address + "/information")) {
		name, value, _ := strings.Cut(line, ":")
		value = printable(value)
		if value == "" || strings.Contains(value, "?") { // not read yet
			continue
		}
		switch strings.TrimSpace(name) {
		case "Model":
			row.Model = value
		case "GPU UUID":
			row.UUID = value
		case "Video BIOS":
			row.Firmware = value
		}
	}
}

// platformGPU reads a card that is named by its driver and, in a device tree, by what it
// is compatible with: "brcm,bcm2711-vc5".
func platformGPU(h *probe.Host, device, card string) *facts.GPURow {
	dir := drmFolder + "/" + card + "/device/"
	row := &facts.GPURow{Address: device, Type: "graphics", Card: card}
	if target, err := h.Readlink(dir + "driver"); err == nil {
		row.Driver = path.Base(target)
	}
	compatible, _, _ := strings.Cut(h.ReadString(dir+"of_node/compatible"), "\x00")
	row.Vendor, row.Model, _ = strings.Cut(printable(compatible), ",")
	return row
}

// collectMonitors reports the displays on the connectors of the cards. The kernel has
// read their EDID already.
func collectMonitors(h *probe.Host, r *probe.Report) {
	entries, err := h.ReadDir(drmFolder)
	if err != nil {
		problem(r, facts.Monitors, drmFolder, err)
	}
	for _, e := range entries {
		dir := drmFolder + "/" + e.Name() + "/"
		if !strings.Contains(e.Name(), "-") || h.ReadString(dir+"status") == "disconnected" {
			continue
		}
		b, err := h.ReadFile(dir + "edid")
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, probe.ErrNUL) {
			r.Problem(facts.Monitors, err)
		}
		if err != nil || len(b) == 0 {
			continue // a connector that cannot say what is on it
		}
		row, err := decodeEDID(b)
		if err != nil {
			r.Problem(facts.Monitors, err)
			continue
		}
		row.Connector, row.Vendor = e.Name(), pnpVendor(h, row.Manufacturer)
		r.Add(facts.Monitors, row)
	}
}
