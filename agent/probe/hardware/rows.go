package hardware

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"atalaya/shared/facts"
)

// biosRow reads type 0 (7.1).
func (t table) biosRow() *facts.BIOSRow {
	s := t.first(typeBIOS)
	if s.data == nil {
		return nil
	}
	return &facts.BIOSRow{
		Vendor: s.text(0x04), Version: s.text(0x05), Date: biosDate(s.text(0x08)),
		Release: pair(s, 0x14), Firmware: pair(s, 0x16), ROMBytes: romBytes(s),
	}
}

// pair formats a major and a minor number; 0xFF in both means that there is none.
func pair(s structure, offset int) string {
	if offset+2 > len(s.data) || s.word(offset) == 0xffff {
		return ""
	}
	return fmt.Sprintf("%d.%d", s.byte(offset), s.byte(offset+1))
}

// romBytes is the size of the firmware's ROM: units of 64 KiB, and when these do not
// suffice a count of MiB or GiB (7.1, offset 18h).
func romBytes(s structure) int64 {
	n := s.byte(0x09)
	if n != 0xff || len(s.data) < 0x1a {
		if len(s.data) <= 0x09 {
			return 0
		}
		return (int64(n) + 1) << 16
	}
	ext := s.word(0x18)
	switch size := int64(ext & 0x3fff); ext >> 14 {
	case 0:
		return size << 20
	case 1:
		return size << 30
	}
	return 0 // the other units are reserved
}

// biosDate turns mm/dd/yyyy, or mm/dd/yy of the last century (7.1, offset 08h), into
// YYYY-MM-DD. Anything else is left as it is written.
func biosDate(s string) string {
	if t, err := time.Parse("01/02/2006", s); err == nil {
		return t.Format(time.DateOnly)
	}
	if t, err := time.Parse("01/02/06", s); err == nil {
		return fmt.Sprintf("19%02d-%02d-%02d", t.Year()%100, t.Month(), t.Day())
	}
	return s
}

// systemRow reads type 1 (7.2).
func (t table) systemRow() *facts.SystemRow {
	s := t.first(typeSystem)
	if s.data == nil {
		return nil
	}
	return &facts.SystemRow{
		Manufacturer: s.text(0x04), Product: s.text(0x05), Version: s.text(0x06), Serial: s.text(0x07),
		UUID: t.uuid(s, 0x08), SKU: s.text(0x19), Family: s.text(0x1a),
	}
}

// boardRows reads type 2 (7.3). The handle tells boards apart where there are several.
func (t table) boardRows() []*facts.BoardRow {
	boards := t.all(typeBoard)
	rows := make([]*facts.BoardRow, 0, len(boards))
	for _, s := range boards {
		row := &facts.BoardRow{
			Manufacturer: s.text(0x04), Product: s.text(0x05), Version: s.text(0x06),
			Serial: s.text(0x07), AssetTag: s.text(0x08),
		}
		if *row == (facts.BoardRow{}) {
			continue
		}
		if len(boards) > 1 {
			row.Handle = handle(s.handle)
		}
		rows = append(rows, row)
	}
	return rows
}

func handle(h uint16) string { return fmt.Sprintf("0x%04x", h) }

// chassisTypes are the words of 7.4.1, from value 1 on.
var chassisTypes = [...]string{
	"other", "", "desktop", "low profile desktop", "pizza box", "mini tower", "tower", "portable", "laptop",
	"notebook", "hand held", "docking station", "all in one", "sub notebook", "space-saving", "lunch box",
	"main server chassis", "expansion chassis", "subchassis", "bus expansion chassis", "peripheral chassis",
	"raid chassis", "rack mount chassis", "sealed-case pc", "multi-system chassis", "compact pci", "advanced tca",
	"blade", "blade enclosure", "tablet", "convertible", "detachable", "iot gateway", "embedded pc", "mini pc", "stick pc",
}

func chassisType(n int) string {
	n &= 0x7f // bit 7: there is a lock
	if n < 1 || n > len(chassisTypes) {
		return ""
	}
	return chassisTypes[n-1]
}

// chassisRow reads type 3 (7.4).
func (t table) chassisRow() *facts.ChassisRow {
	s := t.first(typeChassis)
	if s.data == nil {
		return nil
	}
	return &facts.ChassisRow{
		Manufacturer: s.text(0x04), Type: chassisType(int(s.byte(0x05))), Version: s.text(0x06),
		Serial: s.text(0x07), AssetTag: s.text(0x08),
	}
}

// memoryTypes are the words of 7.18.2, from value 1 on; "" for those that say nothing.
var memoryTypes = [...]string{
	"", "", "DRAM", "EDRAM", "VRAM", "SRAM", "RAM", "ROM", "Flash", "EEPROM", "FEPROM", "EPROM", "CDRAM", "3DRAM",
	"SDRAM", "SGRAM", "RDRAM", "DDR", "DDR2", "DDR2 FB-DIMM", "", "", "", "DDR3", "FBD2", "DDR4", "LPDDR", "LPDDR2",
	"LPDDR3", "LPDDR4", "Logical non-volatile device", "HBM", "HBM2", "DDR5", "LPDDR5", "HBM3",
}

