package devices

import (
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

const usbFolder = "/sys/bus/usb/devices"

// keptUSB is the row of a device, and the device number that it had: plugged in again
// it gets another.
type keptUSB struct {
	state string
	row   *facts.USBDeviceRow
}

// collectUSB reports the devices on the USB (Documentation/ABI/stable/sysfs-bus-usb).
func (p *devices) collectUSB(h *probe.Host, r *probe.Report) {
	entries, err := h.ReadDir(usbFolder)
	if err != nil {
		problem(r, facts.USBDevices, usbFolder, err)
	}
	interfaces := make(map[string][]string) // of a device
	for _, e := range entries {
		if device, _, ok := strings.Cut(e.Name(), ":"); ok {
			interfaces[device] = append(interfaces[device], e.Name())
		}
	}
	kept := make(map[string]keptUSB, len(entries))
	for _, e := range entries {
		if strings.Contains(e.Name(), ":") {
			continue
		}
		dir := usbFolder + "/" + e.Name() + "/"
		ids := h.ReadString(dir+"idVendor") + h.ReadString(dir+"idProduct")
		if len(ids) != 8 || strings.Trim(ids, "0123456789abcdefABCDEF") != "" {
			silent(h, r, facts.USBDevices, usbFolder, e.Name())
			continue
		}
		state := ids + " " + h.ReadString(dir+"devnum") + " " + strings.Join(interfaces[e.Name()], " ")
		k := p.usb[e.Name()]
		refused := h.Refusals()
		if k.row == nil || k.state != state {
			k = keptUSB{state, p.usbRow(h, e.Name(), dir, strings.ToLower(ids))}
			drivers(h, k.row, interfaces[e.Name()])
		}
		if h.Refusals() == refused {
			kept[e.Name()] = k
		}
		r.Add(facts.USBDevices, k.row)
	}
	p.usb = kept
}

func (p *devices) usbRow(h *probe.Host, port, dir, ids string) *facts.USBDeviceRow {
	text := func(name string) string { return printable(h.ReadString(dir + name)) }
	row := &facts.USBDeviceRow{
		Port: port, VendorID: ids[:4], ProductID: ids[4:],
		Vendor: text("manufacturer"), Product: text("product"), Serial: text("serial"),
		USBVersion: text("version"), Revision: bcd(text("bcdDevice")), Class: usbClasses[text("bDeviceClass")],
		SpeedBits: megabits(text("speed")),
	}
	if strings.HasPrefix(port, "usb") { // a root hub says the kernel's version and the PCI address of its controller
		row.Vendor, row.Serial = "Linux Foundation", ""
	}
	if row.Vendor == "" {
		row.Vendor = p.names.find(h, "u"+ids[:4])
	}
	if row.Product == "" {
		row.Product = p.names.find(h, "u"+ids)
	}
	return row
}

// bcd writes a version number of four digits as people do: 1210 is 12.10.
func bcd(s string) string {
	if len(s) != 4 || strings.Trim(s, "0123456789") != "" {
		return s
	}
	return strings.TrimPrefix(s[:2], "0") + "." + s[2:]
}

// megabits reads the speed in Mbit/s: 1.5, 12, 480, 5000 ...
func megabits(s string) int64 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || v <= 0 || v > 1e6 {
		return 0
	}
	return int64(v * 1e6)
}

// drivers fills in what drives the interfaces, and their class where the device has none.
func drivers(h *probe.Host, row *facts.USBDeviceRow, interfaces []string) {
	found := make(map[string]bool)
	for _, name := range interfaces {
		if target, err := h.Readlink(usbFolder + "/" + name + "/driver"); err == nil {
			found[path.Base(target)] = true
		}
		if class := h.ReadString(usbFolder + "/" + name + "/bInterfaceClass"); row.Class == "" && class != "ff" && class != "" {
			row.Class = usbClasses[class]
		}
	}
	row.Drivers = slices.Sorted(maps.Keys(found))
}

// usbClasses are those of usb.org/defined-class-codes; 00 says that the interfaces have
// their own.
var usbClasses = map[string]string{
	"01": "Audio", "02": "Communications", "03": "Human Interface Device", "05": "Physical Interface Device", "06": "Imaging", "07": "Printer",
	"08": "Mass Storage", "09": "Hub", "0a": "CDC Data", "0b": "Chip/SmartCard", "0d": "Content Security", "0e": "Video",
	"0f": "Personal Healthcare", "10": "Audio/Video", "11": "Billboard", "dc": "Diagnostic", "e0": "Wireless", "ef": "Miscellaneous Device",
	"fe": "Application Specific Interface",
}

// printable keeps what is text: devices send what they like.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	return strings.TrimSpace(s)
}
