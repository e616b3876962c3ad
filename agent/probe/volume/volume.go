// Package volume reads what file systems, volume managers and remote storage of a
// Linux host count: ZFS, Btrfs, XFS, bcache, bcachefs, NFS on both sides, software
// RAID, DRBD, multipath, tapes and NVMe.
//
// Sources: the kernel's Documentation/ABI and filesystems, the OpenZFS kstat format
// (man 4 spl, kstat_seq_show), nfsstat(8), md(4), the DRBD user's guide.
package volume

import (
	"path"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/metric"
)

// Probes returns the metric probes of the family.
func Probes() []probe.Probe {
	return []probe.Probe{
		probe.Gather(probe.Info{Name: "zfs"}, &metric.ZFS, collectZFS),
		probe.Gather(probe.Info{Name: "btrfs"}, &metric.Btrfs, collectBtrfs),
		probe.Gather(probe.Info{Name: "xfs"}, &metric.XFS, collectXFS),
		probe.Gather(probe.Info{Name: "bcache"}, &metric.Bcache, collectBcache),
		probe.Gather(probe.Info{Name: "bcachefs"}, &metric.Bcachefs, collectBcachefs),
		probe.Gather(probe.Info{Name: "nfs"}, &metric.NFS, collectNFS),
		probe.Gather(probe.Info{Name: "nfsd"}, &metric.NFSD, collectNFSD),
		probe.Gather(probe.Info{Name: "mountstats"}, &metric.Mountstats, collectMountstats),
		probe.Gather(probe.Info{Name: "mdadm"}, &metric.MD, collectMD),
		probe.Gather(probe.Info{Name: "drbd"}, &metric.DRBD, collectDRBD),
		probe.Gather(probe.Info{Name: "dmmultipath"}, &metric.Multipath, collectMultipath),
		probe.Gather(probe.Info{Name: "tapestats"}, &metric.Tape, collectTape),
		probe.Gather(probe.Info{Name: "nvme"}, &metric.NVMe, collectNVMe),
	}
}

// lines splits the content of a file into lines, without those that are empty.
func lines(b []byte) []string {
	return strings.FieldsFunc(string(b), func(r rune) bool { return r == '\n' || r == '\r' })
}

// tapeCounters are the statistics of a drive: file, family, divisor.
var tapeCounters = [...]struct {
	file, key string
	divisor   float64
}{
	{"read_byte_cnt", "read_bytes_total", 1}, {"read_cnt", "reads_completed_total", 1}, {"read_ns", "read_time_seconds_total", 1e9},
	{"write_byte_cnt", "written_bytes_total", 1}, {"write_cnt", "writes_completed_total", 1}, {"write_ns", "write_time_seconds_total", 1e9},
	{"in_flight", "io_now", 1}, {"io_ns", "io_time_seconds_total", 1e9}, {"other_cnt", "io_others_total", 1}, {"resid_cnt", "residual_total", 1},
}

// collectTape reads the drives by the device that rewinds; the others of a drive
// (nst0, st0l...) count the same.
func collectTape(g *probe.Gathering) error {
	const class = "/sys/class/scsi_tape"
	for _, device := range g.Matching(class, "st[0-9]*") {
		if strings.Trim(device[len("st"):], "0123456789") == "" {
			tape(g, path.Join(class, device, "stats"), device)
		}
	}
	return nil
}

func tape(g *probe.Gathering, dir, device string) {
	for _, c := range tapeCounters {
		if v, ok := g.Number(path.Join(dir, c.file)); ok {
			g.Add(c.key, v/c.divisor, "device", device)
		}
	}
}

func collectNVMe(g *probe.Gathering) error {
	const class = "/sys/class/nvme"
	for _, device := range g.Matching(class, "nvme[0-9]*") {
		dir := path.Join(class, device)
		text := func(file string) string { return g.Text(path.Join(dir, file)) }
		g.Add("info", 1, "cntlid", text("cntlid"), "device", device, "firmware_revision", text("firmware_rev"),
			"model", text("model"), "serial", text("serial"), "state", text("state"))
		for _, ns := range g.Matching(dir, device+"n[0-9]*") {
			namespace(g, path.Join(dir, ns), device, strings.TrimPrefix(ns, device+"n"))
		}
	}
	return nil
}

// sectorBytes is the unit of "size" below /sys, whatever the device's blocks are.
const sectorBytes = 512

