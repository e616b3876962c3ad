package memory

import (
	"testing"

	"atalaya/agent/probetest"
)

func TestParseMeminfo(t *testing.T) {
	f := probetest.Gives(t, parseMeminfo)
	f("MemTotal:       24684096 kB\nActive(anon):       1568 kB\nHugePages_Total:       3\nDirectMap4k: 1 kB\n",
		"memory_MemTotal_bytes 2.5276514304e+10\nmemory_Active_anon_bytes 1.605632e+06\nmemory_HugePages_Total 3\n", true)
	f("MemTotal: x kB\nMemFree: 1 kB\n", "memory_MemFree_bytes 1024\n", false)
	f("MemTotal: 18446744073709551615 kB\n", "", false)
	f("MemTotal:\n", "", false)
	f("no colon\n", "", false)
	f("", "", true)
}

func TestParseVmstat(t *testing.T) {
	f := probetest.Gives(t, parseVmstat)
	f("nr_free_pages 1\npgfault 12\nthp_pgfault 9\npgmajfault 3\noom_kill 0", "vmstat_pgfault 12\nvmstat_pgmajfault 3\nvmstat_oom_kill 0\n", true)
	f("nr_free_pages 1\npgfault x\npswpin 4\n", "vmstat_pswpin 4\n", false)
	f("nr_free_pages 1\n", "", true) // a kernel without: absent, not zero
}

func FuzzParse(f *testing.F) {
	f.Add("MemTotal:       24684096 kB\nHugePages_Total:       3\n")
	f.Add("nr_free_pages 1\npgfault 12\npgmajfault 3\n")
	f.Fuzz(func(t *testing.T, in string) {
		probetest.Samples(t, parseMeminfo, in)
		probetest.Samples(t, parseVmstat, in)
	})
}
