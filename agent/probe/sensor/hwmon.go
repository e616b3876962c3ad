package sensor

import (
	"path"
	"slices"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/metric"
)

// chip is one entry of /sys/class/hwmon.
type chip struct {
	dir    string // below /sys/class/hwmon
	device string // kind and name of the device it belongs to; "" without one
	name   string // as the driver calls it
}

func collectHwmon(g *probe.Gathering) error {
	const class = "/sys/class/hwmon"
	var chips []chip
	devices := make(map[string]int)
	for _, entry := range g.Matching(class, "hwmon*") {
		c := chip{dir: path.Join(class, entry)}
		c.name, c.device = clean(g.Text(path.Join(c.dir, "name"))), deviceOf(g, c.dir)
		devices[c.device]++
		chips = append(chips, c)
	}
	for _, c := range chips {
		id := c.id(devices[c.device] > 1)
		if c.name != "" {
			g.Add("chip_names", 1, "chip", id, "chip_name", c.name)
		}
		for _, dir := range []string{c.dir, path.Join(c.dir, "device")} { // old drivers have their files in the device
			for _, file := range g.Matching(dir, "*[a-z0-9]") {
				if s, ok := parseSensor(file); ok {
					s.report(g, id, dir, file)
				}
			}
		}
		if g.Done() {
			break
		}
	}
	return nil
}

// id names a chip so that it is the same after a restart, which the number of hwmonN
// is not: by its device, with its own name where several share a device.
func (c *chip) id(shared bool) string {
	switch {
	case c.device != "" && shared && c.name != "":
		return c.device + "_" + c.name
	case c.device != "":
		return c.device
	case c.name != "":
		return c.name
	}
	return clean(path.Base(c.dir))
}

// deviceOf returns the last two elements of the path of the chip's device, such as
// platform_coretemp_0.
func deviceOf(g *probe.Gathering, dir string) string {
	target, err := g.Readlink(path.Join(dir, "device"))
	if err != nil {
		return ""
	}
	if !path.IsAbs(target) {
		at, err := g.Readlink(dir)
		if err != nil { // a folder of the class itself
			at = dir
		}
		if !path.IsAbs(at) {
			at = path.Join(path.Dir(dir), at)
		}
		target = path.Join(at, target)
	}
	kind, name := clean(path.Base(path.Dir(target))), clean(path.Base(target))
	if kind == "" {
		return name
	}
	return kind + "_" + name
}

// clean makes a label of a name as node_exporter does.
func clean(s string) string {
	return strings.Trim(metric.Key(strings.ToLower(strings.TrimSpace(s))), "_")
}

// sensorKinds are the kinds of attributes that the kernel documents.
var sensorKinds = []string{"vrm", "in", "cpu", "fan", "pwm", "temp", "curr", "power", "energy", "humidity", "intrusion", "freq"}

// sensor is one attribute of a chip, by the name of its file: temp1_max.
type sensor struct{ kind, number, element string }

func parseSensor(file string) (s sensor, ok bool) {
	head, element, _ := strings.Cut(file, "_")
	s.kind = strings.TrimRight(head, "0123456789")
	s.number, s.element = head[len(s.kind):], element
	return s, s.number != "" && slices.Contains(sensorKinds, s.kind)
}

func (s sensor) report(g *probe.Gathering, chip, dir, file string) {
	name := s.kind + s.number
	if s.element == "label" {
		if label := g.Text(path.Join(dir, file)); label != "" {
			g.Add("sensor_label", 1, "chip", chip, "label", label, "sensor", name)
		}
		return
	}
	v, ok := g.Number(path.Join(dir, file))
	if !ok {
		return
	}
	if s.kind == "freq" && s.element == "input" {
		if label := clean(g.Text(path.Join(dir, name+"_label"))); label != "" {
			name = label
		}
	}
	key, scale := s.family()
	g.Add(key, v/scale, "chip", chip, "sensor", name)
}

// family returns the family of an attribute and what its value is divided by: the
// kernel counts in thousandths of volts, degrees and amperes, and in millionths of
// watts, joules and hertz.
func (s sensor) family() (key string, divisor float64) {
	key = s.kind
	if s.element != "" && s.element != "input" {
		key += "_" + metric.Key(s.element)
	}
	switch {
	case s.element == "alarm" || s.element == "fault":
		return key, 1
	case s.element == "beep":
		return key + "_enabled", 1
	case s.kind == "in" || s.kind == "cpu":
		return key + "_volts", 1e3
	case s.kind == "temp" && s.element != "type":
		return key + "_celsius", 1e3
	case s.kind == "curr":
		return key + "_amps", 1e3
	case s.kind == "energy":
		return key + "_joule_total", 1e6
	case s.kind == "power" && s.element == "accuracy":
		return key, 1e6
	case s.kind == "power" && strings.Contains(s.element, "interval"):
		return key + "_seconds", 1e3
	case s.kind == "power":
		return key + "_watt", 1e6
	case s.kind == "humidity":
		return key, 1e6
	case s.kind == "fan" && slices.Contains([]string{"", "input", "min", "max", "target"}, s.element):
		return key + "_rpm", 1
	case s.kind == "freq" && s.element == "input":
		return key + "_freq_mhz", 1e6
	}
	return key, 1
}