// formFactors are the words of 7.18.1, from value 1 on.
var formFactors = [...]string{
	"", "", "SIMM", "SIP", "Chip", "DIP", "ZIP", "Proprietary Card", "DIMM", "TSOP", "Row Of Chips", "RIMM",
	"SODIMM", "SRIMM", "FB-DIMM", "Die", "CAMM",
}

func word(words []string, n byte) string {
	if n < 1 || int(n) > len(words) {
		return ""
	}
	return words[n-1]
}

// memoryRows reads the slots of the system's memory: type 17 (7.18) of the arrays
// (type 16, 7.17) whose use is system memory. Slots for video memory or the
// firmware's flash are not part of it.
func (t table) memoryRows() []*facts.MemoryModuleRow {
	const systemMemory = 3 // 7.17.2
	ecc, other := make(map[uint16]bool), make(map[uint16]bool)
	for _, s := range t.all(typeMemoryArray) {
		correction := s.byte(0x06)
		ecc[s.handle] = correction == 5 || correction == 6 // single-bit, multi-bit: 7.17.3
		other[s.handle] = s.byte(0x05) != systemMemory
	}
	var rows []*facts.MemoryModuleRow
	seen := make(map[string]bool)
	for _, s := range t.all(typeMemory) {
		array := s.word(0x04)
		size, known := memoryBytes(s)
		if other[array] || !known {
			continue
		}
		row := &facts.MemoryModuleRow{Locator: s.text(0x10), Bank: s.text(0x11), SizeBytes: size}
		if size > 0 {
			describeModule(row, s)
			row.ECC = ecc[array]
		}
		if seen[row.Key()] { // boards that call every slot the same
			row.Handle = handle(s.handle)
		}
		seen[row.Key()] = true
		rows = append(rows, row)
	}
	return rows
}

// describeModule fills what is known of a module; the fields of an empty slot are fill-ins.
func describeModule(row *facts.MemoryModuleRow, s structure) {
	row.FormFactor, row.Type = word(formFactors[:], s.byte(0x0e)), word(memoryTypes[:], s.byte(0x12))
	row.SpeedMT, row.ConfiguredMT = speed(s, 0x15, 0x54), speed(s, 0x20, 0x58)
	row.Manufacturer, row.Serial, row.Part = manufacturer(s.text(0x17)), s.text(0x18), s.text(0x1a)
}

// memoryBytes is the size of a module (7.18, offset 0Ch): MiB, or KiB when bit 15 is
// set; 7FFFh sends to the extended size in MiB, FFFFh means not known.
func memoryBytes(s structure) (n int64, known bool) {
	const kib, extended, unknown = 0x8000, 0x7fff, 0xffff
	if len(s.data) < 0x0e {
		return 0, false
	}
	switch v := s.word(0x0c); {
	case v == unknown:
		return 0, false
	case v == extended && len(s.data) >= 0x20:
		return int64(s.dword(0x1c)&0x7fffffff) << 20, true
	case v&kib != 0:
		return int64(v&^kib) << 10, true
	default:
		return int64(v) << 20, true
	}
}

// speed is in MT/s; FFFFh sends to the extended field, 0 means not known.
func speed(s structure, offset, extended int) int {
	v := s.word(offset)
	if v == 0xffff {
		return int(s.dword(extended) & 0x7fffffff)
	}
	return int(v)
}

// jedec are manufacturers by their identification code of JEDEC JEP106 (bank in the
// first byte without its parity bit, code in the second), for firmware that shows
// the code of the module instead of a name.
var jedec = map[uint16]string{
	0x002c: "Micron", 0x00ad: "SK Hynix", 0x00ce: "Samsung", 0x030b: "Nanya", 0x0198: "Kingston",
	0x029e: "Corsair", 0x059b: "Crucial", 0x04cb: "A-DATA", 0x04cd: "G.Skill", 0x00c1: "Infineon",
	0x0551: "Qimonda", 0x02fe: "Elpida",
}

// manufacturer gives a name to the four forms in which firmware shows a code:
// "0xAD00", "00CE00B380CE", "802C0000802C", "80AD".
func manufacturer(s string) string {
	hex := strings.TrimPrefix(strings.ToLower(s), "0x")
	if len(hex) != 4 && len(hex) != 12 && len(hex) != 16 {
		return s
	}
	v, err := strconv.ParseUint(hex[:4], 16, 16)
	if err != nil {
		return s
	}
	if _, err := strconv.ParseUint(hex, 16, 64); err != nil {
		return s
	}
	bank, code := uint16(v>>8)&0x7f, uint16(v)&0xff
	if code == 0 { // the bytes the other way round
		bank, code = 0, uint16(v>>8)
	}
	if name, ok := jedec[bank<<8|code]; ok {
		return name
	}
	return s
}
