package containers

import (
	"bytes"
	"iter"
	"path"
	"slices"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// machines reads the virtual machines.
func (s *search) machines() {
	known := make(map[string]bool) // UUIDs
	for _, look := range []func(known map[string]bool){s.libvirt, s.proxmox, s.qemu} {
		if s.ctx.Err() == nil {
			look(known)
		}
	}
}

// libvirt reads the domains that are defined, /etc/libvirt/DRIVER/NAME.xml, and those
// that run, /run/libvirt/DRIVER/NAME.xml, which may be transient.
func (s *search) libvirt(known map[string]bool) {
	for _, driver := range []string{"qemu", "lxc", "libxl"} {
		rows := make(map[string]*facts.VirtualMachineRow)
		for _, folder := range []string{"/etc/libvirt/", "/run/libvirt/"} {
			for _, file := range s.glob(facts.VirtualMachines, folder+driver+"/*.xml") {
				d, ok := parsed(s, facts.VirtualMachines, file, parseDomain)
				if !ok || d.Name == "" {
					continue
				}
				row := *d
				if folder == "/etc/libvirt/" && row.State == "" && s.exists("/run") {
					row.State = "stopped"
				}
				row.Autostart = s.linked("/etc/libvirt/" + driver + "/autostart/" + path.Base(file))
				if known[row.UUID] && rows[row.Name] == nil {
					continue
				}
				rows[row.Name] = &row
			}
		}
		for _, row := range rows {
			known[row.UUID] = true
			s.report.Add(facts.VirtualMachines, row)
		}
	}
}

func (s *search) linked(path string) bool {
	_, err := s.host.Readlink(path)
	return err == nil
}

// parseDomain reads a domain in the XML of libvirt, https://libvirt.org/formatdomain.html,
// also within <domstatus>, in which libvirt keeps the state of those that run.
func parseDomain(b []byte) (*facts.VirtualMachineRow, error) {
	row := &facts.VirtualMachineRow{Manager: "libvirt"}
	problem := walkXML(b, func(e element) {
		in, ok := strings.CutPrefix(e.path, "domstatus/")
		if e.path == "domstatus" {
			row.State = domainState(e.attribute("state"))
		}
		if !ok {
			in = e.path
		}
		domain(row, in, e)
	})
	row.Disks, row.MACs, row.Networks = short(row.Disks), short(row.MACs), short(row.Networks)
	return row, problem
}

func domain(row *facts.VirtualMachineRow, in string, e element) {
	switch in {
	case "domain":
		row.Type = e.attribute("type") // its id is another one at each start
	case "domain/name":
		row.Name = e.text
	case "domain/title":
		row.Title = probe.Mask(e.text)
	case "domain/uuid":
		row.UUID = strings.ToLower(e.text)
	case "domain/memory":
		row.MemoryBytes = memory(e.text, e.attribute("unit"))
	case "domain/vcpu":
		row.VCPUs, _ = strconv.Atoi(e.text) // 0: not told
	case "domain/os/type":
		row.Machine, row.Arch = e.attribute("machine"), e.attribute("arch")
	case "domain/devices/disk/source":
		for _, name := range []string{"file", "dev", "name", "volume"} {
			if v := e.attribute(name); v != "" {
				row.Disks = append(row.Disks, v)
				break
			}
		}
	case "domain/devices/interface/mac":
		row.MACs = append(row.MACs, strings.ToLower(e.attribute("address")))
	case "domain/devices/interface/source":
		for _, name := range []string{"bridge", "network", "dev"} {
			if v := e.attribute(name); v != "" {
				row.Networks = append(row.Networks, v)
				break
			}
		}
	}
}

func domainState(s string) string {
	switch s {
	case "running", "paused":
		return s
	case "":
		return ""
	}
	return "stopped" // shutoff, crashed ...
}

// memory is an amount with libvirt's unit; without one it is KiB.
func memory(text, unit string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || n < 0 || n > 1<<50 {
		return 0
	}
	switch strings.ToLower(unit) {
	case "b", "bytes":
		return n
	case "kb":
		return n * 1000
	case "mb":
		return n * 1000 * 1000
	case "gb":
		return n * 1000 * 1000 * 1000
	case "m", "mib":
		return n << 20
	case "g", "gib":
		return min(n, 1<<32) << 30
	case "t", "tib":
		return min(n, 1<<22) << 40
	}
	return n << 10
}

// proxmox reads qm.conf(5). The files lie in a file system of Proxmox's own daemon.
func (s *search) proxmox(known map[string]bool) {
	for file, row := range served(s, facts.VirtualMachines, "/etc/pve/qemu-server/*.conf", parseProxmox) {
		full := *row
		full.ID = strings.TrimSuffix(path.Base(file), ".conf")
		if full.Name == "" {
			full.Name = "VM " + full.ID // as Proxmox calls it
		}
		full.State = s.state("/run/qemu-server/" + full.ID + ".pid")
		known[full.UUID] = true
		s.report.Add(facts.VirtualMachines, &full)
	}
}

func parseProxmox(b []byte) (*facts.VirtualMachineRow, error) {
	row := &facts.VirtualMachineRow{Manager: "proxmox", Type: "kvm", VCPUs: 1}
	sockets := 1
	for name, v := range settings(b) {
		n, _ := strconv.Atoi(v) // 0 for what is no number
		switch {
		case name == "name":
			row.Name = v
		case name == "cores" && n > 0:
			row.VCPUs = n
		case name == "sockets" && n > 0:
			sockets = n
		case name == "memory":
			row.MemoryBytes = sizeOf(v + "M")
		case name == "onboot":
			row.Autostart = n == 1
		case name == "machine":
			row.Machine = v
		case name == "kvm" && v == "0":
			row.Type = "qemu"
		case name == "smbios1":
			row.UUID = strings.ToLower(options(v)["uuid"])
		case numbered(name, "net"):
			for model, mac := range options(v) {
				if model == "bridge" {
					row.Networks = append(row.Networks, mac)
				} else if strings.Count(mac, ":") == 5 {
					row.MACs = append(row.MACs, strings.ToLower(mac))
				}
			}
		case slices.ContainsFunc([]string{"scsi", "virtio", "sata", "ide", "efidisk"}, func(p string) bool { return numbered(name, p) }):
			if disk, _, _ := strings.Cut(v, ","); options(v)["media"] != "cdrom" {
				row.Disks = append(row.Disks, disk)
			}
		}
	}
	row.VCPUs *= sockets
	row.Disks, row.MACs, row.Networks = short(row.Disks), short(row.MACs), short(row.Networks)
	return row, nil
}

// settings are the lines "name: value" of Proxmox up to the sections of snapshots.
func settings(b []byte) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for line := range strings.Lines(strings.ToValidUTF8(string(b), "\uFFFD")) {
			if strings.HasPrefix(line, "[") {
				return
			}
			name, v, ok := strings.Cut(strings.TrimSpace(line), ":")
			if ok && !strings.HasPrefix(name, "#") && !yield(name, strings.TrimSpace(v)) {
				return
			}
		}
	}
}

