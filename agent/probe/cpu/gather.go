package cpu

import (
	"path"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/metric"
)

// Probes returns the metric probes of what is read once a minute, or only where it is
// asked for.
func Probes() []probe.Probe {
	return []probe.Probe{
		probe.Gather(probe.Info{Name: "cpu_topology"}, &metric.CPUDetail, collectTopology),
		probe.Gather(probe.Info{Name: "cpu_info"}, &metric.CPUInfo, collectInfo),
		probe.Gather(probe.Info{Name: "cpufreq"}, &metric.CPUScaling, collectScaling),
		probe.Gather(probe.Info{Name: "cpu_vulnerabilities"}, &metric.CPUVulnerabilities, collectVulnerabilities),
		probe.Gather(probe.Info{Name: "schedstat"}, &metric.Schedstat, collectSchedstat),
		probe.Gather(probe.Info{Name: "softirqs"}, &metric.Softirqs, collectSoftirqs),
		probe.Gather(probe.Info{Name: "interrupts"}, &metric.InterruptLines, collectInterrupts),
		probe.Gather(probe.Info{Name: "pressure_irq"}, &metric.PressureIRQ, collectPressureIRQ),
	}
}

const systemCPU = "/sys/devices/system/cpu"

func lines(b []byte) []string {
	return strings.FieldsFunc(string(b), func(r rune) bool { return r == '\n' || r == '\r' })
}

// collectTopology reads which processors are on or set apart, and how often heat
// slowed cores and packages down.
func collectTopology(g *probe.Gathering) error {
	for _, n := range cpuList(g.Text(systemCPU + "/isolated")) {
		g.Add("isolated", 1, "cpu", strconv.Itoa(n))
	}
	packages := make(map[string]bool)
	cores := make(map[[2]string]bool)
	for _, name := range g.Matching(systemCPU, "cpu[0-9]*") {
		dir := path.Join(systemCPU, name)
		g.AddFile("online", path.Join(dir, "online"), 1, "cpu", strings.TrimPrefix(name, "cpu"))
		core, pkg := g.Text(path.Join(dir, "topology/core_id")), g.Text(path.Join(dir, "topology/physical_package_id"))
		if core == "" || pkg == "" {
			continue
		}
		if !cores[[2]string{core, pkg}] {
			g.AddFile("core_throttles_total", path.Join(dir, "thermal_throttle/core_throttle_count"), 1, "core", core, "package", pkg)
		}
		if !packages[pkg] {
			g.AddFile("package_throttles_total", path.Join(dir, "thermal_throttle/package_throttle_count"), 1, "package", pkg)
		}
		packages[pkg], cores[[2]string{core, pkg}] = true, true
	}
	return nil
}

// cpuList reads "1,3-5,9" (cpuset(7), List format).
func cpuList(s string) []int {
	var out []int
	for part := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		a, errA := strconv.Atoi(first)
		b, errB := strconv.Atoi(last)
		if errA != nil || errB != nil || a < 0 || b >= maxCPUs {
			continue
		}
		for n := a; n <= b; n++ {
			out = append(out, n)
		}
	}
	return out
}

// infoFields are the labels of node_cpu_info by the keys of /proc/cpuinfo.
var infoFields = [...][2]string{
	{"cachesize", "cache size"}, {"core", "core id"}, {"cpu", "processor"}, {"family", "cpu family"}, {"microcode", "microcode"},
	{"model", "model"}, {"model_name", "model name"}, {"package", "physical id"}, {"stepping", "stepping"}, {"vendor", "vendor_id"},
}

// collectInfo reads the models of the processors; flags and bugs are those of the first.
func collectInfo(g *probe.Gathering) error {
	for i, block := range strings.Split(string(g.Bytes("/proc/cpuinfo")), "\n\n") {
		values := make(map[string]string)
		for line := range strings.Lines(block) {
			key, value, ok := strings.Cut(line, ":")
			if ok {
				values[strings.TrimSpace(key)] = strings.TrimSpace(value)
			}
		}
		if values["processor"] == "" {
			continue
		}
		var labels []string
		for _, f := range infoFields {
			labels = append(labels, f[0], values[f[1]])
		}
		g.Add("info", 1, labels...)
		if i > 0 {
			continue
		}
		for flag := range strings.FieldsSeq(values["flags"]) {
			g.Add("flag_info", 1, "flag", flag)
		}
		for bug := range strings.FieldsSeq(values["bugs"]) {
			g.Add("bug_info", 1, "bug", bug)
		}
	}
	return nil
}

// scalingFiles are the frequencies of cpufreq, in kHz.
var scalingFiles = map[string]string{
	"scaling_cur_freq": "scaling_frequency_hertz", "scaling_min_freq": "scaling_frequency_min_hertz", "scaling_max_freq": "scaling_frequency_max_hertz",
	"cpuinfo_cur_freq": "frequency_hertz", "cpuinfo_min_freq": "frequency_min_hertz", "cpuinfo_max_freq": "frequency_max_hertz",
}

