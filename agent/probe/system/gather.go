package system

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/metric"
)

// Probes returns the metric probes of what is read once a minute, or only where it is
// asked for.
func Probes() []probe.Probe {
	return []probe.Probe{
		// Since Linux 5.18 the kernel gives the same number for ever.
		probe.Every(time.Minute, "entropy", probe.Source{Path: "/proc/sys/kernel/random/entropy_avail", Optional: true, Parse: parseEntropy}),
		probe.Gather(probe.Info{Name: "uname"}, &metric.Uname, collectUname),
		probe.Gather(probe.Info{Name: "os"}, &metric.OSRelease, collectOS),
		probe.Gather(probe.Info{Name: "dmi"}, &metric.DMI, collectDMI),
		probe.Gather(probe.Info{Name: "cgroups"}, &metric.Cgroups, collectCgroups),
		probe.Gather(probe.Info{Name: "selinux"}, &metric.SELinux, collectSELinux),
		probe.Gather(probe.Info{Name: "entropy_pool"}, &metric.EntropyPool, collectEntropyPool),
		probe.Gather(probe.Info{Name: "kernel_hung"}, &metric.KernelHung, collectKernelHung),
		probe.Gather(probe.Info{Name: "clocksource"}, &metric.Clocksource, collectClocksource),
		probe.Gather(probe.Info{Name: "time_zone"}, &metric.TimeZone, collectTimeZone),
		probe.Gather(probe.Info{Name: "timex"}, &metric.Timex, collectTimex(timexMain)),
		probe.Gather(probe.Info{Name: "timex_pps"}, &metric.TimexPPS, collectTimex(func(key string) bool { return !timexMain(key) })),
		probe.Gather(probe.Info{Name: "sysctl"}, &metric.Sysctl, collectSysctl),
	}
}

func lines(b []byte) []string {
	return strings.FieldsFunc(string(b), func(r rune) bool { return r == '\n' || r == '\r' })
}

// collectUname reads what uname(2) tells where /proc tells it too.
func collectUname(g *probe.Gathering) error {
	text := func(name string) string { return g.Text("/proc/sys/kernel/" + name) }
	release := text("osrelease")
	if release == "" {
		return nil
	}
	domain := text("domainname")
	g.Add("info", 1, "domainname", domain, "machine", text("arch"), "nodename", text("hostname"), "release", release,
		"sysname", text("ostype"), "version", text("version"))
	return nil
}

// osFields are the labels of node_os_info: keys of os-release(5) in lower case.
var osFields = strings.Fields("build_id id id_like image_id image_version name pretty_name variant variant_id version version_codename version_id")

func collectOS(g *probe.Gathering) error {
	b := g.Bytes("/etc/os-release")
	if b == nil {
		b = g.Bytes("/usr/lib/os-release")
	}
	values := make(map[string]string)
	for _, line := range lines(b) {
		key, value, ok := strings.Cut(line, "=")
		if ok && !strings.HasPrefix(line, "#") {
			values[strings.ToLower(key)] = unquote(value)
		}
	}
	var labels []string
	told := false
	for _, f := range osFields {
		labels = append(labels, f, values[f])
		told = told || values[f] != ""
	}
	if !told { // no os-release, or one of garbage
		return nil
	}
	g.Add("info", 1, labels...)
	if major, rest, _ := strings.Cut(values["version_id"], "."); major != "" {
		minor, _, _ := strings.Cut(rest, ".")
		if v, ok := probe.ParseNumber(strings.TrimSuffix(major+"."+minor, ".")); ok {
			g.Add("version", v, "id", values["id"], "id_like", values["id_like"], "name", values["name"])
		}
	}
	if end, err := time.Parse(time.DateOnly, values["support_end"]); err == nil {
		g.Add("support_end_timestamp_seconds", float64(end.Unix()))
	}
	return nil
}

