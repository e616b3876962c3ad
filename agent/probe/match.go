package probe

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"syscall"
)

// Match is Glob that does not take for absent what may not be read: it returns the paths
// that match, sorted, and the first error other than that something is not there.
func (h *Host) Match(pattern string) (found []string, problem error) {
	note := func(err error) {
		if err != nil && problem == nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			problem = err
		}
	}
	found = []string{"/"}
	for part := range strings.SplitSeq(strings.Trim(pattern, "/"), "/") {
		var next []string
		for _, dir := range found {
			if !strings.ContainsAny(part, `*?[\`) {
				next = append(next, path.Join(dir, part))
				continue
			}
			entries, err := h.ReadDir(dir)
			note(err)
			for _, e := range entries {
				if ok, _ := path.Match(part, e.Name()); ok { // the patterns are ours
					next = append(next, path.Join(dir, e.Name()))
				}
			}
		}
		found = next
	}
	var out []string
	for _, name := range found {
		err := h.there(name)
		if err == nil {
			out = append(out, name)
		}
		note(err)
	}
	return out, problem
}

// there returns nil for what exists, be it a link that leads nowhere.
func (h *Host) there(name string) error {
	p := name
	if !h.Live() {
		var err error
		if p, err = h.resolve(name, false); err != nil {
			return err
		}
	}
	_, err := h.lstat(p)
	return h.note("stat", name, err)
}

// Holds returns nil for a folder that can be listed; errors.ErrUnsupported with the name
// for one that is not there.
func (h *Host) Holds(folder string) error {
	d, err := h.OpenDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no %s: %w", folder, errors.ErrUnsupported)
	}
	if err != nil {
		return err
	}
	return d.Close()
}
