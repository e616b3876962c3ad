package hardware

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

const laptop = `
-- sys/class/power_supply/AC/type --
Mains
-- sys/class/power_supply/AC/online --
1
-- sys/class/power_supply/BAT0/type --
Battery
-- sys/class/power_supply/BAT0/manufacturer --
Example
-- sys/class/power_supply/BAT0/model_name --
BT-1
-- sys/class/power_supply/BAT0/serial_number --
 1234
-- sys/class/power_supply/BAT0/technology --
Li-poly
-- sys/class/power_supply/BAT0/energy_full_design --
50000000
-- sys/class/power_supply/BAT0/energy_full --
47310000
-- sys/class/power_supply/BAT0/energy_now --
12345678
-- sys/class/power_supply/BAT0/voltage_min_design --
11400000
-- sys/class/power_supply/BAT0/cycle_count --
123
-- sys/class/power_supply/hidpp_battery_0/type --
Battery
-- sys/class/power_supply/hidpp_battery_0/scope --
Device
`

func TestBatteriesOfTheKernel(t *testing.T) {
	s := probetest.Sections(probetest.Unpack(t, []byte(laptop)), New())
	want := []facts.Row{&facts.BatteryRow{Name: "BAT0", Manufacturer: "Example", Model: "BT-1", Serial: "1234", Chemistry: "Li-poly",
		DesignMWh: 50000, DesignMV: 11400, HealthPercent: 90, Cycles: 100}}
	if d := cmp.Diff(want, s["batteries"].Rows); d != "" {
		t.Errorf("batteries (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]facts.Row{&facts.PowerSupplyRow{Name: "AC", Type: "mains"}}, s["power_supplies"].Rows); d != "" {
		t.Errorf("power supplies (-want +got):\n%s", d)
	}
}

func TestFirmwareCompletesTheBattery(t *testing.T) {
	table := bytes.Join([][]byte{
		entry(area(22, 0x10, 0x31, 4, 1, 5, 4, 6, 2, 7, 3, 9, 6, 0x0a, uint16(4400), 0x0c, uint16(10800)), "Rear", "03/11/2006", "S1", "Other"),
		entry(area(127, 4, 0x7f)),
	}, nil)
	root := probetest.Tree(t, map[string]string{
		tableFile: string(table), "sys/class/power_supply/BAT0/type": "Battery\n", "sys/class/power_supply/BAT0/manufacturer": "Example\n",
	})
	s := probetest.Sections(probe.RootHost(root), New())
	want := []facts.Row{&facts.BatteryRow{Name: "BAT0", Location: "Rear", Manufacturer: "Example", Serial: "S1", Made: "2006-03-11", Chemistry: "Li-ion",
		DesignMWh: 4400, DesignMV: 10800}}
	if d := cmp.Diff(want, s["batteries"].Rows); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestMemoryWithoutSMBIOSIsThatOfTheKernel(t *testing.T) {
	h := probetest.Unpack(t, []byte(`
-- proc/meminfo --
MemTotal:        2000000 kB
MemFree:               1 kB
-- sys/devices/system/memory/block_size_bytes --
8000000
-- sys/devices/system/memory/memory0/online --
1
-- sys/devices/system/memory/memory9/online --
1
`))
	s := probetest.Sections(h, New())["memory_arrays"]
	want := []facts.Row{&facts.MemoryArrayRow{InstalledBytes: 256 << 20, UsableBytes: 2000000 << 10}}
	if d := cmp.Diff(want, s.Rows); d != "" || s.Status != facts.StatusOK {
		t.Errorf("%v, -want +got:\n%s", s.Status, d)
	}
}

func TestMachinesWithoutFirmwareTablesNameThemselves(t *testing.T) {
	f := func(archive string, want facts.SystemRow) {
		t.Helper()
		s := probetest.Sections(probetest.Unpack(t, []byte(archive)), New())["system"]
		if d := cmp.Diff([]facts.Row{&want}, s.Rows); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
	}
	f("-- proc/sysinfo --\nManufacturer:         IBM\nType:                 3931\nModel:                704              A01\n"+
		"Sequence Code:        00000000000ABCDE\nPlant:                02\n",
		facts.SystemRow{Manufacturer: "IBM", Product: "3931", Version: "704 A01", Serial: "00000000000ABCDE"})
	f("-- proc/cpuinfo --\nprocessor\t: 0\n\nHardware\t: BCM2835\nRevision\t: a02082\nSerial\t\t: 00000000deadbeef\nModel\t\t: Example Pi 3\n",
		facts.SystemRow{Product: "Example Pi 3", Version: "a02082", Serial: "00000000deadbeef"})
}

func TestUnchangedHardwareIsNotDecodedAgain(t *testing.T) {
	root := probetest.Tree(t, map[string]string{
		tableFile: string(server()), "proc/cpuinfo": "processor\t: 0\nmodel name\t: Example CPU\n", "sys/devices/system/cpu/online": "0\n",
	})
	h, p := probe.RootHost(root), New()
	product := func() (string, string) {
		s := probetest.Sections(h, p)
		return s["system"].Rows[0].(*facts.SystemRow).Product, s["cpus"].Rows[0].(*facts.CPURow).Model
	}
	product()
	probetest.Write(t, root, "proc/cpuinfo", []byte("processor\t: 0\nmodel name\t: Other\n"))
	if system, cpu := product(); system != "Rack 1000" || cpu != "Example CPU" {
		t.Errorf("kept %q, %q", system, cpu)
	}
	probetest.Write(t, root, "sys/devices/system/cpu/online", []byte("0-1\n"))
	probetest.Write(t, root, tableFile, bytes.Replace(server(), []byte("Rack 1000"), []byte("Rack 2000"), 1))
	if system, cpu := product(); system != "Rack 2000" || cpu != "Other" {
		t.Errorf("after a change %q, %q", system, cpu)
	}
}

func BenchmarkTables(b *testing.B) {
	table := server()
	b.ReportAllocs()
	for b.Loop() {
		decodeFirmware(table, 0x0304)
	}
}

func TestTrustedPlatformModules(t *testing.T) {
	f := func(archive string, want facts.TPMRow) {
		t.Helper()
		s := probetest.Sections(probetest.Unpack(t, []byte(archive)), New())["tpm"]
		if d := cmp.Diff([]facts.Row{&want}, s.Rows); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
	}
	f("-- sys/class/tpm/tpm0/tpm_version_major --\n2\n-- sys/class/tpm/tpm0/device/description --\nTPM 2.0 Device\n"+
		"-- sys/class/tpm/tpm0/device/firmware_node/hid --\nSTM0125\n-- sys/class/tpm/tpm0/pcr-sha256/0 --\n00\n-- sys/class/tpm/tpm0/pcr-sha1/0 --\n00\n",
		facts.TPMRow{Name: "tpm0", Version: "2.0", Manufacturer: "STMicroelectronics", Description: "TPM 2.0 Device", Banks: []string{"sha1", "sha256"}})
	f("-- sys/class/tpm/tpm0/caps --\nManufacturer: 0x49465800\nTCG version: 1.2\nFirmware version: 3.17\n",
		facts.TPMRow{Name: "tpm0", Version: "1.2", Manufacturer: "Infineon", Firmware: "3.17"})
	f("-- sys/class/tpm/tpm0/device/firmware_node/hid --\nMSFT0101\n", facts.TPMRow{Name: "tpm0"})
}
