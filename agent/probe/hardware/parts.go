package hardware

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"atalaya/shared/facts"
)

// cpuSocket is a populated socket of a central processor (7.5).
type cpuSocket struct {
	designation, vendor, model, serial, part, signature string

	hz, busHz      int64
	cores, threads int
}

// cpuSockets reads type 4 in the order of the table.
func (t table) cpuSockets() []cpuSocket {
	var out []cpuSocket
	for _, s := range t.all(typeProcessor) {
		const populated, central = 0x40, 3 // 7.5, offset 18h; 7.5.1
		if s.byte(0x18)&populated == 0 || s.byte(0x05) != central {
			continue
		}
		c := cpuSocket{
			designation: s.text(0x04), vendor: s.text(0x07), model: strings.Join(strings.Fields(s.text(0x10)), " "),
			serial: s.text(0x20), part: s.text(0x22),
			hz: int64(s.word(0x14)) * 1e6, busHz: int64(s.word(0x12)) * 1e6,
			cores: count(s, 0x23, 0x2a), threads: count(s, 0x25, 0x2e),
		}
		if len(s.data) >= 0x10 {
			id := slices.Clone(s.data[0x08:0x10])
			slices.Reverse(id)
			c.signature = meaningful(strings.ToUpper(hex.EncodeToString(id)))
		}
		out = append(out, c)
	}
	return out
}

// count is a number of a byte; FFh sends to the word of version 3.0.
func count(s structure, offset, extended int) int {
	if n := s.byte(offset); n != 0xff {
		return int(n)
	}
	return int(s.word(extended))
}

func (c cpuSocket) describe(row *facts.CPURow) {
	row.Designation, row.Serial, row.Part, row.BusHz, row.Signature = c.designation, c.serial, c.part, c.busHz, c.signature
	if row.MaxHz == 0 {
		row.MaxHz = c.hz
	}
}

// The words of 7.17.1, 7.17.2 and 7.17.3, from value 1 on.
var (
	arrayLocations = [...]string{"other", "", "system board", "ISA add-on card", "EISA add-on card", "PCI add-on card", "MCA add-on card",
		"PCMCIA add-on card", "proprietary add-on card", "NuBus"}
	arrayUses   = [...]string{"other", "", "system memory", "video memory", "flash memory", "non-volatile RAM", "cache memory"}
	corrections = [...]string{"other", "", "none", "parity", "single-bit ECC", "multi-bit ECC", "CRC"}
)

// arrayRows reads type 16 (7.17), with what its modules hold.
func (t table) arrayRows() []*facts.MemoryArrayRow {
	var rows []*facts.MemoryArrayRow
	of := make(map[uint16]*facts.MemoryArrayRow)
	for _, s := range t.all(typeMemoryArray) {
		row := &facts.MemoryArrayRow{
			Handle: handle(s.handle), Location: word(arrayLocations[:], s.byte(0x04)), Use: word(arrayUses[:], s.byte(0x05)),
			ErrorCorrection: word(corrections[:], s.byte(0x06)), MaxBytes: arrayMax(s), Slots: int(s.word(0x0d)),
		}
		of[s.handle] = row
		rows = append(rows, row)
	}
	for _, s := range t.all(typeMemory) {
		if row, size := of[s.word(0x04)], moduleBytes(s); row != nil && size > 0 {
			row.Populated++
			row.InstalledBytes += size
		}
	}
	return rows
}

// moduleBytes is the size of a module, 0 when there is none or it is not known.
func moduleBytes(s structure) int64 {
	size, _ := memoryBytes(s)
	return size
}

// arrayMax is in KiB; 80000000h sends to the extended field in bytes (7.17, offset 07h).
func arrayMax(s structure) int64 {
	n := s.dword(0x07)
	if n != 0x80000000 {
		return int64(n) << 10
	}
	return int64(uint64(s.dword(0x0f))|uint64(s.dword(0x13))<<32) & (1<<62 - 1)
}

// slotTypes are the words of 7.10.1 that are in one row, from value 1 on.
var slotTypes = [...]string{"other", "", "ISA", "MCA", "EISA", "PCI", "PC Card (PCMCIA)", "VLB", "proprietary", "processor card",
	"proprietary memory card", "I/O riser card", "NuBus", "PCI-66", "AGP", "AGP 2x", "AGP 4x", "PCI-X", "AGP 8x", "M.2 socket 1-DP",
	"M.2 socket 1-SD", "M.2 socket 2", "M.2 socket 3", "MXM type I", "MXM type II", "MXM type III", "MXM type III-HE", "MXM type IV",
	"MXM 3.0 type A", "MXM 3.0 type B", "PCI Express 2 SFF-8639 (U.2)", "PCI Express 3 SFF-8639 (U.2)",
	"PCI Express Mini 52-pin with bottom-side keep-outs", "PCI Express Mini 52-pin", "PCI Express Mini 76-pin",
	"PCI Express 4 SFF-8639 (U.2)", "PCI Express 5 SFF-8639 (U.2)", "OCP NIC 3.0 small form factor", "OCP NIC 3.0 large form factor",
	"OCP NIC prior to 3.0"}

// expressWidths are those of six values in a row for each generation of PCI Express.
var expressWidths = [...]string{"", " x1", " x2", " x4", " x8", " x16"}

