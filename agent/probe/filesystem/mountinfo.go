package filesystem

import (
	"path"
	"slices"
	"strings"

	"atalaya/agent/probe"
)

// mount is a file system that is worth a reading.
type mount struct {
	number   string // major:minor of its device
	device   string
	fstype   string
	point    string
	path     string // where the agent sees it
	readOnly bool
	suspect  bool // asking it may hang
}

// maxMounts bounds the table: a host of containers has some hundred.
const maxMounts = 4096

// parseMountinfo returns the mounts that count, without those that a later one
// covers, in the order of the table. It is never nil. A line looks like
//
//	36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
//
// with any number of optional fields before the dash.
func parseMountinfo(b []byte) []mount {
	mounts := make([]mount, 0, 16)
	var suspects probe.Suspects
	for line, rest := probe.NextLine(b); line != nil && len(mounts) < maxMounts; line, rest = probe.NextLine(rest) {
		f, source, ok := probe.MountFields(string(line))
		if !ok {
			continue
		}
		m := mount{
			number: f[2],
			point:  probe.Unescape(f[4]),
			fstype: probe.Unescape(source[0]),
			device: probe.Unescape(source[1]),
		}
		super := strings.Join(source[2:], ",")
		m.readOnly = hasOption(f[5], "ro") || hasOption(super, "ro")
		suspects.Add(m.point, m.fstype)
		// What a later mount covers is out of reach, also when the cover does not count.
		mounts = slices.DeleteFunc(mounts, func(o mount) bool { return o.point == m.point })
		if counts(m.fstype, m.point) {
			mounts = append(mounts, m)
		}
	}
	for i := range mounts {
		mounts[i].suspect = suspects.Has(mounts[i].point)
	}
	return mounts
}

func hasOption(options, name string) bool {
	return slices.Contains(strings.Split(options, ","), name)
}

// ignoredTypes and the prefixes in counts are the defaults of node_exporter.
var ignoredTypes = set(`autofs binfmt_misc bpf cgroup cgroup2 configfs debugfs devpts devtmpfs erofs fusectl hugetlbfs
	iso9660 mqueue nsfs overlay proc procfs pstore rpc_pipefs securityfs selinuxfs squashfs sysfs tracefs`)

func set(words string) map[string]bool {
	m := make(map[string]bool)
	for w := range strings.FieldsSeq(words) {
		m[w] = true
	}
	return m
}

// counts follows node_exporter's
// ^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)
func counts(fstype, point string) bool {
	if ignoredTypes[fstype] {
		return false
	}
	for _, dir := range [...]string{"/dev", "/proc", "/sys"} {
		if point == dir || strings.HasPrefix(point, dir+"/") {
			return false
		}
	}
	for _, dir := range [...]string{"/run/credentials/", "/var/lib/docker/", "/var/lib/containers/storage/"} {
		if len(point) > len(dir) && strings.HasPrefix(point, dir) {
			return false
		}
	}
	return true
}

// deviceName gives the device that a boot without initramfs calls /dev/root its own name.
func deviceName(h *probe.Host, m *mount) string {
	if m.device != "/dev/root" {
		return m.device
	}
	target, err := h.Readlink("/sys/dev/block/" + m.number)
	if err != nil {
		return m.device
	}
	return "/dev/" + path.Base(target)
}
