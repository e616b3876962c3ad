// Package sensor reads what a Linux host's hardware says of its own condition: the
// sensors of its boards, temperatures and cooling, batteries and mains, energy,
// memory errors and watchdogs.
//
// Sources: Linux Documentation/hwmon/sysfs-interface.rst, ABI/testing/sysfs-class-thermal,
// sysfs-class-power, sysfs-class-powercap, sysfs-class-watchdog,
// Documentation/admin-guide/RAS.
package sensor

import (
	"path"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/metric"
)

// Probes returns the metric probes of the family.
func Probes() []probe.Probe {
	return []probe.Probe{
		probe.Gather(probe.Info{Name: "hwmon"}, &metric.Hwmon, collectHwmon),
		probe.Gather(probe.Info{Name: "thermal_zone"}, &metric.Thermal, collectThermal),
		probe.Gather(probe.Info{Name: "cooling_device"}, &metric.Cooling, collectCooling),
		probe.Gather(probe.Info{Name: "powersupply"}, &metric.PowerSupply, collectPower),
		probe.Gather(probe.Info{Name: "rapl"}, &metric.Rapl, collectRapl),
		probe.Gather(probe.Info{Name: "edac"}, &metric.Edac, collectEdac),
		probe.Gather(probe.Info{Name: "watchdog"}, &metric.Watchdog, collectWatchdog),
	}
}

// collectThermal reads the thermal zones: thousandths of a degree.
func collectThermal(g *probe.Gathering) error {
	const dir = "/sys/class/thermal"
	for _, name := range g.Matching(dir, "thermal_zone*") {
		zone := path.Join(dir, name)
		if v, ok := g.Number(path.Join(zone, "temp")); ok {
			g.Add("temp", v/1000, "type", g.Text(path.Join(zone, "type")), "zone", strings.TrimPrefix(name, "thermal_zone"))
		}
	}
	return nil
}

func collectCooling(g *probe.Gathering) error {
	const dir = "/sys/class/thermal"
	for _, name := range g.Matching(dir, "cooling_device*") {
		device := path.Join(dir, name)
		labels := []string{"name", strings.TrimPrefix(name, "cooling_device"), "type", g.Text(path.Join(device, "type"))}
		g.AddFile("cur_state", path.Join(device, "cur_state"), 1, labels...)
		g.AddFile("max_state", path.Join(device, "max_state"), 1, labels...)
	}
	return nil
}

// collectRapl reads energy counters; their zones are called "package-0", "core", "dram".
// Since Linux 5.10 only root may read them.
func collectRapl(g *probe.Gathering) error {
	const dir = "/sys/class/powercap"
	seen := make(map[string]int)
	for _, entry := range g.Matching(dir, "intel-rapl:*") {
		zone := path.Join(dir, entry)
		name, index, numbered := strings.Cut(g.Text(path.Join(zone, "name")), "-")
		if name == "" {
			continue
		}
		if !numbered { // several packages have a core each
			index = strconv.Itoa(seen[name])
			seen[name]++
		}
		g.AddFile(name+"_joules_total", path.Join(zone, "energy_uj"), 1e-6, "index", index, "path", zone)
	}
	return nil
}

// collectEdac counts memory errors by controller, row and channel.
func collectEdac(g *probe.Gathering) error {
	const dir = "/sys/devices/system/edac/mc"
	for _, mc := range g.Matching(dir, "mc[0-9]*") {
		controller, at := strings.TrimPrefix(mc, "mc"), path.Join(dir, mc)
		for prefix, file := range errorFiles {
			g.AddFile(prefix+"_errors_total", path.Join(at, file+"_count"), 1, "controller", controller)
			g.AddFile("csrow_"+prefix+"_errors_total", path.Join(at, file+"_noinfo_count"), 1, "controller", controller, "csrow", "unknown")
		}
		for _, row := range g.Matching(at, "csrow[0-9]*") {
			edacRow(g, controller, strings.TrimPrefix(row, "csrow"), path.Join(at, row))
		}
	}
	return nil
}

// errorFiles are the beginnings of the names of EDAC's counters.
var errorFiles = map[string]string{"correctable": "ce", "uncorrectable": "ue"}

func edacRow(g *probe.Gathering, controller, row, at string) {
	for prefix, file := range errorFiles {
		g.AddFile("csrow_"+prefix+"_errors_total", path.Join(at, file+"_count"), 1, "controller", controller, "csrow", row)
		for _, name := range g.Matching(at, "ch[0-9]*_"+file+"_count") {
			channel, _, _ := strings.Cut(strings.TrimPrefix(name, "ch"), "_")
			g.AddFile("channel_"+prefix+"_errors_total", path.Join(at, name), 1, "channel", channel, "controller", controller,
				"csrow", row, "dimm_label", dimmLabel(g.Text(path.Join(at, "ch"+channel+"_dimm_label")), controller, row, channel))
		}
	}
}

// dimmLabel is what the board calls a module. Where nobody told, the kernel makes up
// "mc#0csrow#0channel#0", which we write as node_exporter does.
func dimmLabel(told, controller, row, channel string) string {
	if strings.HasPrefix(told, "mc") && strings.Contains(told, "csrow") {
		return "mc" + controller + "_csrow" + row + "_channel" + channel
	}
	return told
}

// watchdogNumbers are the attributes that are numbers, with their families.
var watchdogNumbers = [...]struct{ file, key string }{
	{"bootstatus", "bootstatus"}, {"fw_version", "fw_version"}, {"nowayout", "nowayout"},
	{"timeleft", "timeleft_seconds"}, {"timeout", "timeout_seconds"},
	{"pretimeout", "pretimeout_seconds"}, {"access_cs0", "access_cs0"},
}

func collectWatchdog(g *probe.Gathering) error {
	const dir = "/sys/class/watchdog"
	for _, name := range g.Matching(dir, "watchdog[0-9]*") {
		at := path.Join(dir, name)
		for _, n := range watchdogNumbers {
			g.AddFile(n.key, path.Join(at, n.file), 1, "name", name)
		}
		text := func(file string) string { return g.Text(path.Join(at, file)) }
		g.Add("info", 1, "identity", text("identity"), "name", name, "options", text("options"),
			"pretimeout_governor", text("pretimeout_governor"), "state", text("state"), "status", text("status"))
	}
	return nil
}
