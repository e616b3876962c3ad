package probe

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Layered is the machine whose files lie in layers, the topmost first, as overlayfs merges
// them: a container that does not run, or whose root cannot be entered. All layers lie below
// a folder of this machine. See
// https://docs.kernel.org/filesystems/overlayfs.html#whiteouts-and-opaque-directories and, for
// files that begin with ".wh.", https://github.com/opencontainers/image-spec/blob/main/layer.md.
func (h *Host) Layered(folder string, layers []string) (*Host, error) {
	own, err := h.Within(folder)
	if err != nil {
		return nil, err
	}
	for _, layer := range layers {
		p, err := h.resolve(layer, true) // also of the live machine: no place has links
		if err != nil {
			return nil, err
		}
		own.layers = append(own.layers, p)
	}
	return own, nil
}

// whiteout begins the name of a file that hides the one of the rest of the name below it.
const whiteout = ".wh."

// nowhere is in no layer.
const nowhere = whiteout + whiteout + "nowhere"

// places are where a path without links lies in the layers, the topmost first: one, or all of
// a folder's. What is no folder ends the merge: a link below a folder leads nowhere.
func (h *Host) places(name string) (found []string) {
	for _, layer := range h.layers {
		at, last := layer, false
		info, err := os.Lstat(at)
		for _, part := range strings.Split(strings.Trim(name, "/"), "/") {
			if part == "" || err != nil {
				continue
			}
			if !info.IsDir() && !isPipe(info.Mode()) { // of a pipe the caller tells
				return found
			}
			last = last || isOpaque(at)
			if _, hidden := os.Lstat(filepath.Join(at, whiteout+part)); hidden == nil {
				return found
			}
			at = filepath.Join(at, part)
			if info, err = os.Lstat(at); err == nil && isWhiteout(info) {
				return found
			}
		}
		switch {
		case err == nil && (info.IsDir() || len(found) == 0):
			found = append(found, at)
			last = last || !info.IsDir() || isOpaque(at)
		case err == nil || !errors.Is(err, fs.ErrNotExist): // a file below a folder, or not to be seen
			if len(found) == 0 {
				found = append(found, at)
			}
			last = true
		}
		if last {
			return found
		}
	}
	return found
}

// isOpaque reports whether a folder hides all that layers below it have in the same place.
func isOpaque(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, whiteout+whiteout+".opq"))
	return err == nil || mark(dir, "opaque") == 'y'
}

var errRenamed = errors.New("renamed in a layer: what it has of the layers below is not read")

// merged lists a folder of all layers.
func (h *Host) merged(name string) ([]fs.DirEntry, error) {
	at, err := h.follow(name, true)
	if err != nil {
		return nil, err
	}
	places := h.places(at)
	if len(places) == 0 {
		return nil, fs.ErrNotExist
	}
	var all []fs.DirEntry
	known := make(map[string]bool) // also of what is hidden in the layers below
	for _, place := range places {
		entries, bad := h.readDir(place)
		if bad == nil && mark(place, "redirect") != 0 {
			bad = errRenamed
		}
		if bad != nil {
			err = bad
		}
		for _, e := range entries {
			name, hidden := strings.CutPrefix(e.Name(), whiteout)
			if !hidden && e.Type()&fs.ModeCharDevice != 0 {
				info, err := e.Info()
				hidden = err == nil && isWhiteout(info)
			}
			if !known[name] && !hidden {
				all = append(all, e)
			}
			known[name] = true
		}
	}
	slices.SortFunc(all, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return all, err
}

// layerOf is the layer in which a place lies, or else the folder of all.
func (h *Host) layerOf(place string) string {
	for _, layer := range h.layers {
		if strings.HasPrefix(place, layer+string(filepath.Separator)) {
			return layer
		}
	}
	return h.root
}

// join is where a path without links lies on this machine.
func (h *Host) join(name string) string {
	if h.layers == nil {
		return filepath.Join(h.root, filepath.FromSlash(name))
	}
	if found := h.places(name); len(found) > 0 {
		return found[0]
	}
	return filepath.Join(h.root, nowhere, path.Clean(name))
}
