package containers

import (
	"path"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// lxc reads the containers of LXC (lxc.container.conf(5)), of Proxmox, Incus and LXD.
func (s *search) lxc() {
	proxmox := served(s, facts.Containers, "/etc/pve/lxc/*.conf", parseProxmoxLXC)
	for file, row := range proxmox {
		full := *row
		full.ID = strings.TrimSuffix(path.Base(file), ".conf")
		full.State = s.groupState(full.ID)
		s.report.Add(facts.Containers, &full)
	}
	for _, file := range s.glob(facts.Containers, "/var/lib/lxc/*/config") {
		id := path.Base(path.Dir(file))
		if proxmox["/etc/pve/lxc/"+id+".conf"] != nil {
			continue
		}
		if row, ok := parsed(s, facts.Containers, file, parseLXC); ok {
			full := *row
			full.ID, full.State = id, s.groupState(id)
			if full.Name == "" {
				full.Name = id
			}
			s.report.Add(facts.Containers, &full)
		}
	}
	for _, m := range []struct{ runtime, folder string }{
		{"incus", "/var/lib/incus/containers"}, {"lxd", "/var/lib/lxd/containers"}, {"lxd", "/var/snap/lxd/common/lxd/containers"},
	} {
		for _, name := range s.list(facts.Containers, m.folder) {
			s.report.Add(facts.Containers, &facts.ContainerRow{ID: name, Name: name, Runtime: m.runtime, State: s.groupState(name)})
		}
	}
}

// groupState tells by its control group whether a container of LXC runs.
func (s *search) groupState(name string) string {
	if _, err := s.host.For(facts.Containers).Stat("/sys/fs/cgroup"); err != nil {
		return ""
	}
	for _, group := range []string{"lxc.payload." + name, "lxc/" + name, "systemd/lxc/" + name, "memory/lxc/" + name, "lxc.slice/lxc.payload." + name} {
		if s.exists(path.Join("/sys/fs/cgroup", group)) {
			return "running"
		}
	}
	return "stopped"
}

// parseLXC reads lxc.container.conf(5): name = value. What lxc-info(1) prints has the
// same form, and "State:" besides.
func parseLXC(b []byte) (*facts.ContainerRow, error) {
	row := &facts.ContainerRow{Runtime: "lxc", Restart: "no"}
	for line := range strings.Lines(strings.ToValidUTF8(string(b), "\uFFFD")) {
		line = strings.TrimSpace(line)
		if state, ok := strings.CutPrefix(line, "State:"); ok {
			row.State = strings.ToLower(strings.TrimSpace(state))
		}
		name, v, ok := strings.Cut(line, "=")
		if name, v = strings.TrimSpace(name), strings.TrimSpace(v); !ok || strings.HasPrefix(name, "#") || v == "" {
			continue
		}
		switch {
		case name == "lxc.uts.name", name == "lxc.utsname":
			row.Name, row.Hostname = v, v
		case name == "lxc.start.auto" && v == "1":
			row.Restart = "always"
		case strings.HasPrefix(name, "lxc.cgroup") && strings.HasSuffix(name, ".cpuset.cpus"):
			row.CPUs = float64(countCPUs(v))
		case strings.HasPrefix(name, "lxc.cgroup") && (strings.HasSuffix(name, ".memory.max") || strings.HasSuffix(name, ".memory.limit_in_bytes")):
			row.MemoryBytes = sizeOf(v)
		case strings.HasPrefix(name, "lxc.net.") && strings.HasSuffix(name, ".link"), name == "lxc.network.link":
			row.Networks = short(append(row.Networks, v))
		case row.MAC == "" && (strings.HasPrefix(name, "lxc.net.") && strings.HasSuffix(name, ".hwaddr") || name == "lxc.network.hwaddr"):
			row.MAC = strings.ToLower(v)
		case name == "lxc.mount.entry":
			if f := strings.Fields(v); len(f) > 1 && path.IsAbs(f[0]) {
				row.Mounts = short(append(row.Mounts, f[0]+":/"+strings.TrimPrefix(f[1], "/")))
			}
		}
	}
	return row, nil
}

// countCPUs counts a list such as "0,3-4" (cpuset(7)).
func countCPUs(list string) int {
	n := 0
	for part := range strings.SplitSeq(list, ",") {
		from, to, ok := strings.Cut(strings.TrimSpace(part), "-")
		a, errA := strconv.ParseUint(from, 10, 16)
		b := a
		var errB error
		if ok {
			b, errB = strconv.ParseUint(to, 10, 16)
		}
		if errA == nil && errB == nil && b >= a {
			n += int(b-a) + 1
		}
	}
	return n
}

// sizeOf reads "512M" and its like; 0 for what is no size or no limit.
func sizeOf(s string) int64 {
	s = strings.TrimSuffix(strings.TrimSuffix(strings.ToUpper(s), "IB"), "B")
	shift := 0
	if i := strings.IndexByte("KMGT", (s + " ")[max(len(s)-1, 0)]); i >= 0 {
		shift, s = 10*(i+1), s[:len(s)-1]
	}
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil || n < 0 || n > 1<<62>>shift {
		return 0
	}
	return n << shift
}

// parseProxmoxLXC reads a container of pct.conf(5): name: value. Sections of snapshots
// follow, "[name]".
func parseProxmoxLXC(b []byte) (*facts.ContainerRow, error) {
	row := &facts.ContainerRow{Runtime: "lxc", Restart: "no"}
	for name, v := range settings(b) {
		switch {
		case name == "hostname":
			row.Name, row.Hostname = v, v
		case name == "cores":
			if n, err := strconv.Atoi(v); err == nil && n > 0 {
				row.CPUs = float64(n)
			}
		case name == "memory":
			row.MemoryBytes = sizeOf(v + "M")
		case name == "onboot" && v == "1":
			row.Restart = "always"
		case name == "ostype":
			row.Image = probe.Mask(v)
		case numbered(name, "net"):
			o := options(v)
			if row.MAC == "" {
				row.MAC = strings.ToLower(o["hwaddr"])
			}
			if o["bridge"] != "" {
				row.Networks = short(append(row.Networks, o["bridge"]))
			}
		case numbered(name, "mp"):
			from, _, _ := strings.Cut(v, ",")
			row.Mounts = short(append(row.Mounts, from+":"+options(v)["mp"]))
		}
	}
	return row, nil
}

// nspawn reads the containers of systemd-nspawn: those registered with
// systemd-machined(8), and the images that it could start.
func (s *search) nspawn() {
	running := make(map[string]bool)
	for _, name := range s.list(facts.Containers, "/run/systemd/machines") {
		if strings.HasPrefix(name, "unit:") { // links to the same
			continue
		}
		text := s.host.ReadString(path.Join("/run/systemd/machines", name))
		if variable(text, "CLASS") == "container" && variable(text, "SERVICE") == "systemd-nspawn" {
			running[name] = true
			s.report.Add(facts.Containers, &facts.ContainerRow{ID: name, Name: name, Runtime: "nspawn", State: "running"})
		}
	}
	for _, name := range s.list(facts.Containers, "/var/lib/machines") {
		name = strings.TrimSuffix(name, ".raw")
		if !strings.HasPrefix(name, ".") && !running[name] {
			s.report.Add(facts.Containers, &facts.ContainerRow{ID: name, Name: name, Runtime: "nspawn", State: "stopped"})
		}
	}
}

// variable is one of the lines NAME=value.
func variable(text, name string) string {
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && k == name {
			return strings.Trim(v, `"`)
		}
	}
	return ""
}
