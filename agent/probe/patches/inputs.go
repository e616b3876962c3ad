package patches

import (
	"errors"
	"io/fs"
	"path"

	"atalaya/agent/probe"
)

// inputs remembers every file and folder that a computation looked at, so that the
// next run can tell by stat calls alone whether its outcome still stands.
type inputs struct{ stamps map[string]probe.Stamp }

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

// parts lists the files of a .d folder that apt takes, in apt's order, and last the
// main file if it is there.
func (in *inputs) parts(h *probe.Host, dir, main string, extensions ...string) []string {
	in.note(h, dir)
	in.note(h, main)
	var names []string
	entries, _ := h.ReadDir(dir) // a missing folder has no files
	for _, e := range entries {
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
