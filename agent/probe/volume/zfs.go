package volume

import (
	"path"
	"strings"

	"atalaya/agent/probe"
)

const zfsDir = "/proc/spl/kstat/zfs"

// zpoolStates are the states that a pool can have.
var zpoolStates = [...]string{"online", "degraded", "faulted", "offline", "removed", "unavail", "suspended"}

// collectZFS reads the named counters of OpenZFS. A file is a line of the framework, a
// line of titles, and lines of name, type and value.
func collectZFS(g *probe.Gathering) error {
	entries, err := g.ReadDir(zfsDir)
	if err != nil {
		return nil // no ZFS
	}
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() {
			zpool(g, name)
			continue
		}
		prefix := strings.TrimSuffix(strings.TrimSuffix(name, "stats"), "_")
		if prefix == "dbgmsg" || prefix == "" { // a log
			continue
		}
		kstat(g.Bytes(path.Join(zfsDir, name)), func(key, _ string, v float64) { g.Add(prefix+"_"+key, v) })
		if g.Done() {
			return nil
		}
	}
	return nil
}

// kstatNumbers are the types of the format that are integers: int32, uint32, int64, uint64.
const kstatNumbers = "1234"

// kstat calls add for each number of a named kstat, and with the text for each string.
func kstat(b []byte, add func(key, text string, v float64)) {
	for _, line := range lines(b) {
		f := strings.Fields(line)
		if len(f) < 3 || len(f[1]) != 1 {
			continue
		}
		if f[1] == "7" { // a string, which may hold blanks
			_, text, _ := strings.Cut(line[len(f[0]):], "7")
			add(f[0], strings.Trim(text, " \t"), 0)
			continue
		}
		if v, ok := probe.ParseNumber(f[2]); ok && len(f) == 3 && strings.Contains(kstatNumbers, f[1]) {
			add(f[0], "", v)
		}
	}
}

func zpool(g *probe.Gathering, pool string) {
	dir := path.Join(zfsDir, pool)
	if l := lines(g.Bytes(path.Join(dir, "io"))); len(l) == 3 {
		titles, values := strings.Fields(l[1]), strings.Fields(l[2])
		for i := range min(len(titles), len(values)) {
			if v, ok := probe.ParseNumber(values[i]); ok {
				g.Add("zpool_"+titles[i], v, "zpool", pool)
			}
		}
	}
	if state := strings.ToLower(g.Text(path.Join(dir, "state"))); state != "" {
		for _, s := range zpoolStates {
			g.Add("zpool_state", is(s == state), "state", s, "zpool", pool)
		}
	}
	for _, name := range g.Matching(dir, "objset-*") {
		dataset := ""
		kstat(g.Bytes(path.Join(dir, name)), func(key, text string, v float64) {
			if key == "dataset_name" {
				dataset = text
			} else if dataset != "" && text == "" { // the name stands first
				g.Add("zpool_dataset_"+key, v, "dataset", dataset, "zpool", pool)
			}
		})
	}
}
