package memory

import (
	"path"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/metric"
)

// Probes returns the metric probes of what is read less often than at every tick, or only
// where it is asked for.
func Probes() []probe.Probe {
	return []probe.Probe{
		probe.Every(pagingPeriod, "vmstat", probe.Source{Path: "/proc/vmstat", Optional: true, Parse: parseVmstat}),
		probe.Gather(probe.Info{Name: "meminfo"}, &metric.Meminfo, collectMeminfo),
		probe.Gather(probe.Info{Name: "meminfo_numa"}, &metric.MeminfoNUMA, collectNUMA),
		probe.Gather(probe.Info{Name: "zoneinfo"}, &metric.Zoneinfo, collectZones),
		probe.Gather(probe.Info{Name: "buddyinfo"}, &metric.Buddyinfo, collectBuddies),
		probe.Gather(probe.Info{Name: "slabinfo"}, &metric.Slabinfo, collectSlabs),
		probe.Gather(probe.Info{Name: "ksmd"}, &metric.KSM, collectKSM),
		probe.Gather(probe.Info{Name: "swap"}, &metric.SwapDevices, collectSwaps),
	}
}

func lines(b []byte) []string {
	return strings.FieldsFunc(string(b), func(r rune) bool { return r == '\n' || r == '\r' })
}

// amount reads "24684096 kB" or a bare number.
func amount(f []string) (v float64, bytes, ok bool) {
	if len(f) == 0 {
		return 0, false, false
	}
	v, ok = probe.ParseNumber(f[0])
	if len(f) > 1 && f[1] == "kB" {
		return v * 1024, true, ok
	}
	return v, false, ok
}

// fieldKey turns the name "Active(anon)" into Active_anon.
func fieldKey(name string) string {
	return metric.Key(strings.ReplaceAll(strings.ReplaceAll(name, "(", "_"), ")", ""))
}

// collectMeminfo reports the fields that the tick leaves out.
func collectMeminfo(g *probe.Gathering) error {
	for _, line := range lines(g.Bytes("/proc/meminfo")) {
		name, value, _ := strings.Cut(line, ":")
		v, bytes, ok := amount(strings.Fields(value))
		if !ok || meminfo[name] != nil {
			continue
		}
		key := fieldKey(name)
		if bytes {
			key += "_bytes"
		}
		g.Add(key, v)
	}
	return nil
}

const nodeDir = "/sys/devices/system/node"

// collectNUMA reads "Node 0 MemTotal: 134182340 kB" and "numa_hit 193460335812".
func collectNUMA(g *probe.Gathering) error {
	for _, name := range g.Matching(nodeDir, "node[0-9]*") {
		node := strings.TrimPrefix(name, "node")
		for _, line := range lines(g.Bytes(path.Join(nodeDir, name, "meminfo"))) {
			head, value, _ := strings.Cut(line, ":")
			f := strings.Fields(head)
			if v, _, ok := amount(strings.Fields(value)); ok && len(f) == 3 {
				g.Add(fieldKey(f[2]), v, "node", node)
			}
		}
		for _, line := range lines(g.Bytes(path.Join(nodeDir, name, "numastat"))) {
			f := strings.Fields(line)
			if len(f) != 2 {
				continue
			}
			if v, ok := probe.ParseNumber(f[1]); ok {
				g.Add(f[0]+"_total", v, "node", node)
			}
		}
	}
	return nil
}

// collectZones reads the zones of /proc/zoneinfo: "Node 0, zone DMA32" and below it
// names with one number. What stands before the first "pages" concerns the node.
func collectZones(g *probe.Gathering) error {
	node, zone := "", ""
	for _, line := range lines(g.Bytes("/proc/zoneinfo")) {
		f := strings.Fields(line)
		switch {
		case len(f) == 4 && f[0] == "Node" && f[2] == "zone":
			node, zone = strings.TrimSuffix(f[1], ","), f[3]
		case zone == "" || len(f) < 2:
		case f[0] == "protection:":
			for i, field := range f[1:] {
				if v, ok := probe.ParseNumber(strings.Trim(field, "(,)")); ok {
					g.Add("protection_"+strconv.Itoa(i), v, "node", node, "zone", zone)
				}
			}
		case len(f) == 2:
			if v, ok := probe.ParseNumber(f[1]); ok && !strings.HasSuffix(f[0], ":") {
				g.Add(zoneKey(f[0]), v, "node", node, "zone", zone)
			}
		}
	}
	return nil
}

