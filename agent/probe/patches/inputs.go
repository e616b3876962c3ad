package patches

import (
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"

	"atalaya/agent/probe"
)

// inputs remembers every file and folder that a computation looked at, so that the
// next run can tell by stat calls alone whether its outcome still stands.
type inputs struct {
	stamps map[string]probe.Stamp
	// problems are what is there and could not be read, of files and folders that may be
	// missing: without them nothing is proven.
	problems []error
}

func newInputs() *inputs { return &inputs{stamps: make(map[string]probe.Stamp)} }

// unchanged reports whether all inputs are as they were.
func (in *inputs) unchanged(h *probe.Host) bool {
	for name, old := range in.stamps {
		if h.Stamp(name) != old {
			return false
		}
	}
	return true
}

func (in *inputs) note(h *probe.Host, name string) { in.stamps[name] = h.Stamp(name) }

// exists notes the file and reports whether it is there.
func (in *inputs) exists(h *probe.Host, name string) bool {
	in.note(h, name)
	return in.stamps[name] != probe.Stamp{}
}

// read notes and reads a file whole.
func (in *inputs) read(h *probe.Host, name string) ([]byte, error) {
	in.note(h, name)
	return h.ReadFile(name)
}

// maybe reads a file that need not be there.
func (in *inputs) maybe(h *probe.Host, name string) []byte {
	data, err := in.read(h, name)
	if err != nil && !probe.Absent(err) {
		in.problems = append(in.problems, err)
	}
	return data
}

// list lists a folder that need not be there.
func (in *inputs) list(h *probe.Host, dir string) []fs.DirEntry {
	in.note(h, dir)
	entries, err := h.ReadDir(dir)
	if err != nil && !probe.Absent(err) {
		in.problems = append(in.problems, err)
	}
	return entries
}

// sections reads the INI files of a folder that need not be there. What can be read of a
// damaged one counts.
func (in *inputs) sections(h *probe.Host, dir string) []*section {
	var all []*section
	for _, e := range in.list(h, dir) {
		sections, _ := parseINI(string(in.maybe(h, path.Join(dir, e.Name()))))
		all = append(all, sections...)
	}
	return all
}

// dropIns lists the files of folders that add to a configuration, in the order of their
// names. A file hides those of its name in the folders after its own.
func (in *inputs) dropIns(h *probe.Host, ext string, dirs ...string) []string {
	found := make(map[string]string)
	for _, dir := range dirs {
		for _, e := range in.list(h, dir) {
			if name := e.Name(); path.Ext(name) == ext && found[name] == "" {
				found[name] = path.Join(dir, name)
			}
		}
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(found)) {
		names = append(names, found[name])
	}
	return names
}

// parts lists the files of a .d folder that apt takes, in apt's order, and last the
// main file if it is there.
func (in *inputs) parts(h *probe.Host, dir, main string, extensions ...string) []string {
	in.note(h, main)
	var names []string
	for _, e := range in.list(h, dir) {
		if !e.IsDir() && partName(e.Name(), extensions) {
			names = append(names, path.Join(dir, e.Name()))
		}
	}
	if in.stamps[main] != (probe.Stamp{}) {
		names = append(names, main)
	}
	return names
}

func notThere(err error) bool { return errors.Is(err, fs.ErrNotExist) }
