package hardware

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

// area builds the formatted area of a structure: pairs of an offset and a value of
// type byte, uint16, uint32, uint64 or []byte, as DSP0134 lays them out.
func area(kind byte, length int, handle uint16, fields ...any) []byte {
	b := make([]byte, length)
	b[0], b[1] = kind, byte(length)
	binary.LittleEndian.PutUint16(b[2:], handle)
	for i := 0; i < len(fields); i += 2 {
		at := b[fields[i].(int):]
		switch v := fields[i+1].(type) {
		case int:
			at[0] = byte(v)
		case uint16:
			binary.LittleEndian.PutUint16(at, v)
		case uint32:
			binary.LittleEndian.PutUint32(at, v)
		case []byte:
			copy(at, v)
		}
	}
	return b
}

// entry is a formatted area with its strings.
func entry(area []byte, strings ...string) []byte {
	if len(strings) == 0 {
		return append(area, 0, 0)
	}
	for _, s := range strings {
		area = append(append(area, s...), 0)
	}
	return append(area, 0)
}

var uuidBytes = []byte{0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}

// server is the table of a machine with two boards, three slots of system memory and
// one of firmware flash.
func server() []byte {
	return bytes.Join([][]byte{
		entry(area(0, 0x1a, 0, 4, 1, 5, 2, 8, 3, 9, 0xff, 0x14, 5, 0x15, 22, 0x16, 0xff, 0x17, 0xff, 0x18, uint16(32)),
			"Example Firmware Ltd", "2.19.1", "03/14/2024"),
		entry(area(1, 0x1b, 1, 4, 1, 5, 2, 6, 3, 7, 4, 8, uuidBytes, 0x19, 5, 0x1a, 6),
			"Example Inc.", "Rack 1000", "To be filled by O.E.M.", "SN0001X", "SKU-77", "Rack"),
		entry(area(2, 0x0f, 2, 4, 1, 5, 2, 6, 3, 7, 4, 8, 5), "Example Inc.", "MB-1", "A02", "BS0001", "Not Specified"),
		entry(area(2, 0x0f, 3, 4, 1, 5, 2, 7, 3), "Example Inc.", "Riser-1", "0000000"),
		entry(area(3, 0x15, 4, 4, 1, 5, 0x80|23, 6, 2, 7, 3, 8, 4), "Example Inc.", "Default string", "CH0001", "asset 12"),
		entry(area(4, 0x30, 5, 4, 1, 5, 3, 7, 2, 8, []byte{0xf2, 6, 3, 0, 0xff, 0xfb, 0xeb, 0xbf}, 0x10, 3, 0x12, uint16(100),
			0x14, uint16(3500), 0x18, 0x41, 0x20, 4, 0x22, 5, 0x23, 0xff, 0x25, 0x40, 0x2a, uint16(288)),
			"CPU0", "Example", "Example(R)  CPU", "C-0001", "P-1"),
		entry(area(4, 0x30, 6, 5, 3, 0x14, uint16(3500), 0x18, 0x00)), // an empty socket
		entry(area(9, 0x11, 8, 4, 1, 5, 0xb6, 6, 13, 7, 4, 9, uint16(1), 0x0d, uint16(0), 0x0f, 0x3b, 0x10, 0x08), "PCIe Slot 1"),
		entry(area(9, 0x0d, 9, 4, 1, 5, 6, 6, 5, 7, 3), "PCI"),
		entry(area(9, 0x0d, 10, 4, 1, 5, 6, 6, 5, 7, 3), "PCI"),
		entry(area(16, 0x17, 0x10, 4, 3, 5, 3, 6, 6, 7, uint32(0x80000000), 0x0d, uint16(3), 0x0f, []byte{0, 0, 0, 0, 0, 2, 0, 0})),
		entry(area(16, 0x17, 0x11, 4, 3, 5, 5, 6, 3, 7, uint32(16384), 0x0d, uint16(1))), // flash
		entry(area(17, 0x5c, 0x20, 4, uint16(0x10), 0x0c, uint16(0x7fff), 0x0e, 9, 0x10, 1, 0x11, 2, 0x12, 0x22, 0x15, uint16(0xffff),
			0x17, 3, 0x18, 4, 0x1a, 5, 0x1c, uint32(65536), 0x20, uint16(4800), 0x54, uint32(5600)),
			"DIMM_A1", "BANK 0", "80AD000080AD", "1A2B3C4D", "EX-64G-5600  "),
		entry(area(17, 0x22, 0x21, 4, uint16(0x10), 0x0c, uint16(0), 0x0e, 9, 0x10, 1, 0x11, 2, 0x12, 2, 0x17, 3), "DIMM_A2", "BANK 0", "NO DIMM"),
		entry(area(17, 0x1b, 0x22, 4, uint16(0x10), 0x0c, uint16(0x8000|512), 0x0e, 0x0d, 0x10, 1, 0x11, 2, 0x12, 0x18), "DIMM_A3", "BANK 1"),
		entry(area(17, 0x1b, 0x23, 4, uint16(0x11), 0x0c, uint16(16), 0x10, 1, 0x12, 9), "SYSTEM ROM"),
		entry(area(22, 0x1a, 0x30, 4, 1, 5, 2, 8, 3, 9, 2, 0x0a, uint16(5000), 0x0c, uint16(11400), 0x10, uint16(0x021d),
			0x12, uint16(44<<9|8<<5|13), 0x14, 4, 0x15, 10), "Rear", "Example", "BT-1", "LiP"),
		entry(area(22, 0x10, 0x31, 4, 1, 6, 2, 7, 3, 8, 4, 9, 6, 0x0a, uint16(4400), 0x0c, uint16(10800)), "Rear", "03/11/2006", "S1", "BT-2"),
		entry(area(39, 0x16, 0x40, 5, 1, 6, 2, 7, 3, 8, 4, 9, 5, 0x0a, 6, 0x0b, 7, 0x0c, uint16(750), 0x0e, uint16(4<<10|3<<7|3)),
			"PSU1", "PWR SPLY,750W", "Example", "PS0001", "To be filled by O.E.M.", "PN-750", "A00"),
		entry(area(39, 0x16, 0x41, 5, 1, 6, 2, 0x0c, uint16(0x8000), 0x0e, uint16(2<<7)), "PSU2", "PWR SPLY,750W"),
		entry(area(43, 0x1f, 0x50, 4, []byte("IFX\x00"), 8, 2, 9, 0, 0x0a, uint32(7<<16|85), 0x12, 1), "TPM 2.0"),
		entry(area(39, 0x10, 0x42, 0x0c, uint16(0x8000))), // a bay
		entry(area(127, 4, 0x7f)),
	}, nil)
}

