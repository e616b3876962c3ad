package patches

import (
	"errors"
	"io/fs"
	"path"

	"atalaya/agent/probe"
)

// inputs remembers every file and folder that a computation looked at, so that the
// next run can tell by stat calls alone whether its outcome still stands.
type inputs struct{ stamps map[string]stamp }

// stamp tells two states of a file apart without reading it; the zero stamp is a file
// that is not there.
type stamp struct {
	mtime int64 // nanoseconds
	size  int64
	inode uint64
}

func newInputs() *inputs { return &inputs{stamps: make(map[string]stamp)} }

func stampOf(h *probe.Host, name string) stamp {
	info, err := h.Stat(name)
	if err != nil {
		return stamp{}
	}
	return stamp{info.ModTime().UnixNano(), info.Size(), times(info).inode}
}

// unchanged reports whether all inputs are as they were.
func (in *inputs) unchanged(h *probe.Host) bool {
	for name, old := range in.stamps {
		if stampOf(h, name) != old {
			return false
		}
	}
	return true
}

func (in *inputs) note(h *probe.Host, name string) { in.stamps[name] = stampOf(h, name) }

// exists notes the file and reports whether it is there.
func (in *inputs) exists(h *probe.Host, name string) bool {
	in.note(h, name)
	return in.stamps[name] != stamp{}
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
	if in.stamps[main] != (stamp{}) {
		names = append(names, main)
	}
	return names
}

func notThere(err error) bool { return errors.Is(err, fs.ErrNotExist) }