func slotType(n byte) string {
	switch {
	case n == 0x30:
		return "CXL flexbus 1.0"
	case n >= 0xa0 && n <= 0xa4:
		return [...]string{"PC-98/C20", "PC-98/C24", "PC-98/E", "PC-98/local bus", "PC-98/card"}[n-0xa0]
	case n >= 0xa5 && n <= 0xaa:
		return "PCI Express" + expressWidths[n-0xa5]
	case n >= 0xab && n <= 0xb0:
		return "PCI Express 2" + expressWidths[n-0xab]
	case n >= 0xb1 && n <= 0xb6:
		return "PCI Express 3" + expressWidths[n-0xb1]
	case n >= 0xb8 && n <= 0xbd:
		return "PCI Express 4" + expressWidths[n-0xb8]
	case n >= 0xbe && n <= 0xc3:
		return "PCI Express 5" + expressWidths[n-0xbe]
	case n == 0xc4:
		return "PCI Express 6 and beyond"
	case n == 0xc5:
		return "EDSFF E1"
	case n == 0xc6:
		return "EDSFF E3"
	}
	return word(slotTypes[:], n)
}

// The words of 7.10.2 and 7.10.3, from value 1 on.
var (
	slotWidths = [...]string{"other", "", "8-bit", "16-bit", "32-bit", "64-bit", "128-bit", "x1", "x2", "x4", "x8", "x12", "x16", "x32"}
	slotUsages = [...]string{"other", "", "available", "in use", "unavailable"}
)

// slotRows reads type 9 (7.10).
func (t table) slotRows() []*facts.SlotRow {
	var rows []*facts.SlotRow
	seen := make(map[string]bool)
	for _, s := range t.all(typeSlot) {
		row := &facts.SlotRow{
			Designation: s.text(0x04), Type: slotType(s.byte(0x05)), Width: word(slotWidths[:], s.byte(0x06)),
			Usage: word(slotUsages[:], s.byte(0x07)), SlotID: int(s.word(0x09)),
		}
		if segment, bus := s.word(0x0d), s.byte(0x0f); len(s.data) >= 0x11 && (segment != 0xffff || bus != 0xff) && s.byte(0x10) != 0xff {
			device := s.byte(0x10) // bits 7 to 3 device, 2 to 0 function
			row.Address = fmt.Sprintf("%04x:%02x:%02x.%x", segment, bus, device>>3, device&7)
		}
		if seen[row.Key()] || row.Designation == "" {
			row.Handle = handle(s.handle)
		}
		seen[row.Key()] = true
		rows = append(rows, row)
	}
	return rows
}

// supplyTypes are the words of 7.40.1, from value 1 on; batteries and UPS have a type
// of their own.
var supplyTypes = [...]string{"other", "", "linear", "switching", "battery", "ups", "converter", "regulator"}

// supplyStatus are the words of offset 0Eh, bits 9 to 7 (7.40.1).
var supplyStatus = [...]string{"other", "", "ok", "non-critical", "critical"}

// supplyRows reads type 39 (7.40).
func (t table) supplyRows() []*facts.PowerSupplyRow {
	var rows []*facts.PowerSupplyRow
	seen := make(map[string]bool)
	for _, s := range t.all(typePowerSupply) {
		flags := s.word(0x0e)
		present := flags&2 != 0
		row := &facts.PowerSupplyRow{
			Name: s.text(0x06), Location: s.text(0x05), Manufacturer: s.text(0x07), Serial: s.text(0x08), AssetTag: s.text(0x09),
			Part: s.text(0x0a), Revision: s.text(0x0b), Type: word(supplyTypes[:], byte(flags>>10&15)),
			Status: word(supplyStatus[:], byte(flags>>7&7)), HotReplaceable: flags&1 != 0, Unplugged: present && flags&4 != 0,
			Present: &present,
		}
		if w := s.word(0x0c); w != 0x8000 {
			row.MaxWatts = int(w)
		}
		if !present && row.Name == "" && row.Location == "" && row.Serial == "" {
			continue // a bay that was never described
		}
		if row.Name == "" {
			row.Name = "power supply"
		}
		if seen[row.Key()] {
			row.Handle = handle(s.handle)
		}
		seen[row.Key()] = true
		rows = append(rows, row)
	}
	return rows
}

// chemistries are the words of 7.23.1, from value 1 on.
var chemistries = [...]string{"other", "", "lead acid", "NiCd", "NiMH", "Li-ion", "zinc air", "lithium polymer"}

// batteryRows reads type 22 (7.23).
func (t table) batteryRows() []*facts.BatteryRow {
	var rows []*facts.BatteryRow
	for _, s := range t.all(typeBattery) {
		row := &facts.BatteryRow{
			Location: s.text(0x04), Manufacturer: s.text(0x05), Made: biosDate(s.text(0x06)), Serial: s.text(0x07), Model: s.text(0x08),
			Chemistry: word(chemistries[:], s.byte(0x09)), DesignMV: int64(s.word(0x0c)),
			DesignMWh: int64(s.word(0x0a)) * int64(max(s.byte(0x15), 1)),
		}
		smart := len(s.data) >= 0x1a // a smart battery tells by numbers (2.2)
		if row.Serial == "" && smart && s.word(0x10) != 0 {
			row.Serial = fmt.Sprintf("%04X", s.word(0x10))
		}
		if d := s.word(0x12); row.Made == "" && smart && d != 0 {
			row.Made = time.Date(1980+int(d>>9), time.Month(d>>5&15), int(d&31), 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
		}
		if chemistry := s.text(0x14); smart && chemistry != "" {
			row.Chemistry = chemistry
		}
		if *row == (facts.BatteryRow{}) {
			continue
		}
		row.Name = row.Location
		if row.Name == "" || slices.ContainsFunc(rows, func(r *facts.BatteryRow) bool { return r.Name == row.Name }) {
			row.Name = "battery " + handle(s.handle)
		}
		rows = append(rows, row)
	}
	return rows
}