// unquote takes the quotes of a shell off a value.
func unquote(s string) string {
	if n := len(s); n >= 2 && (s[0] == '"' || s[0] == '\'') && s[n-1] == s[0] {
		s = s[1 : n-1]
	}
	return strings.NewReplacer(`\"`, `"`, `\$`, `$`, "\\`", "`", `\\`, `\`).Replace(s)
}

// dmiFields are the labels of node_dmi_info by their files.
var dmiFields = [...][2]string{
	{"bios_date", "bios_date"}, {"bios_release", "bios_release"}, {"bios_vendor", "bios_vendor"}, {"bios_version", "bios_version"},
	{"board_asset_tag", "board_asset_tag"}, {"board_name", "board_name"}, {"board_serial", "board_serial"}, {"board_vendor", "board_vendor"},
	{"board_version", "board_version"}, {"chassis_asset_tag", "chassis_asset_tag"}, {"chassis_serial", "chassis_serial"},
	{"chassis_vendor", "chassis_vendor"}, {"chassis_version", "chassis_version"}, {"product_family", "product_family"},
	{"product_name", "product_name"}, {"product_serial", "product_serial"}, {"product_sku", "product_sku"},
	{"product_uuid", "product_uuid"}, {"product_version", "product_version"}, {"system_vendor", "sys_vendor"},
}

// collectDMI reports the fields that there are, even when they are empty.
func collectDMI(g *probe.Gathering) error {
	const dir = "/sys/class/dmi/id"
	var labels []string
	for _, f := range dmiFields {
		if b := g.Bytes(path.Join(dir, f[1])); b != nil {
			labels = append(labels, f[0], strings.TrimSpace(string(b)))
		}
	}
	if len(labels) > 0 {
		g.Add("info", 1, labels...)
	}
	return nil
}

// collectCgroups reads "cpuset 5 47 1": controller, hierarchy, groups, enabled.
func collectCgroups(g *probe.Gathering) error {
	for _, line := range lines(g.Bytes("/proc/cgroups")) {
		f := strings.Fields(line)
		if len(f) != 4 || strings.HasPrefix(f[0], "#") {
			continue
		}
		groups, ok1 := probe.ParseNumber(f[2])
		enabled, ok2 := probe.ParseNumber(f[3])
		if ok1 && ok2 {
			g.Add("cgroups", groups, "subsys_name", f[0])
			g.Add("enabled", enabled, "subsys_name", f[0])
		}
	}
	return nil
}

// collectSELinux reports 1 for enforcing, 0 for permissive and -1 for off.
func collectSELinux(g *probe.Gathering) error {
	config := g.Bytes("/etc/selinux/config")
	current, enabled := g.Number("/sys/fs/selinux/enforce")
	if config == nil && !enabled && g.Holds("/sys/fs") != nil {
		return nil // a tree that does not tell
	}
	modes := map[string]float64{"enforcing": 1, "permissive": 0, "disabled": -1}
	for _, line := range lines(config) {
		key, value, _ := strings.Cut(line, "=")
		if mode, ok := modes[strings.ToLower(strings.TrimSpace(value))]; ok && strings.TrimSpace(key) == "SELINUX" {
			g.Add("config_mode", mode)
		}
	}
	if !enabled {
		g.Add("enabled", 0)
		return nil
	}
	g.Add("enabled", 1)
	g.Add("current_mode", current)
	return nil
}

func collectEntropyPool(g *probe.Gathering) error {
	g.AddFile("pool_size_bits", "/proc/sys/kernel/random/poolsize", 1)
	return nil
}

func collectKernelHung(g *probe.Gathering) error {
	g.AddFile("task_detect_count", "/proc/sys/kernel/hung_task_detect_count", 1)
	return nil
}

func collectClocksource(g *probe.Gathering) error {
	const dir = "/sys/devices/system/clocksource"
	for _, name := range g.Matching(dir, "clocksource[0-9]*") {
		device := strings.TrimPrefix(name, "clocksource")
		for source := range strings.FieldsSeq(g.Text(path.Join(dir, name, "available_clocksource"))) {
			g.Add("available_info", 1, "clocksource", source, "device", device)
		}
		if source := g.Text(path.Join(dir, name, "current_clocksource")); source != "" {
			g.Add("current_info", 1, "clocksource", source, "device", device)
		}
	}
	return nil
}

// collectTimeZone tells how far the host's local time is ahead of UTC just now. A host
// without a time zone keeps UTC (localtime(5)).
func collectTimeZone(g *probe.Gathering) error {
	zone := time.UTC
	switch b, err := g.ReadFile("/etc/localtime"); {
	case err == nil:
		if zone, err = time.LoadLocationFromTZData("", b); err != nil {
			return fmt.Errorf("/etc/localtime: %w", err)
		}
	case !probe.Absent(err):
		return err
	case g.Holds("/etc") != nil:
		return nil
	}
	name, seconds := g.Now().In(zone).Zone()
	g.Add("offset_seconds", float64(seconds), "time_zone", name)
	return nil
}

// limits are the kernel parameters that we report; what they are called is theirs
// with underscores. Those of several numbers have an index or names.
var limits = [...]struct {
	name  string
	parts []string
}{
	{"kernel.threads-max", nil}, {"kernel.pid_max", nil}, {"vm.max_map_count", nil}, {"fs.inotify.max_user_watches", nil},
	{"fs.file-nr", []string{"total", "current", "max"}},
}

func collectSysctl(g *probe.Gathering) error {
	for _, l := range limits {
		f := strings.Fields(g.Text("/proc/sys/" + strings.ReplaceAll(l.name, ".", "/")))
		for i, field := range f {
			v, ok := probe.ParseNumber(field)
			switch {
			case !ok:
			case len(f) == 1:
				g.Add(l.name, v)
			default:
				g.Add(l.name, v, "index", strconv.Itoa(i))
				if i < len(l.parts) {
					g.Add(l.name+"_"+l.parts[i], v)
				}
			}
		}
	}
	for i, action := range strings.Fields(g.Text("/proc/sys/kernel/seccomp/actions_avail")) {
		g.Add("info", 1, "index", strconv.Itoa(i), "name", "kernel.seccomp.actions_avail", "value", action)
	}
	return nil
}

// timexMain reports whether a reading of the clock is one that rules and dashboards use.
func timexMain(key string) bool {
	return slices.Contains([]string{"offset_seconds", "sync_status", "maxerror_seconds", "estimated_error_seconds", "frequency_adjustment_ratio"}, key)
}

// collectTimex asks the kernel of the live machine how its clock is kept.
func collectTimex(wanted func(key string) bool) func(*probe.Gathering) error {
	return func(g *probe.Gathering) error {
		if !g.Live() {
			return nil
		}
		values, err := readTimex()
		for key, v := range values {
			if wanted(key) {
				g.Add(key, v)
			}
		}
		return err
	}
}
