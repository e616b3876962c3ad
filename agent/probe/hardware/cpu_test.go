package hardware

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

func TestRecordedHost(t *testing.T) {
	probetest.Golden(t, "debian-12-hardware", New())
}

func TestSockets(t *testing.T) {
	cases := []struct {
		name, archive string
		want          []facts.CPURow
	}{
		{"x86_two_sockets_with_threads", `
-- proc/cpuinfo --
processor	: 0
vendor_id	: GenuineIntel
cpu family	: 6
model		: 85
model name	: Example(R)  Gold CPU @ 2.10GHz
stepping	: 7
cache size	: 28160 KB
physical id	: 0
core id		: 0
flags		: vme fpu

processor	: 1
physical id	: 0
core id		: 0

processor	: 2
vendor_id	: GenuineIntel
model name	: Example(R)  Gold CPU @ 2.10GHz
physical id	: 1
core id		: 0
-- sys/devices/system/cpu/offline --
3,5-6
`, []facts.CPURow{
			{Socket: 0, Vendor: "GenuineIntel", Model: "Example(R) Gold CPU @ 2.10GHz", Family: "6", ModelID: "85", Stepping: "7",
				Cores: 1, Threads: 2, MaxHz: 2100e6, CacheBytes: 28160 << 10, Flags: "fpu vme", Offline: 3, ThreadsPerCore: 2},
			{Socket: 1, Vendor: "GenuineIntel", Model: "Example(R) Gold CPU @ 2.10GHz", Cores: 1, Threads: 1, MaxHz: 2100e6},
		}},
		{"arm64_places_from_sys", `
-- proc/cpuinfo --
processor	: 0
Features	: fp asimd
CPU implementer	: 0x41
CPU architecture: 8
CPU variant	: 0x3
CPU part	: 0xd0c
CPU revision	: 1

processor	: 1
CPU implementer	: 0x41
-- sys/devices/system/cpu/cpu0/topology/physical_package_id --
36
-- sys/devices/system/cpu/cpu0/topology/core_siblings_list --
0-1
-- sys/devices/system/cpu/cpu0/topology/thread_siblings_list --
0
-- sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq --
3000000
-- sys/devices/system/cpu/cpu0/cache/index0/level --
1
-- sys/devices/system/cpu/cpu0/cache/index0/size --
64K
-- sys/devices/system/cpu/cpu0/cache/index1/level --
2
-- sys/devices/system/cpu/cpu0/cache/index0/type --
Instruction
-- sys/devices/system/cpu/cpu0/cache/index0/shared_cpu_list --
0
-- sys/devices/system/cpu/cpu0/cache/index1/size --
1M
-- sys/devices/system/cpu/cpu0/cache/index1/type --
Unified
-- sys/devices/system/cpu/cpu0/cache/index1/shared_cpu_list --
0-1
`, []facts.CPURow{{Socket: 36, Arch: "aarch64", Vendor: "ARM", Model: "Neoverse-N1", Family: "8", ModelID: "0xd0c", Stepping: "3.1",
			Cores: 2, Threads: 2, MaxHz: 3e9, CacheBytes: 1 << 20, Flags: "asimd fp", L1iBytes: 128 << 10, L2Bytes: 1 << 20}}},
		{"s390_shared_fields", `
-- proc/cpuinfo --
vendor_id       : IBM/S390
# processors    : 2
processor 0: version = FF,  identification = 1,  machine = 8561
processor 1: version = FF,  identification = 2,  machine = 8561
`, []facts.CPURow{{Arch: "s390x", Vendor: "IBM/S390", Model: "z15", ModelID: "8561", Cores: 2, Threads: 2}}},
		{"cores_of_two_designs", `
-- proc/cpuinfo --
processor	: 0
physical id	: 0
core id		: 0

processor	: 1
physical id	: 0
core id		: 0

processor	: 2
physical id	: 0
core id		: 1
-- sys/devices/system/cpu/cpu0/cache/index0/level --
2
-- sys/devices/system/cpu/cpu0/cache/index0/type --
Unified
-- sys/devices/system/cpu/cpu0/cache/index0/size --
1280K
-- sys/devices/system/cpu/cpu0/cache/index0/shared_cpu_list --
0-1
-- sys/devices/system/cpu/cpu1/cache/index0/level --
2
-- sys/devices/system/cpu/cpu1/cache/index0/type --
Unified
-- sys/devices/system/cpu/cpu1/cache/index0/size --
1280K
-- sys/devices/system/cpu/cpu1/cache/index0/shared_cpu_list --
0-1
-- sys/devices/system/cpu/cpu2/cache/index0/level --
2
-- sys/devices/system/cpu/cpu2/cache/index0/type --
Unified
-- sys/devices/system/cpu/cpu2/cache/index0/size --
2048K
-- sys/devices/system/cpu/cpu2/cache/index0/shared_cpu_list --
2
`, []facts.CPURow{{Cores: 2, Threads: 3, CacheBytes: 1280 << 10, L2Bytes: 3328 << 10}}},
		{"s390_frequency_further_down", `
-- proc/cpuinfo --
vendor_id       : IBM/S390
features	: esan3 zarch
processor 0: version = 00,  identification = 1,  machine = 3931
processor 1: version = 00,  identification = 1,  machine = 3931

cpu number      : 0
cpu MHz dynamic : 5200
cpu MHz static  : 5200

cpu number      : 1
cpu MHz static  : 5200
`, []facts.CPURow{{Arch: "s390x", Vendor: "IBM/S390", Model: "z16", ModelID: "3931", Cores: 2, Threads: 2, MaxHz: 5200e6, Flags: "esan3 zarch"}}},
		{"mips_names_its_model_in_a_field_of_its_own", `
-- proc/cpuinfo --
system type		: Example Router
machine			: Example
processor		: 0
cpu model		: MIPS 24Kc V7.4
ASEs implemented	: mips16
`, []facts.CPURow{{Model: "MIPS 24Kc V7.4", Cores: 1, Threads: 1, Flags: "mips16"}}},
		{"alpha_and_sparc_only_count", `
-- proc/cpuinfo --
cpu			: Example
cpu model		: EX5
cycle frequency [Hz]	: 600000000
cpus detected		: 2
MMU Type		: Example
`, []facts.CPURow{{Arch: "sparc", Model: "EX5", Cores: 2, Threads: 2, MaxHz: 600e6}}},
		{"ia64_numbers_twice", `
-- proc/cpuinfo --
processor  : 0
vendor     : GenuineIntel
family     : Itanium 2
model      : 2
features   : branchlong
cpu number : 0

processor  : 1
vendor     : GenuineIntel
cpu number : 0
`, []facts.CPURow{{Vendor: "GenuineIntel", Model: "Itanium 2", Family: "Itanium 2", ModelID: "2", Cores: 2, Threads: 2, Flags: "branchlong"}}},
		{"riscv", `
-- proc/cpuinfo --
processor	: 0
hart		: 1
isa		: rv64imafdc
uarch		: sifive,u74-mc
`, []facts.CPURow{{Arch: "riscv64", Model: "sifive,u74-mc", Cores: 1, Threads: 1, Flags: "rv64imafdc"}}},
		{"loongarch", `
-- proc/cpuinfo --
system type		: generic-loongson-machine

processor		: 0
package			: 0
core			: 0
CPU Family		: Loongson-64bit
Model Name		: Loongson-3A5000
CPU MHz			: 2500.00
ISA			: loongarch32 loongarch64
`, []facts.CPURow{{Arch: "loongarch64", Model: "Loongson-3A5000", Family: "Loongson-64bit", Cores: 1, Threads: 1, MaxHz: 2_500_000_000, Flags: "loongarch32 loongarch64"}}},
		{"m68k", `
-- proc/cpuinfo --
CPU:		68040
MMU:		68040
Clocking:	33.0MHz
Calibration:	110336 loops
`, []facts.CPURow{{Arch: "m68k", Model: "68040", Cores: 1, Threads: 1, MaxHz: 33_000_000}}},
		{"sh", `
-- proc/cpuinfo --
machine		: Example
processor	: 0
cpu family	: sh4
cpu type	: SH7751R
cut		: 7.x
cpu flags	: fpu
`, []facts.CPURow{{Arch: "sh", Model: "SH7751R", Family: "sh4", Cores: 1, Threads: 1, Flags: "fpu"}}},
		{"parisc", `
-- proc/cpuinfo --
processor	: 0
cpu family	: PA-RISC 2.0
cpu		: PA8900
cpu MHz		: 1000.000000
capabilities	: os64 iopdir_fdc (0x35)
model		: 9000/785/C8000
model name	: Example workstation
hversion	: 0x00008990
`, []facts.CPURow{{Arch: "parisc64", Model: "PA8900", Family: "PA-RISC 2.0", Cores: 1, Threads: 1, MaxHz: 1_000_000_000}}},
		{"alpha_estimates", `
-- proc/cpuinfo --
cpu			: Alpha
cpu model		: EV67
cycle frequency [Hz]	: 666666666 est.
cpus detected		: 1
`, []facts.CPURow{{Arch: "alpha", Model: "EV67", Cores: 1, Threads: 1, MaxHz: 666_666_666}}},
		{"sparc_clock", `
-- proc/cpuinfo --
cpu		: UltraSparc T2
type		: sun4v
ncpus probed	: 2
ncpus active	: 2
Cpu0ClkTck	: 000000005458c3a0
Cpu1ClkTck	: 000000005458c3a0
MMU Type	: Hypervisor (sun4v)
`, []facts.CPURow{{Arch: "sparc", Model: "UltraSparc T2", Cores: 2, Threads: 2, MaxHz: 1_415_103_392}}},
		{"ppc_shared_fields", `
-- proc/cpuinfo --
processor	: 0
cpu		: POWER9, altivec supported

processor	: 1
cpu		: POWER9, altivec supported

machine		: Example
`, []facts.CPURow{{Model: "POWER9, altivec supported", Cores: 2, Threads: 2}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := probetest.Sections(probetest.Unpack(t, []byte(c.archive)), New())["cpus"]
			got := make([]facts.CPURow, 0, len(s.Rows))
			for _, r := range s.Rows {
				got = append(got, *r.(*facts.CPURow))
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestMissingSourcesAreUnsupported(t *testing.T) {
	for name, s := range probetest.Sections(probe.RootHost(t.TempDir()), New()) {
		if s.Status != facts.StatusUnsupported {
			t.Errorf("%s is %v, want unsupported", name, s.Status)
		}
		if name == "memory_modules" && s.Reason != "no SMBIOS tables on this machine" {
			t.Errorf("reason %q", s.Reason)
		}
	}
}

func TestDeviceTreeNamesTheSystem(t *testing.T) {
	h := probetest.Unpack(t, []byte("-- proc/device-tree/model --\nExample Pi 4 Model B\x00\n-- proc/device-tree/serial-number --\n10000000abcdef01\x00\n"))
	s := probetest.Sections(h, New())
	want := []facts.Row{&facts.SystemRow{Product: "Example Pi 4 Model B", Serial: "10000000abcdef01"}}
	if d := cmp.Diff(want, s["system"].Rows); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if s["bios"].Status != facts.StatusUnsupported {
		t.Errorf("bios is %v, want unsupported", s["bios"].Status)
	}
}

func TestDMIFilesWithoutTables(t *testing.T) {
	h := probetest.Unpack(t, []byte(`
-- sys/class/dmi/id/sys_vendor --
Example Inc.
-- sys/class/dmi/id/product_name --
System Product Name
-- sys/class/dmi/id/bios_date --
04/01/2014
-- sys/class/dmi/id/chassis_type --
10
`))
	s := probetest.Sections(h, New())
	if d := cmp.Diff([]facts.Row{&facts.SystemRow{Manufacturer: "Example Inc."}}, s["system"].Rows); d != "" {
		t.Errorf("system (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]facts.Row{&facts.ChassisRow{Type: "notebook"}}, s["chassis"].Rows); d != "" {
		t.Errorf("chassis (-want +got):\n%s", d)
	}
	if s["memory_modules"].Status != facts.StatusUnsupported {
		t.Errorf("memory_modules is %v, want unsupported", s["memory_modules"].Status)
	}
}

func TestParseCPUList(t *testing.T) {
	f := func(in string, want ...int) {
		t.Helper()
		if got := parseCPUList(in); !slices.Equal(got, want) {
			t.Errorf("parseCPUList(%q) = %v, want %v", in, got, want)
		}
	}
	f("")
	f("0", 0)
	f("0-3,8,10-11", 0, 1, 2, 3, 8, 10, 11)
	f("3-1")
	f("0-999999999")
	f("a,2,-5", 2)
}

func TestParseSize(t *testing.T) {
	f := func(in string, want int64) {
		t.Helper()
		if got := parseSize(in); got != want {
			t.Errorf("parseSize(%q) = %d, want %d", in, got, want)
		}
	}
	f("512 KB", 512<<10)
	f("32K", 32<<10)
	f("16M", 16<<20)
	f("", 0)
	f("-1K", 0)
	f("KKK", 0)
}

func BenchmarkCollect(b *testing.B) {
	probetest.Benchmark(b, probe.LiveHost(), New())
}
