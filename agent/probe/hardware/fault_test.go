package hardware

import (
	"os"
	"path/filepath"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

// TestDamagedHardwareFilesSpoilTheirOwnSections damages one file after another: nothing
// is invented, and the sections of other files stay.
func TestDamagedHardwareFilesSpoilTheirOwnSections(t *testing.T) {
	files := map[string]string{
		tableFile: string(server()), entryPointFile: "_SM3_", "proc/cpuinfo": "processor\t: 0\nmodel name\t: Example CPU\n",
		"proc/meminfo": "MemTotal:       65000000 kB\n", "sys/devices/system/cpu/online": "0\n",
		"sys/class/power_supply/BAT0/type": "Battery\n", "sys/class/power_supply/BAT0/energy_full_design": "50000000\n",
		"sys/class/tpm/tpm0/caps": "Manufacturer: 0x49465800\n",
	}
	root := probetest.Tree(t, files)
	whole := probetest.Sections(probe.RootHost(root), New())
	for kind, damage := range probetest.Damages() {
		for name, content := range files {
			probetest.Write(t, root, name, damage([]byte(content)))
			for id, s := range probetest.Sections(probe.RootHost(root), New()) {
				if len(s.Rows) > len(whole[id].Rows)+1 && name != "proc/cpuinfo" { // other names are other processors
					t.Errorf("%s %s: %s has %d rows instead of %d", kind, name, id, len(s.Rows), len(whole[id].Rows))
				}
				if name != tableFile && id == "memory_modules" && s.Status != facts.StatusOK {
					t.Errorf("%s %s: %s is %v", kind, name, id, s.Status)
				}
			}
			probetest.Write(t, root, name, []byte(content))
		}
	}
}

func TestMemoryThatIsNotUnderstoodIsFailed(t *testing.T) {
	root := probetest.Tree(t, map[string]string{"proc/meminfo": "zzz\n"})
	s := probetest.Sections(probe.RootHost(root), New())["memory_arrays"]
	if s.Status != facts.StatusFailed || s.Reason != `/proc/meminfo: "zzz\n" not understood` {
		t.Errorf("%v, %q", s.Status, s.Reason)
	}
}

func TestFilesThatAreTooLargeFailTheirSections(t *testing.T) {
	root := probetest.Tree(t, map[string]string{tableFile: "", "proc/cpuinfo": ""})
	for _, name := range []string{tableFile, "proc/cpuinfo"} {
		if err := os.Truncate(filepath.Join(root, name), 2<<30); err != nil {
			t.Skipf("no sparse files here: %v", err)
		}
	}
	s := probetest.Sections(probe.RootHost(root), New())
	for _, id := range []string{"cpus", "memory_modules", "slots"} {
		if s[id].Status != facts.StatusFailed || len(s[id].Rows) != 0 {
			t.Errorf("%s is %v with %d rows: %s", id, s[id].Status, len(s[id].Rows), s[id].Reason)
		}
	}
}

func FuzzCPUInfo(f *testing.F) {
	f.Add("processor\t: 0\nphysical id\t: 1\nflags\t: lm fpu\n")
	f.Add("processor 0: version = FF,  machine = 8561\ncpu MHz static : 5200\n")
	f.Add("cpu model : EX5\ncpus detected : 99999999\n")
	f.Fuzz(func(t *testing.T, text string) {
		list := parseCPUInfo(text)
		if len(list) > max(len(text), maxCPU) {
			t.Errorf("%d processors of %d bytes", len(list), len(text))
		}
		placeApart(list)
		for _, s := range countSockets(list) {
			if row := s.row(); row.Threads < row.Cores || row.MaxHz < 0 || ratedHz(s.details) < 0 {
				t.Errorf("%+v", row)
			}
		}
		cpuBlocks(text)
		cpuSystem(text)
		sysinfo(text)
	})
}
