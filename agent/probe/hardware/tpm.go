package hardware

import (
	"encoding/binary"
	"fmt"
	"path"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

const tpmFolder = "/sys/class/tpm"

// tpmVendors are the four letters of the TCG Vendor ID Registry, and the three or four
// that the same makers have in ACPI.
var tpmVendors = map[string]string{
	"AMD": "AMD", "ATML": "Atmel", "ATM": "Atmel", "BRCM": "Broadcom", "BCM": "Broadcom", "GOOG": "Google", "HPE": "HPE", "IBM": "IBM",
	"IFX": "Infineon", "INTC": "Intel", "INT": "Intel", "LEN": "Lenovo", "MSFT": "Microsoft", "NSM": "National Semiconductor",
	"NTC": "Nuvoton", "NTZ": "Nationz", "NPC": "Nuvoton", "QCOM": "Qualcomm", "ROCC": "Fuzhou Rockchip", "SMSC": "SMSC", "SMSN": "Samsung",
	"SNS": "Sinosun", "STM": "STMicroelectronics", "TXN": "Texas Instruments", "WEC": "Winbond",
}

func tpmVendor(letters string) string {
	letters = strings.TrimSpace(strings.TrimRight(letters, "\x00 "))
	if name, ok := tpmVendors[letters]; ok {
		return name
	}
	return meaningful(printable(letters))
}

// tpmRow reads type 43 (7.44); nil when there is none.
func (t table) tpmRow() *facts.TPMRow {
	s := t.first(typeTPM)
	if len(s.data) < 0x12 {
		return nil
	}
	major, minor := s.byte(0x08), s.byte(0x09)
	row := &facts.TPMRow{
		Name: "firmware", Version: fmt.Sprintf("%d.%d", major, minor), Manufacturer: tpmVendor(string(s.data[0x04:0x08])), Description: s.text(0x12),
	}
	switch version := s.dword(0x0a); {
	case version == 0:
	case major == 1: // laid out as TPM_VERSION: the last two bytes are the revision
		row.Firmware = fmt.Sprintf("%d.%d", version>>16&0xff, version>>24)
	default:
		row.Firmware = fmt.Sprintf("%d.%d", version>>16, version&0xffff)
	}
	return row
}

// reportTPM adds the modules that the kernel drives (Documentation/ABI/stable/sysfs-class-tpm)
// with what the firmware knows of the first; without a driver the firmware's word alone.
func reportTPM(h *probe.Host, r *probe.Report, known *facts.TPMRow) {
	entries, err := h.ReadDir(tpmFolder)
	if err != nil && !probe.Absent(err) {
		r.Problem(facts.TPM, err)
	}
	found := false
	for i, e := range entries {
		row := readTPM(h, e.Name())
		if known != nil && i == 0 {
			completeTPM(row, known)
		}
		found = true
		r.Add(facts.TPM, row)
	}
	switch {
	case !found && known != nil:
		r.Add(facts.TPM, known)
	case !found && probe.Absent(err):
		r.Problem(facts.TPM, errNoTPM)
	}
}

func readTPM(h *probe.Host, name string) *facts.TPMRow {
	dir := tpmFolder + "/" + name + "/"
	row := &facts.TPMRow{Name: name, Description: meaningful(printable(h.ReadString(dir + "device/description")))}
	if target, err := h.Readlink(dir + "device/driver"); err == nil {
		row.Driver = path.Base(target)
	}
	switch h.ReadString(dir + "tpm_version_major") {
	case "1":
		row.Version = "1.2"
	case "2":
		row.Version = "2.0"
	}
	for line := range strings.Lines(h.ReadString(dir + "caps")) { // 1.2 only
		name, value, _ := strings.Cut(line, ":")
		switch value = strings.TrimSpace(value); strings.TrimSpace(name) {
		case "Manufacturer":
			var letters uint32
			if _, err := fmt.Sscanf(value, "0x%x", &letters); err == nil {
				row.Manufacturer = tpmVendor(string(binary.BigEndian.AppendUint32(nil, letters)))
			}
		case "TCG version":
			row.Version = meaningful(printable(value))
		case "Firmware version":
			row.Firmware = meaningful(printable(value))
		}
	}
	if id := acpiVendor(h.ReadString(dir + "device/firmware_node/hid")); row.Manufacturer == "" && id != "" {
		row.Manufacturer = tpmVendor(id)
	}
	entries, _ := h.ReadDir(dir) // what could be read
	for _, e := range entries {
		if bank, ok := strings.CutPrefix(e.Name(), "pcr-"); ok {
			row.Banks = append(row.Banks, bank)
		}
	}
	return row
}

// acpiVendor is the maker in a hardware id such as IFX0102; that of Microsoft only says
// which interface it is.
func acpiVendor(hid string) string {
	id := strings.TrimRight(hid, "0123456789ABCDEFabcdef")
	for len(id) < 3 && len(id) < len(hid) { // letters that are digits, too: ATML0001
		id = hid[:len(id)+1]
	}
	if _, ok := tpmVendors[id]; !ok || id == "MSFT" {
		return ""
	}
	return id
}

func completeTPM(row, known *facts.TPMRow) {
	for _, f := range []struct{ to, from *string }{
		{&row.Version, &known.Version}, {&row.Manufacturer, &known.Manufacturer}, {&row.Firmware, &known.Firmware}, {&row.Description, &known.Description},
	} {
		if *f.to == "" {
			*f.to = *f.from
		}
	}
}
