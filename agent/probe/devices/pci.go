package devices

import (
	"path"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

const pciFolder = "/sys/bus/pci/devices"

// keptPCI is the row of a device, and what it was made from.
type keptPCI struct {
	state string
	row   *facts.PCIDeviceRow
}

// collectPCI reports the functions of the PCI bus
// (Documentation/ABI/testing/sysfs-bus-pci) and returns those that draw or compute, and
// whether there is such a bus.
func (p *devices) collectPCI(h *probe.Host, r *probe.Report) (cards []*facts.PCIDeviceRow, bus bool) {
	entries, err := h.ReadDir(pciFolder)
	if err != nil {
		problem(r, facts.PCIDevices, pciFolder, err)
	}
	kept := make(map[string]keptPCI, len(entries))
	for _, e := range entries {
		dir := pciFolder + "/" + e.Name() + "/"
		modalias := h.ReadString(dir + "modalias")
		driver, _ := h.Readlink(dir + "driver") // none is bound
		state := modalias + " " + driver
		k := p.pci[e.Name()]
		refused := h.Refusals()
		if k.row == nil || k.state != state {
			k = keptPCI{state, p.pciRow(h, e.Name(), dir, modalias)}
			if k.row == nil {
				silent(h, r, facts.PCIDevices, pciFolder, e.Name())
				continue
			}
			k.row.Driver = path.Base("/" + driver)
			if driver == "" {
				k.row.Driver = ""
			}
		}
		if h.Refusals() == refused {
			kept[e.Name()] = k
		}
		r.Add(facts.PCIDevices, k.row)
		if class := k.row.ClassID; strings.HasPrefix(class, "03") || strings.HasPrefix(class, "12") {
			cards = append(cards, k.row)
		}
	}
	p.pci = kept
	return cards, err == nil
}

// pciRow makes a row out of the modalias, which has all numbers of a function:
// pci:v00008086d000046A6sv000017AAsd000022E7bc03sc00i00. nil if there is none.
func (p *devices) pciRow(h *probe.Host, address, dir, modalias string) *facts.PCIDeviceRow {
	f := pciNumbers(strings.ToLower(modalias))
	if f == nil {
		return nil
	}
	row := &facts.PCIDeviceRow{
		Address: address, VendorID: f["v"], DeviceID: f["d"], ClassID: f["bc"] + f["sc"] + f["i"],
		Revision: strings.TrimPrefix(h.ReadString(dir+"revision"), "0x"),
		Vendor:   p.names.find(h, "p"+f["v"]), Device: p.names.find(h, "p"+f["v"]+f["d"]),
		Class: p.names.find(h, "c"+f["bc"]), Subclass: p.names.find(h, "c"+f["bc"]+f["sc"]),
	}
	if f["sv"] != "0000" && f["sv"] != "ffff" {
		row.SubsystemVendorID, row.SubsystemID, row.SubsystemVendor = f["sv"], f["sd"], p.names.find(h, "p"+f["sv"])
	}
	return row
}

// pciNumbers cuts a modalias in lower case into its numbers, without the four zeros
// before those of 16 bits; nil if it is none.
func pciNumbers(modalias string) map[string]string {
	rest, ok := strings.CutPrefix(modalias, "pci:")
	if !ok {
		return nil
	}
	numbers := make(map[string]string, 7)
	for _, field := range []struct {
		name   string
		digits int
	}{{"v", 8}, {"d", 8}, {"sv", 8}, {"sd", 8}, {"bc", 2}, {"sc", 2}, {"i", 2}} {
		rest, ok = strings.CutPrefix(rest, field.name)
		if !ok || len(rest) < field.digits || strings.Trim(rest[:field.digits], "0123456789abcdef") != "" {
			return nil
		}
		numbers[field.name] = rest[max(field.digits-4, 0):field.digits]
		rest = rest[field.digits:]
	}
	return numbers
}