func TestTableOfServer(t *testing.T) {
	tab, err := decodeTable(server(), 0x0304)
	if err != nil {
		t.Fatal(err)
	}
	same := func(what string, got, want any) {
		t.Helper()
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", what, d)
		}
	}
	same("bios", tab.biosRow(), &facts.BIOSRow{
		Vendor: "Example Firmware Ltd", Version: "2.19.1", Date: "2024-03-14", Release: "5.22", ROMBytes: 32 << 20,
	})
	same("system", tab.systemRow(), &facts.SystemRow{
		Manufacturer: "Example Inc.", Product: "Rack 1000", Serial: "SN0001X", SKU: "SKU-77", Family: "Rack",
		UUID: "00112233-4455-6677-8899-aabbccddeeff",
	})
	same("boards", tab.boardRows(), []*facts.BoardRow{
		{Manufacturer: "Example Inc.", Product: "MB-1", Version: "A02", Serial: "BS0001", Handle: "0x0002"},
		{Manufacturer: "Example Inc.", Product: "Riser-1", Handle: "0x0003"},
	})
	same("chassis", tab.chassisRow(), &facts.ChassisRow{
		Type: "rack mount chassis", Manufacturer: "Example Inc.", Serial: "CH0001", AssetTag: "asset 12",
	})
	socket := cpuSocket{
		designation: "CPU0", vendor: "Example", model: "Example(R) CPU", serial: "C-0001", part: "P-1", signature: "BFEBFBFF000306F2",
		hz: 3500e6, busHz: 100e6, cores: 288, threads: 64,
	}
	if got := tab.cpuSockets(); len(got) != 1 || got[0] != socket {
		t.Errorf("sockets are %+v, want %+v", got, socket)
	}
	same("arrays", tab.arrayRows(), []*facts.MemoryArrayRow{
		{Handle: "0x0010", Location: "system board", Use: "system memory", ErrorCorrection: "multi-bit ECC", MaxBytes: 2 << 40, Slots: 3,
			Populated: 2, InstalledBytes: 64<<30 + 512<<10},
		{Handle: "0x0011", Location: "system board", Use: "flash memory", ErrorCorrection: "none", MaxBytes: 16 << 20, Slots: 1,
			Populated: 1, InstalledBytes: 16 << 20},
	})
	same("slots", tab.slotRows(), []*facts.SlotRow{
		{Designation: "PCIe Slot 1", Type: "PCI Express 3 x16", Width: "x16", Usage: "in use", SlotID: 1, Address: "0000:3b:01.0"},
		{Designation: "PCI", Type: "PCI", Width: "32-bit", Usage: "available"},
		{Designation: "PCI", Type: "PCI", Width: "32-bit", Usage: "available", Handle: "0x000a"},
	})
	yes, no := true, false
	same("power supplies", tab.supplyRows(), []*facts.PowerSupplyRow{
		{Name: "PWR SPLY,750W", Type: "switching", Location: "PSU1", Manufacturer: "Example", Part: "PN-750", Serial: "PS0001", Revision: "A00",
			MaxWatts: 750, HotReplaceable: true, Present: &yes, Status: "ok"},
		{Name: "PWR SPLY,750W", Location: "PSU2", Present: &no},
	})
	same("tpm", tab.tpmRow(), &facts.TPMRow{Name: "firmware", Version: "2.0", Manufacturer: "Infineon", Firmware: "7.85", Description: "TPM 2.0"})
	same("batteries", tab.batteryRows(), []*facts.BatteryRow{
		{Name: "Rear", Location: "Rear", Manufacturer: "Example", Model: "BT-1", Serial: "021D", Chemistry: "LiP", DesignMWh: 50000,
			DesignMV: 11400, Made: "2024-08-13"},
		{Name: "battery 0x0031", Location: "Rear", Model: "BT-2", Serial: "S1", Chemistry: "Li-ion", DesignMWh: 4400, DesignMV: 10800, Made: "2006-03-11"},
	})
	same("memory", tab.memoryRows(), []*facts.MemoryModuleRow{
		{Locator: "DIMM_A1", Bank: "BANK 0", SizeBytes: 64 << 30, Type: "DDR5", FormFactor: "DIMM", SpeedMT: 5600,
			ConfiguredMT: 4800, Manufacturer: "SK Hynix", Serial: "1A2B3C4D", Part: "EX-64G-5600", ECC: true},
		{Locator: "DIMM_A2", Bank: "BANK 0"},
		{Locator: "DIMM_A3", Bank: "BANK 1", SizeBytes: 512 << 10, Type: "DDR3", FormFactor: "SODIMM", ECC: true},
	})
}

