package osinfo

import (
	"strings"

	"atalaya/agent/probe"
)

// found is a container manager or a hypervisor, and the file that gave it away.
type found struct{ kind, evidence string }

// container looks for the traces that container managers leave inside
// (https://systemd.io/CONTAINER_INTERFACE). release is that of the running kernel.
func container(h *probe.Host, release string) found {
	for _, file := range []string{"/run/systemd/container", "/run/host/container-manager"} {
		if kind := firstLine([]byte(h.ReadString(file))); kind != "" {
			return found{kind, file}
		}
	}
	lower := strings.ToLower(release)
	switch {
	case exists(h, "/run/.containerenv"):
		return found{"podman", "/run/.containerenv"}
	case exists(h, "/.dockerenv"):
		return found{"docker", "/.dockerenv"}
	case strings.Contains(lower, "microsoft") || strings.HasSuffix(lower, "-wsl"):
		return found{"wsl", "kernel release"}
	case exists(h, "/proc/vz") && !exists(h, "/proc/bc"):
		return found{"openvz", "/proc/vz"}
	case exists(h, "/run/secrets/kubernetes.io/serviceaccount"):
		return found{"kubernetes", "/run/secrets/kubernetes.io/serviceaccount"}
	}
	const environ, cgroup = "/proc/1/environ", "/proc/1/cgroup"
	if kind := environContainer(h.ReadString(environ)); kind != "" {
		return found{kind, environ}
	}
	if kind := cgroupContainer(h.ReadString(cgroup)); kind != "" {
		return found{kind, cgroup}
	}
	return found{}
}

// environContainer is the variable that managers set for the first process; no other
// is looked at.
func environContainer(environ string) string {
	for variable := range strings.SplitSeq(environ, "\x00") {
		if kind, ok := strings.CutPrefix(variable, "container="); ok {
			return kind
		}
	}
	return ""
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

// hypervisor asks the sources in the order of systemd-detect-virt: the firmware's
// words, the interface of Xen, the clock, the device tree, and last the flag of the
// processor, which does not tell whose it is.
func hypervisor(h *probe.Host) found {
	const xen, clock, tree, s390 = "/sys/hypervisor/type", "/sys/devices/system/clocksource/clocksource0/available_clocksource",
		"/proc/device-tree/hypervisor/compatible", "/proc/sysinfo"
	if f := dmiHypervisor(h); f.kind != "" {
		return f
	}
	if kind := h.ReadString(xen); kind != "" {
		if strings.Contains(h.ReadString("/proc/xen/capabilities"), "control_d") {
			return found{} // the first domain of Xen owns the machine
		}
		return found{kind, xen}
	}
	clocks := h.ReadString(clock)
	for _, v := range clockVendors {
		if strings.Contains(clocks, v.text) {
			return found{v.kind, clock}
		}
	}
	switch model := h.ReadString(tree); {
	case strings.Contains(model, "kvm"):
		return found{"kvm", tree}
	case strings.Contains(model, "xen"):
		return found{"xen", tree}
	case strings.Contains(model, "vmware"):
		return found{"vmware", tree}
	}
	if exists(h, "/proc/device-tree/ibm,partition-name") && exists(h, "/proc/device-tree/hmc-managed?") {
		return found{"powervm", "/proc/device-tree/ibm,partition-name"}
	}
	if strings.Contains(h.ReadString("/proc/device-tree/compatible"), "qemu") {
		return found{"qemu", "/proc/device-tree/compatible"}
	}
	switch program := spacedField(h.ReadString(s390), "VM00 Control Program"); {
	case strings.HasPrefix(program, "z/VM"):
		return found{"zvm", s390}
	case program != "":
		return found{"kvm", s390}
	}
	cpuinfo := h.ReadString(cpuinfoFile)
	if spacedField(cpuinfo, "vendor_id") == "User Mode Linux" {
		return found{"uml", cpuinfoFile}
	}
	if hypervisorFlag(cpuinfo) {
		return found{"vm-other", cpuinfoFile}
	}
	return found{}
}

func dmiHypervisor(h *probe.Host) found {
	for _, name := range []string{"product_name", "sys_vendor", "board_vendor", "bios_vendor", "product_version"} {
		text := h.ReadString(dmiFolder + name)
		for _, v := range dmiVendors {
			if text == "" || !strings.Contains(text, v.text) {
				continue
			}
			if v.kind == "amazon" && strings.HasSuffix(h.ReadString(dmiFolder+"product_name"), ".metal") {
				return found{} // a whole machine of EC2
			}
			return found{v.kind, dmiFolder + name}
		}
	}
	return found{}
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
