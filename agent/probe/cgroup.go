package probe

import (
	"strconv"
	"strings"
)

// ServiceAndContainer finds the service and the container of a process in its
// /proc/PID/cgroup, see cgroups(7), named as in the sections services and containers: the
// innermost of each. A service around the container is that of the runtime and not told.
// On hybrid systems the service is in the line of systemd's own hierarchy.
func ServiceAndContainer(cgroup string) (service, container string) {
	for line := range strings.Lines(cgroup) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		systemd := f[1] == "" || f[1] == "name=systemd"
		if !systemd && container != "" {
			continue
		}
		outer := ""
		for part := range strings.SplitSeq(f[2], "/") {
			if name := ContainerOf(outer, part); name != "" {
				service, container = "", name
			} else if name, ok := strings.CutSuffix(part, ".service"); ok && systemd {
				service = name
			}
			outer = part
		}
	}
	return service, container
}

// ContainerOf names the container that has a control group, empty where it is none's;
// outer is the group around it. Docker, Podman, containerd and CRI-O have a group or scope
// that ends in 64 hexadecimal digits, LXC lxc.payload.NAME or NAME in a group lxc, and
// systemd-nspawn machine-NAME.scope. Podman's monitor and virtual machines are the host's.
func ContainerOf(outer, group string) string {
	name, scope := strings.CutSuffix(group, ".scope")
	prefix, id := name[:max(len(name)-64, 0)], name[max(len(name)-64, 0):]
	if isContainerID(id) && (prefix == "" || strings.HasSuffix(prefix, "-")) && !strings.HasSuffix(prefix, "conmon-") {
		return id
	}
	if name, ok := strings.CutPrefix(group, "lxc.payload."); ok {
		return name
	}
	if outer == "lxc" {
		return group
	}
	if name, ok := strings.CutPrefix(name, "machine-"); ok && scope && !strings.HasPrefix(name, "qemu") {
		return unescapeUnit(name)
	}
	return ""
}

// isContainerID says whether s has the form of a container's number.
func isContainerID(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

// unescapeUnit undoes systemd-escape(1): "\x2d" is "-".
func unescapeUnit(s string) string {
	for i := strings.Index(s, `\x`); i >= 0 && i+4 <= len(s); i = strings.Index(s, `\x`) {
		n, err := strconv.ParseUint(s[i+2:i+4], 16, 8)
		if err != nil || n == '\\' {
			return s
		}
		s = s[:i] + string(rune(n)) + s[i+4:]
	}
	return s
}
