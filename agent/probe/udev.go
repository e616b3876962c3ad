package probe

import "strings"

// UdevProperties returns what udev's database says of a block device, by its
// "major:minor"; nil where there is no record, as in containers and on small systems.
func (h *Host) UdevProperties(majorMinor string) map[string]string {
	text := h.ReadString("/run/udev/data/b" + majorMinor)
	if text == "" && !h.Live() {
		// Trees that were put together for node_exporter's --path options.
		text = h.ReadString("/udev/data/b" + majorMinor)
	}
	return ParseUdev(text)
}

// ParseUdev reads lines "E:NAME=value": a record of udev's database, and what its
// helper programs print. It is nil when there is no line at all.
func ParseUdev(text string) map[string]string {
	if text == "" {
		return nil
	}
	m := make(map[string]string)
	for line := range strings.Lines(text) {
		if entry, ok := strings.CutPrefix(line, "E:"); ok {
			name, value, _ := strings.Cut(strings.TrimRight(entry, "\n"), "=")
			m[name] = value
		}
	}
	return m
}
