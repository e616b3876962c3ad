package volume

import (
	"math"
	"path"
	"strings"

	"atalaya/agent/probe"
)

const bcachefsDir = "/sys/fs/bcachefs"

func collectBcachefs(g *probe.Gathering) error {
	for _, uuid := range g.Matching(bcachefsDir, "*-*") {
		dir := path.Join(bcachefsDir, uuid)
		g.Add("info", 1, "uuid", uuid)
		if v, ok := size(g.Text(path.Join(dir, "btree_cache_size"))); ok {
			g.Add("btree_cache_size_bytes", v, "uuid", uuid)
		}
		for _, name := range g.Entries(path.Join(dir, "counters")) {
			if v, ok := sinceCreation(g.Bytes(path.Join(dir, "counters", name))); ok {
				g.Add(name+"_total", v, "uuid", uuid)
			}
		}
		bcachefsTables(g, dir, uuid)
		for _, name := range g.Matching(dir, "dev-*") {
			bcachefsDevice(g, path.Join(dir, name), strings.TrimPrefix(name, "dev-"), uuid)
		}
		if g.Done() {
			return nil
		}
	}
	return nil
}

// sinceCreation takes the second of "since mount: 71" and "since filesystem creation: 11706".
func sinceCreation(b []byte) (float64, bool) {
	for _, line := range lines(b) {
		if value, ok := strings.CutPrefix(line, "since filesystem creation:"); ok {
			return size(strings.TrimSpace(value))
		}
	}
	return 0, false
}

// bcachefsTables reads the tables of the file system as a whole, each with its title line.
func bcachefsTables(g *probe.Gathering, dir, uuid string) {
	for _, line := range lines(g.Bytes(path.Join(dir, "compression_stats"))) {
		f := strings.Fields(line) // algorithm, compressed, uncompressed, average extent
		if len(f) != 4 {
			continue
		}
		if v, ok := size(f[1]); ok {
			g.Add("compression_compressed_bytes", v, "algorithm", f[0], "uuid", uuid)
		}
		if v, ok := size(f[2]); ok {
			g.Add("compression_uncompressed_bytes", v, "algorithm", f[0], "uuid", uuid)
		}
	}
	for _, line := range lines(g.Bytes(path.Join(dir, "btree_write_stats"))) {
		f := strings.Fields(line) // "initial:", number, average size
		if len(f) != 3 || !strings.HasSuffix(f[0], ":") {
			continue
		}
		kind := strings.TrimSuffix(f[0], ":")
		if v, ok := size(f[1]); ok {
			g.Add("btree_writes_total", v, "type", kind, "uuid", uuid)
		}
		if v, ok := size(f[2]); ok {
			g.Add("btree_write_average_size_bytes", v, "type", kind, "uuid", uuid)
		}
	}
	for _, line := range lines(g.Bytes(path.Join(dir, "errors"))) {
		f := strings.Fields(line) // kind, number, time of the last
		if len(f) < 2 {
			continue
		}
		if v, ok := probe.ParseNumber(f[1]); ok {
			g.Add("errors_total", v, "error_type", f[0], "uuid", uuid)
		}
	}
}

func bcachefsDevice(g *probe.Gathering, dir, device, uuid string) {
	g.Add("device_info", 1, "device", device, "label", g.Text(path.Join(dir, "label")),
		"state", chosen(g.Text(path.Join(dir, "state"))), "uuid", uuid)
	for file, key := range map[string]string{"bucket_size": "device_bucket_size_bytes", "nbuckets": "device_buckets", "durability": "device_durability"} {
		if v, ok := size(g.Text(path.Join(dir, file))); ok {
			g.Add(key, v, "device", device, "uuid", uuid)
		}
	}
	created := false
	for _, line := range lines(g.Bytes(path.Join(dir, "io_errors"))) {
		if strings.HasPrefix(line, "IO errors since") {
			created = strings.HasSuffix(line, "filesystem creation")
			continue
		}
		kind, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if v, ok := probe.ParseNumber(strings.TrimSpace(value)); ok && created {
			g.Add("device_io_errors_total", v, "device", device, "type", kind, "uuid", uuid)
		}
	}
	operation := ""
	for _, line := range lines(g.Bytes(path.Join(dir, "io_done"))) {
		kind, value, _ := strings.Cut(line, ":")
		kind, value = strings.TrimSpace(kind), strings.TrimSpace(value)
		if value == "" {
			operation = kind // "read:", "write:"
		} else if v, ok := probe.ParseNumber(value); ok && operation != "" {
			g.Add("device_io_done_bytes_total", v, "data_type", kind, "device", device, "operation", operation, "uuid", uuid)
		}
	}
}

// chosen returns what stands in brackets of "[rw] ro evacuating spare".
func chosen(s string) string {
	_, rest, ok := strings.Cut(s, "[")
	word, _, ok2 := strings.Cut(rest, "]")
	if !ok || !ok2 {
		return s
	}
	return word
}

// size reads a number of bcachefs such as "28.2k", in whole units.
func size(s string) (float64, bool) {
	if s == "" {
		return 0, false
	}
	unit := 1.0
	if i := strings.IndexByte(units, s[len(s)-1]); i >= 0 {
		unit, s = math.Pow(1024, float64(i+1)), s[:len(s)-1]
	}
	v, ok := probe.ParseNumber(s)
	return math.Trunc(v * unit), ok
}
