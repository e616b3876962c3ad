package disk

import (
	"path"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/metric"
)

// Probes returns the metric probes beside New: what the devices are.
func Probes() []probe.Probe {
	return []probe.Probe{probe.Gather(probe.Info{Name: "diskinfo"}, &metric.DiskInfo, collectInfo)}
}

// ataNumbers are the properties of ATA disks that are numbers, with their families.
var ataNumbers = [][2]string{
	{"ID_ATA_WRITE_CACHE", "ata_write_cache"}, {"ID_ATA_WRITE_CACHE_ENABLED", "ata_write_cache_enabled"},
	{"ID_ATA_ROTATION_RATE_RPM", "ata_rotation_rate_rpm"},
}

// collectInfo tells what udev knows of the devices of /proc/diskstats.
func collectInfo(g *probe.Gathering) error {
	table := g.Bytes("/proc/diskstats")
	for line, rest := probe.NextLine(table); line != nil && !g.Done(); line, rest = probe.NextLine(rest) {
		major, fields := probe.NextField(line)
		minor, fields := probe.NextField(fields)
		if name, _ := probe.NextField(fields); len(name) > 0 && !ignored(string(name)) {
			addInfo(g, string(name), string(major), string(minor))
		}
	}
	return nil
}

func addInfo(g *probe.Gathering, device, major, minor string) {
	known := g.UdevProperties(major + ":" + minor)
	serial := known["SCSI_IDENT_SERIAL"] // as on the disk's label
	for _, name := range []string{"ID_SERIAL_SHORT", "ID_SERIAL"} {
		if serial == "" {
			serial = known[name]
		}
	}
	g.Add("info", 1, "device", device, "major", major, "minor", minor, "model", known["ID_MODEL"], "path", known["ID_PATH"],
		"revision", known["ID_REVISION"], "rotational", rotational(g, device, major+":"+minor, known), "serial", serial, "wwn", known["ID_WWN"])
	if kind := known["ID_FS_TYPE"]; kind != "" {
		g.Add("filesystem_info", 1, "device", device, "type", kind, "usage", known["ID_FS_USAGE"], "uuid", known["ID_FS_UUID"],
			"version", known["ID_FS_VERSION"])
	}
	if name := known["DM_NAME"]; name != "" {
		g.Add("device_mapper_info", 1, "device", device, "lv_layer", known["DM_LV_LAYER"], "lv_name", known["DM_LV_NAME"],
			"name", name, "uuid", known["DM_UUID"], "vg_name", known["DM_VG_NAME"])
	}
	if known["ID_ATA"] == "" {
		return
	}
	for _, n := range ataNumbers {
		if v, ok := probe.ParseNumber(known[n[0]]); ok {
			g.Add(n[1], v, "device", device)
		}
	}
}

// rotational is "1" for a disk that turns, "0" for one that does not, and "" where
// nobody says. That of a partition stands with its disk.
func rotational(g *probe.Gathering, device, majorMinor string, known map[string]string) string {
	const file = "queue/rotational"
	dir := "/sys/block/" + strings.ReplaceAll(device, "/", "!")
	for _, name := range []string{path.Join(dir, file), "/sys/dev/block/" + majorMinor + "/../" + file} {
		if s := g.Text(name); s != "" {
			return s
		}
	}
	switch rpm, ok := probe.ParseNumber(known["ID_ATA_ROTATION_RATE_RPM"]); {
	case ok && rpm > 0:
		return "1"
	case ok, strings.HasPrefix(device, "nvme"), strings.HasPrefix(device, "mmcblk"):
		return "0"
	}
	return ""
}
