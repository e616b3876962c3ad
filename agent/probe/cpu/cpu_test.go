package cpu

import (
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/metric"
)

func TestParseStat(t *testing.T) {
	f := probetest.Gives(t, func(r *probe.Report, in []byte) error { return new(stat).parse(r, in) })
	f("cpu  9 9 9 9\ncpu3 100 0 250 1\n", "cpu_seconds_total 3 user 1\ncpu_seconds_total 3 nice 0\ncpu_seconds_total 3 system 2.5\ncpu_seconds_total 3 idle 0.01\n", true)
	f("cpu0 1 1 1 1 1 1 1 1 7 8 9 10\n", `cpu_seconds_total 0 user 0.01
cpu_seconds_total 0 nice 0.01
cpu_seconds_total 0 system 0.01
cpu_seconds_total 0 idle 0.01
cpu_seconds_total 0 iowait 0.01
cpu_seconds_total 0 irq 0.01
cpu_seconds_total 0 softirq 0.01
cpu_seconds_total 0 steal 0.01
cpu_guest_seconds_total 0 user 0.07
cpu_guest_seconds_total 0 nice 0.08
`, true)
	f("intr 15 3 4\nctxt 7\nbtime 1795331465\nprocesses 3\nprocs_running 2\nprocs_blocked 1\n",
		"intr_total 15\ncontext_switches_total 7\nboot_time_seconds 1.795331465e+09\nforks_total 3\nprocs_running 2\nprocs_blocked 1\n", true)
	f("cpu99999999 1 2\nctxt 1\n", "context_switches_total 1\n", false)
	f("cpufreq 1\n", "", false)
	f("cpu0\n", "", false)
	f("ctxt x\nbtime 2\n", "boot_time_seconds 2\n", false)
	f("", "", true)
}

func TestProcessorTimesDoNotStepBackALittle(t *testing.T) {
	f := probetest.Gives(t, new(stat).parse)
	f("cpu0 1000", "cpu_seconds_total 0 user 10\n", true)
	f("cpu0 999", "cpu_seconds_total 0 user 10\n", true)
	f("cpu0 1001", "cpu_seconds_total 0 user 10.01\n", true)
	f("cpu0 5", "cpu_seconds_total 0 user 0.05\n", true) // taken out and put back
}

func TestParseLoad(t *testing.T) {
	f := probetest.Gives(t, parseLoad)
	f("0.46 0.64 10.57 1/94 28073\n", "load1 0.46\nload5 0.64\nload15 10.57\n", true)
	f("0.46 0.64", "load1 0.46\nload5 0.64\n", false)
	f("0.46 0.64 1 94", "load1 0.46\nload5 0.64\nload15 1\n", true)
	f("", "", false)
}

func TestParsePressure(t *testing.T) {
	parse := func(r *probe.Report, b []byte) error {
		return parsePressure(r, b, &metric.PressureIOWaiting, &metric.PressureIOStalled)
	}
	f := probetest.Gives(t, parse)
	f("some avg10=0.04 avg60=7.06 avg300=9.10 total=186823234\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n",
		"pressure_io_waiting_seconds_total 186.823234\npressure_io_stalled_seconds_total 5e-06\n", true)
	f("some avg10=0.04\nfull total=x\n", "", false)
	f("", "", true)
	f = probetest.Gives(t, func(r *probe.Report, b []byte) error { return parsePressure(r, b, &metric.PressureCPUWaiting, nil) })
	f("some total=1\nfull total=2\n", "pressure_cpu_waiting_seconds_total 1e-06\n", true)
}

func FuzzParse(f *testing.F) {
	f.Add("cpu  9 9 9 9\ncpu3 100 0 250 1 0 0 0 0 0 0\nintr 15 3\nctxt 7\nbtime 1\n")
	f.Add("0.46 0.64 10.57 1/94 28073\n")
	f.Add("some avg10=0.04 avg60=7.06 avg300=9.10 total=186823234\nfull total=5\n")
	f.Fuzz(func(t *testing.T, in string) {
		var s stat
		probetest.Samples(t, s.parse, in)
		probetest.Samples(t, s.parse, in)
		probetest.Samples(t, parseLoad, in)
		probetest.Samples(t, func(r *probe.Report, b []byte) error {
			return parsePressure(r, b, &metric.PressureIOWaiting, &metric.PressureIOStalled)
		}, in)
	})
}