func TestUUIDByteOrderFollowsVersion(t *testing.T) {
	s := structure{data: area(1, 0x1b, 1, 8, uuidBytes)}
	f := func(version uint16, want string) {
		t.Helper()
		if got := (table{version: version}).uuid(s, 8); got != want {
			t.Errorf("version %#x: got %s, want %s", version, got, want)
		}
	}
	f(0x0205, "33221100-5544-7766-8899-aabbccddeeff")
	f(0x0206, "00112233-4455-6677-8899-aabbccddeeff")
	f(0, "00112233-4455-6677-8899-aabbccddeeff")
	s.data = area(1, 0x1b, 1, 8, bytes.Repeat([]byte{0xff}, 16))
	f(0x0300, "")
	s.data = area(1, 0x1b, 1)
	f(0x0300, "")
	s.data = area(1, 0x08, 1) // version 2.0 had no UUID
	f(0x0300, "")
}

func TestEntryPoint(t *testing.T) {
	sum := func(b []byte, at int) []byte {
		var total byte
		for _, c := range b {
			total += c
		}
		b[at] = -total
		return b
	}
	v3 := sum(append([]byte("_SM3_\x00\x18\x03\x05\x00"), make([]byte, 14)...), 5)
	v2 := sum(append([]byte("_SM_\x00\x1f\x02\x08"), make([]byte, 23)...), 4)
	f := func(name string, in []byte, want uint16) {
		t.Helper()
		if got := decodeEntryPoint(in); got != want {
			t.Errorf("%s: got %#x, want %#x", name, got, want)
		}
	}
	f("64-bit", v3, 0x0305)
	f("32-bit", v2, 0x0208)
	f("cut", v3[:10], 0)
	f("empty", nil, 0)
	f("bad sum", append([]byte("_SM3_\x01"), v3[6:]...), 0)
	f("length beyond end", []byte("_SM3_\x00\xff\x03\x05\x00abcdefghijklmn"), 0)
}

