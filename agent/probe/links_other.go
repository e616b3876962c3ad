//go:build !linux

package probe

// Links calls visit with the target of each link in a folder.
func (h *Host) Links(folder string, visit func(target []byte)) error {
	entries, err := h.ReadDir(folder)
	for _, e := range entries {
		if target, err := h.Readlink(folder + "/" + e.Name()); err == nil { // else it is no link
			visit([]byte(target))
		}
	}
	return err
}
