package probe

import "io/fs"

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
	info, err := h.lstat(p) // no link is left
	if err != nil {
		return Stamp{}
	}
	return stampFrom(info)
}

func stampFrom(info fs.FileInfo) Stamp {
	return Stamp{modified: info.ModTime().UnixNano(), size: info.Size(), inode: inodeOf(info)}
}

// Mix makes one stamp of several, in their order.
func (s Stamp) Mix(o Stamp) Stamp {
	return Stamp{modified: s.modified*31 + o.modified, size: s.size*31 + o.size, inode: s.inode*31 + o.inode}
}
