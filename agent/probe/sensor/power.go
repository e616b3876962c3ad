package sensor

import (
	"path"
	"slices"
	"strings"

	"atalaya/agent/probe"
)

// powerText are the attributes of a power supply that are text.
var powerText = []string{
	"capacity_level", "charge_type", "health", "manufacturer", "model_name", "scope",
	"serial_number", "status", "technology", "type", "usb_type",
}

// powerRenamed are attributes whose family is not called as the file.
var powerRenamed = map[string]string{
	"cycle_count": "cyclecount", "energy_now": "energy_watthour", "charge_now": "charge_ampere", "current_now": "current_ampere",
	"voltage_now": "voltage_volt", "power_now": "power_watt", "temp": "temp_celsius", "temp_ambient": "temp_ambient_celsius",
	"temp_max": "temp_max_celsius", "temp_min": "temp_min_celsius", "temp_alert_max": "temp_alert_max_celsius",
	"temp_alert_min": "temp_alert_min_celsius", "time_to_empty_now": "time_to_empty_seconds", "time_to_full_now": "time_to_full_seconds",
}

// powerPlain are attributes that have no unit.
var powerPlain = []string{
	"authentic", "calibrate", "capacity", "capacity_alert_max", "capacity_alert_min", "cycle_count", "online", "present",
	"time_to_empty_now", "time_to_full_now", "charge_control_limit", "charge_control_limit_max",
}

// powerMillionths are how the names of attributes begin that count in millionths of
// a watt, volt, ampere, watt hour or ampere hour.
var powerMillionths = []string{"energy_", "charge_", "current_", "voltage_", "power_", "constant_charge_", "precharge_", "input_", "output_"}

func collectPower(g *probe.Gathering) error {
	const class = "/sys/class/power_supply"
	for _, name := range g.Entries(class) {
		dir := path.Join(class, name)
		for _, file := range g.Matching(dir, "[a-z]*[a-z]") {
			if scale, ok := powerScale(file); ok {
				key := file
				if renamed, ok := powerRenamed[file]; ok {
					key = renamed
				}
				g.AddFile(key, path.Join(dir, file), scale, "power_supply", name)
			}
		}
		var labels []string
		for _, file := range powerText {
			if text := g.Text(path.Join(dir, file)); text != "" {
				labels = append(labels, file, text)
			}
		}
		g.Add("info", 1, withName(labels, name)...)
	}
	return nil
}

// powerScale says whether an attribute is a number that we report, and what it is
// multiplied by.
func powerScale(file string) (float64, bool) {
	switch {
	case slices.Contains(powerPlain, file):
		return 1, true
	case file == "temp" || strings.HasPrefix(file, "temp_"):
		return 0.1, true
	case strings.HasSuffix(file, "_threshold") || strings.HasSuffix(file, "_behaviour") || file == "charge_type" || file == "charge_types":
		return 0, false
	}
	return 1e-6, slices.ContainsFunc(powerMillionths, func(p string) bool { return strings.HasPrefix(file, p) })
}

// withName puts the label power_supply in its place among the others.
func withName(labels []string, name string) []string {
	at := 0
	for at < len(labels) && labels[at] < "power_supply" {
		at += 2
	}
	return slices.Insert(labels, at, "power_supply", name)
}
