package hardware

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// dump puts an entry point of version 3.4 before a table, as dmidecode --dump-bin does.
func dump(table []byte) []byte {
	entry := make([]byte, 0x20)
	copy(entry, "_SM3_")
	entry[6], entry[7], entry[8], entry[0x0a] = 0x18, 3, 4, 1
	binary.LittleEndian.PutUint32(entry[0x0c:], uint32(len(table)))
	binary.LittleEndian.PutUint64(entry[0x10:], 0x20)
	var sum byte
	for _, c := range entry[:0x18] {
		sum += c
	}
	entry[5] = -sum
	return append(entry, table...)
}

func TestDumpHoldsTheTable(t *testing.T) {
	raw, version, err := splitDump(dump(server()))
	if err != nil || version != 0x0304 || string(raw) != string(server()) {
		t.Errorf("%d bytes of version %#x, %v", len(raw), version, err)
	}
	if raw, version, err := splitDump(server()); err != nil || version != 0 || len(raw) != len(server()) {
		t.Errorf("a table alone: %d bytes of version %#x, %v", len(raw), version, err)
	}
	if _, _, err := splitDump(dump(nil)[:0x10]); err == nil {
		t.Error("a cut entry point was taken")
	}
}

// TestDmidecodeReadsTheSame holds the fixture of this package, and so what the decoder
// makes of it, to dmidecode.
func TestDmidecodeReadsTheSame(t *testing.T) {
	program, err := exec.LookPath("dmidecode")
	if err != nil {
		t.Skip("dmidecode is not installed")
	}
	file := filepath.Join(t.TempDir(), "dump")
	if err := os.WriteFile(file, dump(server()), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(program, "--from-dump", file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, line := range []string{
		"UUID: 00112233-4455-6677-8899-aabbccddeeff", "Release Date: 03/14/2024", "ROM Size: 32 MB", "Type: Rack Mount Chassis",
		"ID: F2 06 03 00 FF FB EB BF", "External Clock: 100 MHz", "Max Speed: 3500 MHz", "Core Count: 288", "Thread Count: 64",
		"Maximum Capacity: 2 TB", "Error Correction Type: Multi-bit ECC", "Number Of Devices: 3",
		"Size: 64 GB", "Speed: 5600 MT/s", "Configured Memory Speed: 4800 MT/s", "Size: 512 kB", "Form Factor: SODIMM", "Use: Flash Memory",
		"Designation: PCIe Slot 1", "Type: x16 PCI Express 3 x16", "Bus Address: 0000:3b:01.0", "Type: 32-bit PCI",
		"Design Capacity: 50000 mWh", "Design Voltage: 11400 mV", "SBDS Serial Number: 021D", "SBDS Manufacture Date: 2024-08-13", "SBDS Chemistry: LiP",
		"Max Power Capacity: 750 W", "Status: Present, OK", "Type: Switching", "Hot Replaceable: Yes", "Status: Not Present",
		"Vendor ID: IFX", "Specification Version: 2.0", "Firmware Revision: 7.85",
	} {
		if !strings.Contains(string(out), line) {
			t.Errorf("dmidecode does not say %q", line)
		}
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}
