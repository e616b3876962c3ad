package osinfo

import (
	"strings"

	"atalaya/agent/probe"
)

// virtualisation names the container or the hypervisor the system runs in, with the
// words of systemd-detect-virt(1); "" for a bare machine, or when no file tells.
// release is that of the running kernel.
func virtualisation(h *probe.Host, release string) string {
	if c := container(h, release); c != "" {
		return c
	}
	return hypervisor(h)
}

// container looks for the traces that container managers leave inside.
func container(h *probe.Host, release string) string {
	if kind := h.ReadString("/run/systemd/container"); kind != "" {
		return firstLine([]byte(kind))
	}
	lower := strings.ToLower(release)
	switch {
	case exists(h, "/run/.containerenv"):
		return "podman"
	case exists(h, "/.dockerenv"):
		return "docker"
	case strings.Contains(lower, "microsoft") || strings.HasSuffix(lower, "-wsl"):
		return "wsl"
	case exists(h, "/proc/vz") && !exists(h, "/proc/bc"):
		return "openvz"
	}
	return cgroupContainer(h.ReadString("/proc/1/cgroup"))
}

// cgroupContainer knows container managers by the control group of the first process.
func cgroupContainer(cgroup string) string {
	for _, c := range []struct{ part, kind string }{
		{"/docker", "docker"}, {"/kubepods", "kubernetes"}, {"/lxc", "lxc"}, {"/libpod", "podman"},
	} {
		if strings.Contains(cgroup, c.part) {
			return c.kind
		}
	}
	return ""
}

// dmiVendors is the table of systemd-detect-virt: strings in the DMI tables of
// virtual machines. The first match decides.
var dmiVendors = []struct{ text, kind string }{
	{"KVM", "kvm"}, {"OpenStack", "kvm"}, {"KubeVirt", "kvm"}, {"Amazon EC2", "amazon"}, {"QEMU", "qemu"},
	{"VMware", "vmware"}, {"VMW", "vmware"}, {"innotek GmbH", "oracle"}, {"VirtualBox", "oracle"}, {"Xen", "xen"},
	{"Bochs", "bochs"}, {"Parallels", "parallels"}, {"BHYVE", "bhyve"}, {"Hyper-V", "microsoft"},
	{"Virtual Machine", "microsoft"}, {"Apple Virtualization", "apple"}, {"Google Compute Engine", "google"},
}

// clockVendors are the clock sources that only exist under one hypervisor.
var clockVendors = []struct{ text, kind string }{
	{"kvm-clock", "kvm"}, {"hyperv", "microsoft"}, {"xen", "xen"},
}

func hypervisor(h *probe.Host) string {
	for _, name := range []string{"product_name", "sys_vendor", "board_vendor", "bios_vendor", "product_version"} {
		text := h.ReadString("/sys/class/dmi/id/" + name)
		for _, v := range dmiVendors {
			if text != "" && strings.Contains(text, v.text) {
				return v.kind
			}
		}
	}
	if kind := h.ReadString("/sys/hypervisor/type"); kind != "" {
		if strings.Contains(h.ReadString("/proc/xen/capabilities"), "control_d") {
			return "" // the first domain of Xen owns the machine
		}
		return kind
	}
	clocks := h.ReadString("/sys/devices/system/clocksource/clocksource0/available_clocksource")
	for _, v := range clockVendors {
		if strings.Contains(clocks, v.text) {
			return v.kind
		}
	}
	switch model := h.ReadString("/proc/device-tree/hypervisor/compatible"); {
	case strings.Contains(model, "kvm"):
		return "kvm"
	case strings.Contains(model, "xen"):
		return "xen"
	}
	if hypervisorFlag(h.ReadString("/proc/cpuinfo")) {
		return "vm-other"
	}
	return ""
}

// hypervisorFlag reports whether the processor says that it is a virtual one
// (CPUID 1, ECX bit 31).
func hypervisorFlag(cpuinfo string) bool {
	for line := range strings.Lines(cpuinfo) {
		if strings.HasPrefix(line, "flags") {
			return strings.Contains(line+" ", " hypervisor ") || strings.HasSuffix(strings.TrimSpace(line), " hypervisor")
		}
	}
	return false
}
