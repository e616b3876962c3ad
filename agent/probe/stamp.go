package probe

// Stamp tells one state of a file or folder from another without reading it. The zero
// Stamp is absence.
type Stamp struct {
	modified int64 // nanoseconds since 1970
	size     int64
	inode    uint64 // 0 where there is none
}

// Stamp returns the present state of a file or folder; links are followed.
func (h *Host) Stamp(path string) Stamp {
	if h.Live() {
		return stampOf(path)
	}
	p, err := h.Path(path)
	if err != nil {
		return Stamp{}
	}
	return stampOf(p)
}

// Mix makes one stamp of several, in their order.
func (s Stamp) Mix(o Stamp) Stamp {
	return Stamp{modified: s.modified*31 + o.modified, size: s.size*31 + o.size, inode: s.inode*31 + o.inode}
}