func collectScaling(g *probe.Gathering) error {
	for _, name := range g.Matching(systemCPU, "cpu[0-9]*") {
		dir, cpu := path.Join(systemCPU, name, "cpufreq"), strings.TrimPrefix(name, "cpu")
		governor := g.Text(path.Join(dir, "scaling_governor"))
		if governor == "" {
			continue
		}
		for file, key := range scalingFiles {
			g.AddFile(key, path.Join(dir, file), 1000, "cpu", cpu)
		}
		for other := range strings.FieldsSeq(g.Text(path.Join(dir, "scaling_available_governors"))) {
			chosen := 0.0
			if other == governor {
				chosen = 1
			}
			g.Add("scaling_governor", chosen, "cpu", cpu, "governor", other)
		}
	}
	return nil
}

// collectVulnerabilities reads lines such as "Mitigation: usercopy barriers".
func collectVulnerabilities(g *probe.Gathering) error {
	for _, name := range g.Entries(systemCPU + "/vulnerabilities") {
		state, mitigation, _ := strings.Cut(g.Text(path.Join(systemCPU, "vulnerabilities", name)), ":")
		if state != "" {
			g.Add("info", 1, "codename", name, "mitigation", strings.TrimSpace(mitigation), "state", strings.ToLower(state))
		}
	}
	return nil
}

// collectSchedstat reads the times, in nanoseconds, and the number of time slices of
// each processor (Documentation/scheduler/sched-stats.rst).
func collectSchedstat(g *probe.Gathering) error {
	for _, line := range lines(g.Bytes("/proc/schedstat")) {
		f := strings.Fields(line)
		if len(f) < 10 || !strings.HasPrefix(f[0], "cpu") {
			continue
		}
		running, ok1 := probe.ParseNumber(f[7])
		waiting, ok2 := probe.ParseNumber(f[8])
		slices, ok3 := probe.ParseNumber(f[9])
		if cpu := f[0][len("cpu"):]; ok1 && ok2 && ok3 {
			g.Add("running_seconds_total", running/1e9, "cpu", cpu)
			g.Add("waiting_seconds_total", waiting/1e9, "cpu", cpu)
			g.Add("timeslices_total", slices, "cpu", cpu)
		}
	}
	return nil
}

// softirqVectors are the columns of the line softirq of /proc/stat after its sum
// (include/linux/interrupt.h).
var softirqVectors = strings.Fields("hi timer net_tx net_rx block block_iopoll tasklet sched hrtimer rcu")

func collectSoftirqs(g *probe.Gathering) error {
	all := lines(g.Bytes("/proc/softirqs"))
	if len(all) > 0 {
		cpus := strings.Fields(all[0])
		for _, line := range all[1:] {
			f := strings.Fields(line)
			for i := 1; i < len(f) && i <= len(cpus); i++ {
				if v, ok := probe.ParseNumber(f[i]); ok {
					g.Add("functions_total", v, "cpu", strings.TrimPrefix(cpus[i-1], "CPU"), "type", strings.TrimSuffix(f[0], ":"))
				}
			}
		}
	}
	for _, line := range lines(g.Bytes("/proc/stat")) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "softirq" {
			continue
		}
		for i, name := range softirqVectors {
			if i+2 < len(f) {
				if v, ok := probe.ParseNumber(f[i+2]); ok {
					g.Add("total", v, "vector", name)
				}
			}
		}
	}
	return nil
}

// collectInterrupts reads the table of /proc/interrupts. Behind the counts of a
// numbered line stand the controller and the devices, behind others a description.
func collectInterrupts(g *probe.Gathering) error {
	all := lines(g.Bytes("/proc/interrupts"))
	if len(all) == 0 {
		return nil
	}
	cpus := strings.Fields(all[0])
	for _, line := range all[1:] {
		f := strings.Fields(line)
		if len(f) <= len(cpus) {
			continue // ERR and MIS are one number for all
		}
		name, info, devices := strings.TrimSuffix(f[0], ":"), strings.Join(f[len(cpus)+1:], " "), ""
		if _, err := strconv.Atoi(name); err == nil {
			info, devices, _ = strings.Cut(info, " ")
		}
		for i, cpu := range cpus {
			if v, ok := probe.ParseNumber(f[i+1]); ok {
				g.Add("total", v, "cpu", strings.TrimPrefix(cpu, "CPU"), "devices", devices, "info", info, "type", name)
			}
		}
	}
	return nil
}

// collectPressureIRQ reads the time lost to interrupts, which has no line "some".
func collectPressureIRQ(g *probe.Gathering) error {
	for _, line := range lines(g.Bytes("/proc/pressure/irq")) {
		_, total, ok := strings.Cut(line, " total=")
		if v, number := probe.ParseNumber(strings.TrimSpace(total)); ok && number && strings.HasPrefix(line, "full ") {
			g.Add("stalled_seconds_total", v/1e6)
		}
	}
	return nil
}
