package sim

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"atalaya/shared/facts"
)

// services run on every host.
var services = []string{"cron", "dbus", "getty@tty1", "rsyslog", "ssh", "systemd-journald", "systemd-logind", "systemd-networkd", "systemd-udevd", "unattended-upgrades"}

// installed is when the images of the fleet were made.
var installed = time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)

// rows returns a section of the host as it is now, unsorted.
func (h *Host) rows(id facts.ID) []facts.Row {
	switch id {
	case facts.Packages:
		return h.packageRows()
	case facts.Users, facts.Groups:
		return h.people(id)
	case facts.Services:
		return h.serviceRows()
	case facts.ListeningSockets:
		return h.socketRows()
	case facts.Interfaces, facts.Addresses:
		return h.networkRows(id)
	case facts.OS, facts.Kernel, facts.PatchState:
		return h.systemRows(id)
	}
	return h.hardwareRows(id)
}

func (h *Host) packageRow(p int32, level int8) *facts.PackageRow {
	k := &h.fleet.products[p]
	return &facts.PackageRow{
		Name: k.name, Version: k.versions[level], Arch: "amd64", Source: k.source, SourcePackage: k.name, SizeBytes: k.size,
		Vendor: "Debian Maintainers <maintainers@example.org>", Category: "misc",
		InstalledAt: facts.TimeOf(installed.Add(time.Duration(h.number%1000)*time.Minute + time.Duration(level)*7*24*time.Hour)),
	}
}

func (h *Host) packageRows() []facts.Row {
	rows := make([]facts.Row, 0, len(h.level))
	for p, level := range h.level {
		rows = append(rows, h.packageRow(p, level))
	}
	return rows
}

func (h *Host) people(id facts.ID) []facts.Row {
	rows := []facts.Row{}
	if id == facts.Groups {
		rows = append(rows, &facts.GroupRow{Name: "root"}, &facts.GroupRow{Name: "sudo", GID: 27, Members: []string{"admin0"}})
	} else {
		rows = append(rows, &facts.UserRow{Name: "root", Home: "/root", Shell: "/bin/bash"})
	}
	for i := range h.users {
		name := fmt.Sprintf("admin%d", i)
		if id == facts.Groups {
			if i == 0 {
				rows = append(rows, &facts.GroupRow{Name: name, GID: 1000})
			}
			continue
		}
		rows = append(rows, &facts.UserRow{Name: name, UID: int64(1000 + i), GID: int64(1000 + i), Home: "/home/" + name, Shell: "/bin/bash"})
	}
	return rows
}

func (h *Host) serviceRows() []facts.Row {
	var rows []facts.Row
	for i, name := range services {
		state := "running"
		if i+1 == h.failed {
			state = "failed"
		}
		rows = append(rows, &facts.ServiceRow{
			Name: name, Enabled: "enabled", State: state, Manager: "systemd", Exec: "/usr/sbin/" + name, Path: "/lib/systemd/system/" + name + ".service",
		})
	}
	return rows
}

func (h *Host) socketRows() []facts.Row {
	var rows []facts.Row
	for _, port := range slices.Sorted(maps.Keys(h.ports)) {
		rows = append(rows, &facts.ListeningSocketRow{Protocol: "tcp", Address: "0.0.0.0", Port: port, Process: h.ports[port], PID: 300 + port, Exe: "/usr/sbin/" + h.ports[port]})
	}
	return rows
}

// address is the host's own, in 10.0.0.0/8.
func (h *Host) address() string {
	return fmt.Sprintf("10.%d.%d.%d", h.number>>14&0xff, h.number>>6&0xff, 1+h.number&0x3f)
}

func (h *Host) networkRows(id facts.ID) []facts.Row {
	if id == facts.Interfaces {
		mark := h.fleet.shape.mark()
		mac := fmt.Sprintf("02:%02x:%02x:%02x:%02x:%02x", mark>>8, h.number>>24&0xff^int(mark&0xff), h.number>>16&0xff, h.number>>8&0xff, h.number&0xff)
		return []facts.Row{
			&facts.InterfaceRow{Name: "lo", Index: 1, MTU: 65536, State: "unknown", Type: "loopback"},
			&facts.InterfaceRow{Name: "eth0", Index: 2, MAC: mac, MTU: 1500, State: "up", Type: "ethernet", SpeedBits: 10_000_000_000, Duplex: "full", Driver: "virtio_net"},
		}
	}
	return []facts.Row{
		&facts.AddressRow{Interface: "lo", Address: "127.0.0.1", Prefix: 8, Family: "inet", Scope: "host"},
		&facts.AddressRow{Interface: "eth0", Address: h.address(), Prefix: 8, Family: "inet", Scope: "global", Broadcast: "10.255.255.255"},
	}
}

func (h *Host) systemRows(id facts.ID) []facts.Row {
	switch id {
	case facts.OS:
		return []facts.Row{&facts.OSRow{
			ID: "debian", Name: "Debian GNU/Linux 12 (bookworm)", Version: "12.5", VersionID: "12", Codename: "bookworm", Family: "linux",
			Arch: "x86_64", Hostname: h.Name(), MachineID: fmt.Sprintf("%016x", h.machine()), Timezone: "Etc/UTC", InitSystem: "systemd", Virtualised: "kvm",
		}}
	case facts.Kernel:
		return []facts.Row{&facts.KernelRow{Release: "6.1.0-18-amd64", Version: "#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1", Arch: "x86_64", Running: true}}
	}
	return []facts.Row{&facts.PatchStateRow{Verdict: facts.VerdictPending, IndexTime: facts.TimeOf(installed), IndexMaxAgeSeconds: 7 * 86400, Pending: 1 + h.role, Security: h.role % 4}}
}

func (h *Host) hardwareRows(id facts.ID) []facts.Row {
	serial := fmt.Sprintf("SIM%08d", h.number)
	if mark := h.fleet.shape.mark(); mark != 0 {
		serial = fmt.Sprintf("SIM%04X%08d", mark, h.number)
	}
	switch id {
	case facts.System:
		return []facts.Row{&facts.SystemRow{Manufacturer: "Simulated", Product: fmt.Sprintf("Model %d", h.role%5), Serial: serial, UUID: fmt.Sprintf("00000000-0000-4000-8000-%012x", h.machine())}}
	case facts.BIOS:
		return []facts.Row{&facts.BIOSRow{Vendor: "Simulated", Version: fmt.Sprintf("1.%d", h.role%7), Date: "2025-03-01", UEFI: true}}
	case facts.CPUs:
		return []facts.Row{&facts.CPURow{Vendor: "GenuineIntel", Model: "Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz", Cores: 4 << (h.role % 3), Threads: 8 << (h.role % 3)}}
	case facts.MemoryModules:
		return []facts.Row{&facts.MemoryModuleRow{Locator: "DIMM 0", SizeBytes: 16 << 30, Type: "DDR4", SpeedMT: 3200, Serial: "M" + serial}}
	case facts.BlockDevices:
		return []facts.Row{&facts.BlockDeviceRow{Name: "sda", Type: "disk", SizeBytes: 100 << 30, Model: "Simulated disk", Serial: "D" + serial}}
	}
	return []facts.Row{&facts.FilesystemRow{Mount: "/", Device: "/dev/sda1", Type: "ext4", SizeBytes: 99 << 30}}
}