func TestDamagedTableKeepsWhatWasBefore(t *testing.T) {
	full := server()
	for n, cut := range probetest.Cuts(full) {
		tab, err := decodeTable(cut, 0x0304)
		if n > 0 && err == nil && n < len(full)-6 && !endsStructure(full, n) {
			t.Fatalf("cut at %d of %d: no error", n, len(full))
		}
		if len(tab.structures) > 22 {
			t.Fatalf("cut at %d: %d structures", n, len(tab.structures))
		}
	}
	if _, err := decodeTable([]byte{1, 3, 0, 0, 0, 0}, 0); err == nil {
		t.Error("a structure shorter than its header was taken")
	}
	if _, err := decodeTable(bytes.Repeat([]byte{9, 4, 0, 0, 0, 0}, maxStructures+1), 0); err == nil {
		t.Error("a table without bound was taken")
	}
}

func endsStructure(full []byte, n int) bool {
	for at := 0; at < n; {
		rest := full[at+int(full[at+1]):]
		at += int(full[at+1]) + bytes.Index(rest, []byte{0, 0}) + 2
		if at == n {
			return true
		}
	}
	return false
}

func TestCutTableIsPartial(t *testing.T) {
	root := probetest.Tree(t, map[string]string{tableFile: string(server()[:200])})
	s := probetest.Sections(probe.RootHost(root), New())
	if s["bios"].Status != facts.StatusPartial || s["system"].Status != facts.StatusPartial {
		t.Errorf("bios is %v, system %v, want partial", s["bios"].Status, s["system"].Status)
	}
	if s["memory_modules"].Status != facts.StatusFailed {
		t.Errorf("memory_modules is %v, want failed", s["memory_modules"].Status)
	}
}

func TestTableIsReadThroughHost(t *testing.T) {
	root := probetest.Tree(t, map[string]string{
		tableFile: string(server()), "proc/cpuinfo": "processor\t: 0\nmodel name\t: Example CPU\n",
		"proc/meminfo": "MemTotal:       65000000 kB\n", "sys/class/power_supply/": "",
	})
	s := probetest.Sections(probe.RootHost(root), New())
	for _, name := range []string{"system", "board", "bios", "chassis", "memory_modules", "cpus", "memory_arrays", "slots", "batteries", "power_supplies", "tpm"} {
		if s[name].Status != facts.StatusOK {
			t.Errorf("%s is %v (%s), want ok", name, s[name].Status, s[name].Reason)
		}
	}
	if row := s["cpus"].Rows[0].(*facts.CPURow); row.MaxHz != 3500e6 {
		t.Errorf("max_hz = %d, want that of the socket's structure", row.MaxHz)
	}
	machine := &facts.MemoryArrayRow{Slots: 3, Populated: 2, InstalledBytes: 64<<30 + 512<<10, UsableBytes: 65000000 << 10}
	if d := cmp.Diff(facts.Row(machine), s["memory_arrays"].Rows[0]); d != "" {
		t.Errorf("memory of the machine (-want +got):\n%s", d)
	}
}

