package volume

import (
	"math"
	"path"
	"strings"

	"atalaya/agent/probe"
)

// bcacheSet are the numbers of a cache set; durations are in microseconds.
var bcacheSet = [...]struct {
	file, key string
	scale     float64
}{
	{"average_key_size", "average_key_size_sectors", 1}, {"btree_cache_size", "btree_cache_size_bytes", 1},
	{"cache_available_percent", "cache_available_percent", 1}, {"congested", "congested", 1},
	{"root_usage_percent", "root_usage_percent", 1}, {"tree_depth", "tree_depth", 1},
	{"internal/active_journal_entries", "active_journal_entries", 1}, {"internal/btree_nodes", "btree_nodes", 1},
	{"internal/btree_read_average_duration_us", "btree_read_average_duration_seconds", 1e-6},
	{"internal/cache_read_races", "cache_read_races_total", 1},
}

// bcacheHits are the counters of stats_total of a backing device.
var bcacheHits = map[string]string{
	"bypassed": "bypassed_bytes_total", "cache_hits": "cache_hits_total", "cache_misses": "cache_misses_total",
	"cache_bypass_hits": "cache_bypass_hits_total", "cache_bypass_misses": "cache_bypass_misses_total",
	"cache_miss_collisions": "cache_miss_collisions_total", "cache_readaheads": "cache_readaheads_total",
}

// bcacheRates are the lines of writeback_rate_debug that we take.
var bcacheRates = map[string]string{
	"rate": "writeback_rate", "proportional": "writeback_rate_proportional_term",
	"integral": "writeback_rate_integral_term", "change": "writeback_change", "target": "dirty_target_bytes",
}

func collectBcache(g *probe.Gathering) error {
	const dir = "/sys/fs/bcache"
	for _, uuid := range g.Matching(dir, "*-*") {
		set := path.Join(dir, uuid)
		for _, n := range bcacheSet {
			if v, ok := humanNumber(g.Text(path.Join(set, n.file))); ok {
				g.Add(n.key, v*n.scale, "uuid", uuid)
			}
		}
		for _, device := range g.Matching(set, "bdev[0-9]*") {
			bcacheBacking(g, path.Join(set, device), device, uuid)
		}
		for _, device := range g.Matching(set, "cache[0-9]*") {
			bcacheCache(g, path.Join(set, device), device, uuid)
		}
	}
	return nil
}

func bcacheBacking(g *probe.Gathering, dir, device, uuid string) {
	for file, key := range bcacheHits {
		if v, ok := humanNumber(g.Text(path.Join(dir, "stats_total", file))); ok {
			g.Add(key, v, "backing_device", device, "uuid", uuid)
		}
	}
	if v, ok := humanNumber(g.Text(path.Join(dir, "dirty_data"))); ok {
		g.Add("dirty_data_bytes", v, "backing_device", device, "uuid", uuid)
	}
	for _, line := range lines(g.Bytes(path.Join(dir, "writeback_rate_debug"))) {
		name, value, _ := strings.Cut(line, ":")
		value, _, _ = strings.Cut(strings.TrimSpace(value), "/") // "1.1M/sec"
		if v, ok := humanNumber(value); ok && bcacheRates[name] != "" {
			g.Add(bcacheRates[name], v, "backing_device", device, "uuid", uuid)
		}
	}
}

func bcacheCache(g *probe.Gathering, dir, device, uuid string) {
	for file, key := range map[string]string{
		"io_errors": "io_errors", "written": "written_bytes_total", "metadata_written": "metadata_written_bytes_total",
	} {
		if v, ok := humanNumber(g.Text(path.Join(dir, file))); ok {
			g.Add(key, v, "cache_device", device, "uuid", uuid)
		}
	}
	for _, line := range lines(g.Bytes(path.Join(dir, "priority_stats"))) {
		name, value, _ := strings.Cut(line, ":")
		percent, isPercent := strings.CutSuffix(strings.TrimSpace(value), "%")
		if v, ok := probe.ParseNumber(percent); ok && isPercent {
			g.Add("priority_stats_"+strings.ToLower(name)+"_percent", v, "cache_device", device, "uuid", uuid)
		}
	}
}

// units are the suffixes of sizes for people, each 1024 times the one before.
const units = "kMGTPEZY"

// humanNumber reads a number of bcache such as "427.5k". The digit after the point is
// what is left of 1024, in tenths of a thousand: that is how the kernel prints it,
// and how node_exporter reads it.
func humanNumber(s string) (float64, bool) {
	if s == "" {
		return 0, false
	}
	unit := 1.0
	if i := strings.IndexByte(units, s[len(s)-1]); i >= 0 {
		unit, s = math.Pow(1024, float64(i+1)), s[:len(s)-1]
	}
	whole, tenths, cut := strings.Cut(s, ".")
	v, ok := probe.ParseNumber(whole)
	if !ok || !cut {
		return v * unit, ok
	}
	d, ok := probe.ParseNumber(tenths)
	return v*unit + d*100*unit/1024, ok && len(tenths) == 1
}
