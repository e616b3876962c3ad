package devices

import (
	"path"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

const hwmonFolder = "/sys/class/hwmon"

// sensorKind is a kind of sensor by the letters that its files begin with, and how many
// of the kernel's units make one of ours (Documentation/hwmon/sysfs-interface.rst).
type sensorKind struct {
	letters, kind, unit string
	scale               float64
}

var sensorKinds = []sensorKind{
	{"temp", "temperature", "celsius", 1e3}, {"fan", "fan", "rpm", 1}, {"in", "voltage", "volts", 1e3}, {"curr", "current", "amperes", 1e3},
	{"power", "power", "watts", 1e6}, {"energy", "energy", "joules", 1e6}, {"humidity", "humidity", "percent", 1e3},
}

// keptSensors are the rows of a chip and the files that it had.
type keptSensors struct {
	state string
	rows  []facts.Row
}

// collectSensors reports which sensors there are. Their limits are read once for each
// chip, as some chips are slow to answer.
func (p *devices) collectSensors(h *probe.Host, r *probe.Report) {
	entries, err := h.ReadDir(hwmonFolder)
	if err != nil {
		problem(r, facts.Sensors, hwmonFolder, err)
	}
	kept := make(map[string]keptSensors, len(entries))
	for _, e := range entries {
		dir := hwmonFolder + "/" + e.Name() + "/"
		files, err := h.ReadDir(dir)
		if err != nil {
			continue // it went away meanwhile
		}
		names := make([]string, 0, len(files))
		for _, f := range files {
			names = append(names, f.Name())
		}
		chip := chipName(h, dir)
		state := chip + " " + strings.Join(names, " ")
		k := p.sensors[e.Name()]
		refused := h.Refusals()
		if k.state != state {
			k = keptSensors{state, sensorRows(h, dir, chip, names)}
		}
		if h.Refusals() == refused {
			kept[e.Name()] = k
		}
		r.Add(facts.Sensors, k.rows...)
	}
	p.sensors = kept
}

// chipName is the same at every boot, which the number of a chip is not.
func chipName(h *probe.Host, dir string) string {
	name := printable(h.ReadString(dir + "name"))
	if target, err := h.Readlink(dir + "device"); err == nil {
		return name + "-" + path.Base(target)
	}
	return name
}

func sensorRows(h *probe.Host, dir, chip string, files []string) []facts.Row {
	var rows []facts.Row
	for _, file := range files {
		sensor, ok := strings.CutSuffix(file, "_input")
		if !ok {
			if sensor, ok = strings.CutSuffix(file, "_average"); !ok || !strings.HasPrefix(sensor, "power") {
				continue
			}
		}
		kind, ok := kindOf(sensor)
		if !ok {
			continue
		}
		limit := func(names ...string) *float64 {
			for _, name := range names {
				if n, err := strconv.ParseInt(h.ReadString(dir+sensor+name), 10, 64); err == nil {
					v := float64(n) / kind.scale
					return &v
				}
			}
			return nil
		}
		rows = append(rows, &facts.SensorRow{
			Chip: chip, Sensor: sensor, Kind: kind.kind, Unit: kind.unit, Label: printable(h.ReadString(dir + sensor + "_label")),
			Min: limit("_min"), Max: limit("_max", "_cap"), Critical: limit("_crit"),
		})
	}
	return rows
}

func kindOf(sensor string) (sensorKind, bool) {
	letters := strings.TrimRight(sensor, "0123456789")
	for _, k := range sensorKinds {
		if k.letters == letters && letters != sensor {
			return k, true
		}
	}
	return sensorKind{}, false
}
