package probe

import (
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"
	"time"
)

// Dir is an open folder with many entries, of which few count or of which little is
// asked. Unlike ReadDir it neither sorts nor keeps them.
type Dir struct {
	f      *os.File
	merged []fs.DirEntry // of all layers, if there is no f
	err    error
}

// OpenDir opens a folder, and waits for nobody if there is a pipe in its place. The caller
// closes it.
func (h *Host) OpenDir(name string) (*Dir, error) {
	if h.layers != nil {
		entries, err := h.ReadDir(name)
		return &Dir{merged: entries}, err
	}
	p, err := h.Path(name)
	if err != nil {
		return nil, h.note("open", name, err)
	}
	f, err := h.openFolder(p)
	if err != nil {
		return nil, h.note("open", name, err)
	}
	return &Dir{f: f}, nil
}

// openFolder opens the folder at a place that was resolved.
func (h *Host) openFolder(p string) (*os.File, error) {
	if h.Live() {
		return openFolder(p)
	}
	return openBeneath(h.layerOf(p), p, toList)
}

// readDir lists the folder at a place that was resolved as os.ReadDir does, with an error
// where it has more than maxEntries.
func (h *Host) readDir(p string) ([]fs.DirEntry, error) {
	f, err := h.openFolder(p)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read only: nothing can be lost
	entries, err := f.ReadDir(h.maxEntries + 1)
	if errors.Is(err, io.EOF) { // it is empty
		err = nil
	}
	if len(entries) > h.maxEntries {
		entries, err = entries[:h.maxEntries], errMany
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

// dirBatch is how many names are read at once.
const dirBatch = 512

// Names yields the names of the entries, once, in the order of the file system. Err
// says whether those were all.
func (d *Dir) Names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, e := range d.merged {
			if !yield(e.Name()) {
				return
			}
		}
		for d.f != nil {
			names, err := d.f.Readdirnames(dirBatch)
			for _, name := range names {
				if !yield(name) {
					return
				}
			}
			if err != nil {
				if !errors.Is(err, io.EOF) {
					d.err = err
				}
				return
			}
		}
	}
}

// Err returns the error that ended Names before all names were read.
func (d *Dir) Err() error { return d.err }

// Modified returns when the content of a regular file in this folder was last changed;
// the zero time for anything else, and in layers. Links are not followed.
func (d *Dir) Modified(name string) time.Time {
	if d.f == nil {
		return time.Time{}
	}
	return d.modified(name)
}

// Close closes the folder.
func (d *Dir) Close() error {
	if d.f == nil {
		return nil
	}
	return d.f.Close()
}
