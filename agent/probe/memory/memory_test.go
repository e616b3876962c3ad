package memory

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/shared/metric"
)

// text gives what a parser reports as lines of name, labels and value.
func text(t testing.TB, parse func(*probe.Report, []byte) error, in string) (string, error) {
	t.Helper()
	dict := metric.NewDictionary(1000, nil)
	r := probe.NewReport(dict, 1000)
	err := parse(r, []byte(in))
	var b strings.Builder
	for _, s := range r.Samples() {
		if math.IsNaN(s.Value) || math.IsInf(s.Value, 0) || s.Value < 0 {
			t.Errorf("%s is %v", dict.Series()[s.Series].Name, s.Value)
		}
		fmt.Fprint(&b, strings.TrimPrefix(dict.Series()[s.Series].Name, "node_"))
		for _, l := range dict.Series()[s.Series].Labels {
			fmt.Fprint(&b, " ", l.Value)
		}
		fmt.Fprintf(&b, " %v\n", s.Value)
	}
	return b.String(), err
}

func check(t *testing.T, parse func(*probe.Report, []byte) error, in, want string, ok bool) {
	t.Helper()
	got, err := text(t, parse, in)
	if got != want || (err == nil) != ok {
		t.Errorf("%q gives\n%swith error %v, want\n%swith error: %v", in, got, err, want, !ok)
	}
}

func TestParseMeminfo(t *testing.T) {
	f := func(in, want string, ok bool) {
		t.Helper()
		check(t, parseMeminfo, in, want, ok)
	}
	f("MemTotal:       24684096 kB\nActive(anon):       1568 kB\nHugePages_Total:       3\nDirectMap4k: 1 kB\n",
		"memory_MemTotal_bytes 2.5276514304e+10\nmemory_Active_anon_bytes 1.605632e+06\nmemory_HugePages_Total 3\n", true)
	f("MemTotal: x kB\nMemFree: 1 kB\n", "memory_MemFree_bytes 1024\n", false)
	f("MemTotal: 18446744073709551615 kB\n", "", false)
	f("MemTotal:\n", "", false)
	f("no colon\n", "", false)
	f("", "", true)
}

func TestParseVmstat(t *testing.T) {
	f := func(in, want string, ok bool) {
		t.Helper()
		check(t, parseVmstat, in, want, ok)
	}
	f("nr_free_pages 1\npgfault 12\nthp_pgfault 9\npgmajfault 3\noom_kill 0", "vmstat_pgfault 12\nvmstat_pgmajfault 3\nvmstat_oom_kill 0\n", true)
	f("nr_free_pages 1\npgfault x\npswpin 4\n", "vmstat_pswpin 4\n", false)
	f("nr_free_pages 1\n", "", true) // a kernel without: absent, not zero
}

func FuzzParse(f *testing.F) {
	f.Add("MemTotal:       24684096 kB\nHugePages_Total:       3\n")
	f.Add("nr_free_pages 1\npgfault 12\npgmajfault 3\n")
	f.Fuzz(func(t *testing.T, in string) {
		text(t, parseMeminfo, in)
		text(t, parseVmstat, in)
	})
}
