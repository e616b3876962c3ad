package volume

import (
	"path"
	"strings"

	"atalaya/agent/probe"
)

const btrfsDir = "/sys/fs/btrfs"

func collectBtrfs(g *probe.Gathering) error {
	for _, uuid := range g.Entries(btrfsDir) {
		dir := path.Join(btrfsDir, uuid)
		if _, err := g.Stat(path.Join(dir, "allocation")); err != nil { // "features", "debug"
			continue
		}
		g.Add("info", 1, "label", g.Text(path.Join(dir, "label")), "uuid", uuid)
		g.AddFile("global_rsv_size_bytes", path.Join(dir, "allocation/global_rsv_size"), 1, "uuid", uuid)
		devices := g.Entries(path.Join(dir, "devices"))
		for _, device := range devices {
			g.AddFile("device_size_bytes", path.Join(dir, "devices", device, "size"), sectorBytes, "device", device, "uuid", uuid)
		}
		btrfsCommits(g, dir, uuid)
		btrfsErrors(g, dir, uuid)
		for _, kind := range []string{"data", "metadata", "system"} {
			btrfsBlocks(g, path.Join(dir, "allocation", kind), kind, uuid, float64(len(devices)))
		}
	}
	return nil
}

// btrfsCommits reads commit_stats, which Linux 6.0 brought: name and number in a line.
func btrfsCommits(g *probe.Gathering, dir, uuid string) {
	keys := map[string]string{
		"last_commit_ms": "last_commit_seconds", "max_commit_ms": "max_commit_seconds", "total_commit_ms": "commit_seconds_total",
	}
	for _, line := range lines(g.Bytes(path.Join(dir, "commit_stats"))) {
		name, value, _ := strings.Cut(line, " ")
		v, ok := probe.ParseNumber(value)
		if !ok {
			continue
		}
		if name == "commits" {
			g.Add("commits_total", v, "uuid", uuid)
		} else if key := keys[name]; key != "" {
			g.Add(key, v/1000, "uuid", uuid)
		}
	}
}

// btrfsErrors reads the error_stats of each device, which Linux 5.14 brought.
func btrfsErrors(g *probe.Gathering, dir, uuid string) {
	for _, id := range g.Entries(path.Join(dir, "devinfo")) {
		for _, line := range lines(g.Bytes(path.Join(dir, "devinfo", id, "error_stats"))) {
			name, value, _ := strings.Cut(line, " ")
			if v, ok := probe.ParseNumber(strings.TrimSpace(value)); ok {
				g.Add("device_errors_total", v, "device", id, "type", strings.TrimSuffix(name, "_errs"), "uuid", uuid)
			}
		}
	}
}

func btrfsBlocks(g *probe.Gathering, dir, kind, uuid string, devices float64) {
	g.AddFile("reserved_bytes", path.Join(dir, "bytes_reserved"), 1, "block_group_type", kind, "uuid", uuid)
	for _, profile := range g.Entries(dir) {
		at := path.Join(dir, profile)
		if _, err := g.Stat(path.Join(at, "total_bytes")); err != nil {
			continue
		}
		labels := []string{"block_group_type", kind, "mode", profile, "uuid", uuid}
		g.AddFile("size_bytes", path.Join(at, "total_bytes"), 1, labels...)
		g.AddFile("used_bytes", path.Join(at, "used_bytes"), 1, labels...)
		if ratio := btrfsRatio(profile, devices); ratio > 0 {
			g.Add("allocation_ratio", ratio, labels...)
		}
	}
}

// btrfsRatio is how many bytes of the devices one byte of a profile takes: the number
// of copies, or what parity adds on so many devices. 0 when it is not known.
func btrfsRatio(profile string, devices float64) float64 {
	switch profile {
	case "single", "raid0":
		return 1
	case "dup", "raid1", "raid10":
		return 2
	case "raid1c3":
		return 3
	case "raid1c4":
		return 4
	case "raid5":
		if devices > 1 {
			return devices / (devices - 1)
		}
	case "raid6":
		if devices > 2 {
			return devices / (devices - 2)
		}
	}
	return 0
}

// xfsCounters are the families by the first word of a line, in the order of its
// values; "" is one that we leave out (fs/xfs/xfs_stats.h).
var xfsCounters = map[string][]string{
	"extent_alloc": {"extent_allocation_extents_allocated", "extent_allocation_blocks_allocated", "extent_allocation_extents_freed", "extent_allocation_blocks_freed"},
	"abt":          {"allocation_btree_lookups", "allocation_btree_compares", "allocation_btree_records_inserted", "allocation_btree_records_deleted"},
	"blk_map": {"block_mapping_reads", "block_mapping_writes", "block_mapping_unmaps", "block_mapping_extent_list_insertions",
		"block_mapping_extent_list_deletions", "block_mapping_extent_list_lookups", "block_mapping_extent_list_compares"},
	"bmbt": {"block_map_btree_lookups", "block_map_btree_compares", "block_map_btree_records_inserted", "block_map_btree_records_deleted"},
	"dir":  {"directory_operation_lookup", "directory_operation_create", "directory_operation_remove", "directory_operation_getdents"},
	"ig": {"inode_operation_attempts", "inode_operation_found", "inode_operation_recycled", "inode_operation_missed",
		"inode_operation_duplicates", "inode_operation_reclaims", "inode_operation_attribute_changes"},
	"rw":     {"write_calls", "read_calls"},
	"vnodes": {"vnode_active", "vnode_allocate", "vnode_get", "vnode_hold", "vnode_release", "vnode_reclaim", "vnode_remove"},
}

func collectXFS(g *probe.Gathering) error {
	const dir = "/sys/fs/xfs"
	for _, device := range g.Entries(dir) {
		if device == "stats" { // of all devices together
			continue
		}
		for _, line := range lines(g.Bytes(path.Join(dir, device, "stats/stats"))) {
			f := strings.Fields(line)
			if len(f) == 0 {
				continue
			}
			for i, key := range xfsCounters[f[0]] {
				if i+1 >= len(f) {
					break
				}
				if v, ok := probe.ParseNumber(f[i+1]); ok {
					g.Add(key+"_total", v, "device", device)
				}
			}
		}
	}
	return nil
}