// options splits "a=1,b=2".
func options(v string) map[string]string {
	m := make(map[string]string)
	for part := range strings.SplitSeq(v, ",") {
		if k, v, ok := strings.Cut(part, "="); ok {
			m[k] = v
		}
	}
	return m
}

// numbered says whether name is prefix and a number.
func numbered(name, prefix string) bool {
	n, ok := strings.CutPrefix(name, prefix)
	return ok && n != "" && strings.Trim(n, "0123456789") == ""
}

// maxProcesses bounds the search for emulators.
const maxProcesses = 30_000

// qemu finds emulators that neither libvirt nor Proxmox manages.
func (s *search) qemu(known map[string]bool) {
	pids, err := s.host.Processes(maxProcesses)
	s.problem(facts.VirtualMachines, err)
	for _, pid := range pids {
		if s.ctx.Err() != nil {
			return
		}
		dir := "/proc/" + strconv.Itoa(pid)
		name := s.host.ReadString(dir + "/comm")
		if !strings.HasPrefix(name, "qemu-system") && name != "qemu-kvm" && name != "kvm" {
			continue
		}
		b, err := s.host.ReadFile(dir + "/cmdline")
		if err != nil {
			continue // gone
		}
		if row := parseQEMU(b); row != nil && !known[row.UUID] {
			s.report.Add(facts.VirtualMachines, row)
		}
	}
}

// parseQEMU reads the command line of qemu(1); nil for one that a manager started.
func parseQEMU(cmdline []byte) *facts.VirtualMachineRow {
	row := &facts.VirtualMachineRow{Manager: "qemu", Type: "qemu", State: "running", VCPUs: 1}
	args := strings.Split(strings.ToValidUTF8(string(bytes.TrimRight(cmdline, "\x00")), "\uFFFD"), "\x00")
	for i, arg := range args {
		v := ""
		if i+1 < len(args) {
			v = args[i+1]
		}
		switch strings.TrimPrefix(arg, "-") {
		case "-enable-kvm", "enable-kvm":
			row.Type = "kvm"
		case "accel", "-accel":
			row.Type = kind(row.Type, v)
		case "machine", "M":
			row.Machine, _, _ = strings.Cut(strings.TrimPrefix(v, "type="), ",")
			row.Type = kind(row.Type, options(v)["accel"])
		case "name":
			row.Name, _, _ = strings.Cut(strings.TrimPrefix(v, "guest="), ",")
		case "uuid":
			row.UUID = strings.ToLower(v)
		case "m":
			row.MemoryBytes = qemuMemory(v)
		case "smp":
			first, _, _ := strings.Cut(strings.TrimPrefix(v, "cpus="), ",")
			if n, err := strconv.Atoi(first); err == nil && n > 0 {
				row.VCPUs = n
			}
		case "drive", "hda", "hdb":
			if file := options(v)["file"]; file != "" {
				row.Disks = append(row.Disks, file)
			} else if path.IsAbs(v) {
				row.Disks = append(row.Disks, v)
			}
		}
		if mac := options(v)["mac"]; mac != "" && (arg == "-device" || arg == "-nic" || arg == "-net") {
			row.MACs = append(row.MACs, strings.ToLower(mac))
		}
	}
	if row.Name == "" {
		row.Name = row.UUID
	}
	if row.Name == "" && len(row.Disks) > 0 {
		row.Name = path.Base(row.Disks[0])
	}
	if row.Name == "" {
		return nil // an emulator that was asked for its version
	}
	row.Disks, row.MACs = short(row.Disks), short(row.MACs)
	return row
}

func kind(now, accelerator string) string {
	if strings.HasPrefix(accelerator, "kvm") {
		return "kvm"
	}
	return now
}

// qemuMemory is the value of -m: megabytes unless it has a suffix.
func qemuMemory(v string) int64 {
	first, _, _ := strings.Cut(strings.TrimPrefix(v, "size="), ",")
	if first != "" && first[len(first)-1] >= '0' && first[len(first)-1] <= '9' {
		first += "M"
	}
	return sizeOf(first)
}