func TestUnreadableTableIsDenied(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read every file")
	}
	root := probetest.Tree(t, map[string]string{
		tableFile: string(server()), "sys/class/dmi/id/sys_vendor": "Example Inc.\n", "sys/class/dmi/id/product_serial": "SN1\n",
	})
	for _, p := range []string{tableFile, "/sys/class/dmi/id/product_serial"} {
		if err := os.Chmod(filepath.Join(root, p), 0); err != nil {
			t.Fatal(err)
		}
	}
	s := probetest.Sections(probe.RootHost(root), New())
	if s["memory_modules"].Status != facts.StatusDenied {
		t.Errorf("memory_modules is %v, want denied", s["memory_modules"].Status)
	}
	if s["system"].Status != facts.StatusPartial || len(s["system"].Rows) != 1 {
		t.Errorf("system is %v with %d rows, want partial with one", s["system"].Status, len(s["system"].Rows))
	}
}

func TestMeaningful(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := meaningful(in); got != want {
			t.Errorf("meaningful(%q) = %q, want %q", in, got, want)
		}
	}
	for _, junk := range []string{
		"To be filled by O.E.M.", "To Be Filled By O.E.M. by More String", "Not Specified", "0000", "00000000", "FFFFFFFF",
		"xxxxxxx", "Default string", "System Serial Number", " ", "...", "[Empty]", "NO DIMM", "A1_AssetTagNum0",
		"ModulePartNumber00", "Dimm1_SerNum", "Manufacturer03", "0123456789", "0x00000000", "N/A", "DIMM_A1_AssetTag", "PartNum0",
	} {
		f(junk, "")
	}
	for _, real := range []string{
		"SN0001X", "1.0", "A02", "Samsung", "M393A1K43DB2-CWE", "0x1234", "CZC0123456", "00010", "PF0ABCDE", "X99", "7",
	} {
		f(real, real)
	}
	f("  spaced  ", "spaced")
}

func TestBIOSDate(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := biosDate(in); got != want {
			t.Errorf("biosDate(%q) = %q, want %q", in, got, want)
		}
	}
	f("03/14/2024", "2024-03-14")
	f("12/01/98", "1998-12-01")
	f("2024-01-02", "2024-01-02")
	f("", "")
}

func TestManufacturerCodes(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := manufacturer(in); got != want {
			t.Errorf("manufacturer(%q) = %q, want %q", in, got, want)
		}
	}
	f("0xAD00", "SK Hynix")
	f("80AD", "SK Hynix")
	f("00CE00B380CE", "Samsung")
	f("802C0000802C", "Micron")
	f("030B04B3830B", "Nanya")
	f("859B", "Crucial")
	f("Samsung", "Samsung")
	f("0x1234", "0x1234")
	f("DEADBEEFZZZZ", "DEADBEEFZZZZ")
	f("", "")
}

func FuzzTable(f *testing.F) {
	f.Add(server(), uint16(0x0304))
	f.Add(server()[:150], uint16(0))
	f.Add([]byte{17, 0x5c, 0, 0}, uint16(0x0205))
	f.Add([]byte("_SM3_\x00\x18\x03\x05\x00abcdefghijklmn"), uint16(0))
	f.Fuzz(func(t *testing.T, b []byte, version uint16) {
		decodeEntryPoint(b)
		tab, _ := decodeTable(b, version)
		if len(tab.structures)*4 > len(b) {
			t.Errorf("%d structures out of %d bytes", len(tab.structures), len(b))
		}
		if _, _, err := splitDump(b); err == nil {
			decodeFirmware(b, version)
		}
		seen := make(map[string]bool)
		for _, row := range tab.memoryRows() {
			if row.SizeBytes < 0 {
				t.Errorf("negative size %d", row.SizeBytes)
			}
			if seen[row.Key()] && row.Handle == "" {
				t.Errorf("key %q twice", row.Key())
			}
			seen[row.Key()] = true
		}
	})
}