func namespace(g *probe.Gathering, dir, device, id string) {
	if state := g.Text(path.Join(dir, "ana_state")); state != "" {
		g.Add("namespace_info", 1, "ana_state", state, "device", device, "nsid", id)
	}
	if v, ok := g.Number(path.Join(dir, "size")); ok {
		g.Add("namespace_capacity_bytes", v*sectorBytes, "device", device, "nsid", id)
		g.Add("namespace_size_bytes", v*sectorBytes, "device", device, "nsid", id)
	}
	block, ok := g.Number(path.Join(dir, "queue/logical_block_size"))
	if !ok {
		return
	}
	g.Add("namespace_logical_block_size_bytes", block, "device", device, "nsid", id)
	g.AddFile("namespace_used_bytes", path.Join(dir, "nuse"), block, "device", device, "nsid", id)
}

// collectMultipath reads the maps of the device mapper that several paths lead to.
func collectMultipath(g *probe.Gathering) error {
	const dir = "/sys/block"
	for _, name := range g.Matching(dir, "dm-[0-9]*") {
		at := path.Join(dir, name)
		uuid := g.Text(path.Join(at, "dm/uuid"))
		if !strings.HasPrefix(uuid, "mpath-") {
			continue
		}
		device := g.Text(path.Join(at, "dm/name"))
		g.Add("device_info", 1, "device", device, "sysfs_name", name, "uuid", uuid)
		g.AddFile("device_size_bytes", path.Join(at, "size"), sectorBytes, "device", device, "sysfs_name", name)
		if suspended, ok := g.Number(path.Join(at, "dm/suspended")); ok {
			g.Add("device_active", 1-min(suspended, 1), "device", device, "sysfs_name", name)
		}
		multipathPaths(g, path.Join(at, "slaves"), device, name)
	}
	return nil
}

func multipathPaths(g *probe.Gathering, dir, device, name string) {
	total, active := 0, 0
	for _, slave := range g.Entries(dir) {
		state := g.Text(path.Join("/sys/block", slave, "device/state"))
		total++
		if state == "running" || state == "live" {
			active++
		}
		if state != "" {
			g.Add("path_state", 1, "device", device, "path", slave, "state", state)
		}
	}
	g.Add("device_paths", float64(total), "device", device, "sysfs_name", name)
	g.Add("device_paths_active", float64(active), "device", device, "sysfs_name", name)
	g.Add("device_paths_failed", float64(total-active), "device", device, "sysfs_name", name)
}

// drbdFields are the counters of /proc/drbd by their names there; sizes are in KiB.
var drbdFields = map[string]struct {
	key  string
	unit float64
}{
	"ns": {"network_sent_bytes_total", 1024}, "nr": {"network_received_bytes_total", 1024},
	"dw": {"disk_written_bytes_total", 1024}, "dr": {"disk_read_bytes_total", 1024},
	"al": {"activitylog_writes_total", 1}, "bm": {"bitmap_writes_total", 1}, "lo": {"local_pending", 1}, "pe": {"remote_pending", 1},
	"ua": {"remote_unacknowledged", 1}, "ap": {"application_pending", 1}, "ep": {"epochs", 1}, "oos": {"out_of_sync_bytes", 1024},
}

// collectDRBD reads lines such as " 1: cs:Connected ro:Primary/Secondary ds:..." and
// "ns:17 nr:0 ..." below them.
func collectDRBD(g *probe.Gathering) error {
	device := ""
	for _, line := range lines(g.Bytes("/proc/drbd")) {
		for _, word := range strings.Fields(line) {
			key, value, ok := strings.Cut(word, ":")
			if ok && value == "" {
				if _, number := probe.ParseNumber(key); number {
					device = "drbd" + key
				}
				continue
			}
			if ok && device != "" {
				drbdWord(g, device, key, value)
			}
		}
	}
	return nil
}

func drbdWord(g *probe.Gathering, device, key, value string) {
	if f, ok := drbdFields[key]; ok {
		if v, ok := probe.ParseNumber(value); ok {
			g.Add(f.key, v*f.unit, "device", device)
		}
		return
	}
	local, remote, _ := strings.Cut(value, "/")
	switch key {
	case "cs":
		g.Add("connected", is(value == "Connected"), "device", device)
	case "ro":
		g.Add("node_role_is_primary", is(local == "Primary"), "device", device, "node", "local")
		g.Add("node_role_is_primary", is(remote == "Primary"), "device", device, "node", "remote")
	case "ds":
		g.Add("disk_state_is_up_to_date", is(local == "UpToDate"), "device", device, "node", "local")
		g.Add("disk_state_is_up_to_date", is(remote == "UpToDate"), "device", device, "node", "remote")
	}
}

// is is 1 for true.
func is(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