// zoneKey names the family of a field: pages unless it counts events.
func zoneKey(name string) string {
	switch {
	case name == "nr_dirtied" || name == "nr_written" || strings.HasPrefix(name, "numa_"):
		return name + "_total"
	case name == "nr_kernel_stack":
		return "nr_kernel_stacks"
	case strings.HasSuffix(name, "_pages") || strings.HasSuffix(name, "hugepages"):
		return name
	}
	return name + "_pages"
}

// collectBuddies reads "Node 0, zone DMA 1 0 1 ...": free blocks by order.
func collectBuddies(g *probe.Gathering) error {
	for _, line := range lines(g.Bytes("/proc/buddyinfo")) {
		f := strings.Fields(line)
		if len(f) < 5 || f[0] != "Node" {
			continue
		}
		for order, field := range f[4:] {
			if v, ok := probe.ParseNumber(field); ok {
				g.Add("blocks", v, "node", strings.TrimSuffix(f[1], ","), "size", strconv.Itoa(order), "zone", f[3])
			}
		}
	}
	return nil
}

// collectSlabs reads slabinfo(5): name, active objects, objects, size, per slab, pages.
func collectSlabs(g *probe.Gathering) error {
	keys := [...]string{"active_objects", "objects", "object_size_bytes", "objects_per_slab", "pages_per_slab"}
	for _, line := range lines(g.Bytes("/proc/slabinfo")) {
		f := strings.Fields(line)
		if len(f) < 6 || f[0] == "#" || f[0] == "slabinfo" {
			continue
		}
		for i, key := range keys {
			if v, ok := probe.ParseNumber(f[i+1]); ok {
				g.Add(key, v, "slab", f[0])
			}
		}
	}
	return nil
}

// ksmFiles are the attributes of kernel same-page merging (Documentation/admin-guide/mm/ksm.rst).
var ksmFiles = map[string]string{
	"full_scans": "full_scans_total", "merge_across_nodes": "merge_across_nodes", "pages_shared": "pages_shared",
	"pages_sharing": "pages_sharing", "pages_to_scan": "pages_to_scan", "pages_unshared": "pages_unshared",
	"pages_volatile": "pages_volatile", "run": "run", "general_profit": "general_profit_bytes",
}

func collectKSM(g *probe.Gathering) error {
	const dir = "/sys/kernel/mm/ksm"
	for file, key := range ksmFiles {
		g.AddFile(key, path.Join(dir, file), 1)
	}
	if v, ok := g.Number(path.Join(dir, "sleep_millisecs")); ok {
		g.Add("sleep_seconds", v/1000)
	}
	return nil
}

// collectSwaps reads /proc/swaps: file, type, size and use in KiB, priority.
func collectSwaps(g *probe.Gathering) error {
	for _, line := range lines(g.Bytes("/proc/swaps")) {
		f := strings.Fields(line)
		if len(f) != 5 || f[0] == "Filename" {
			continue
		}
		size, ok1 := probe.ParseNumber(f[2])
		used, ok2 := probe.ParseNumber(f[3])
		priority, ok3 := probe.ParseNumber(f[4])
		if ok1 && ok2 && ok3 {
			g.Add("size_bytes", size*1024, "device", f[0], "swap_type", f[1])
			g.Add("used_bytes", used*1024, "device", f[0], "swap_type", f[1])
			g.Add("priority", priority, "device", f[0], "swap_type", f[1])
		}
	}
	return nil
}
