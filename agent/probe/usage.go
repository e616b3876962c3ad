package probe

import (
	"fmt"
	"strings"
)

// Usage is how full a file system is, in bytes and in numbers of files.
type Usage struct {
	Size, Free, Avail uint64
	Files, FilesFree  uint64 // both 0 where the file system does not count them (btrfs)
}

// StatFSTask is the Task of a helper that asks a file system how full it is; its answer
// is for ParseUsage.
const StatFSTask = "statfs"

// StatFSAnswer is what a helper does for StatFSTask.
func StatFSAnswer(path string) ([]byte, error) {
	u, err := StatFS(path)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%d %d %d %d %d", u.Size, u.Free, u.Avail, u.Files, u.FilesFree), nil
}

// ParseUsage reads the answer to StatFSTask.
func ParseUsage(b []byte) (Usage, error) {
	var u Usage
	rest := b
	for _, n := range []*uint64{&u.Size, &u.Free, &u.Avail, &u.Files, &u.FilesFree} {
		var field []byte
		var ok bool
		field, rest = NextField(rest)
		if *n, ok = ParseUint(field); !ok {
			return Usage{}, NotUnderstood(b)
		}
	}
	if len(rest) > 0 {
		return Usage{}, NotUnderstood(b)
	}
	return u, nil
}

// remoteTypes are file systems of another machine or of a process, which may not answer.
var remoteTypes = func() map[string]bool {
	m := make(map[string]bool)
	for t := range strings.FieldsSeq(`9p afs beegfs ceph cifs coda davfs fuse fuseblk gfs gfs2 glusterfs gpfs hgfs
		lustre ncpfs nfs nfs4 ocfs2 orangefs prl_fs pvfs2 shfs smb3 smbfs vboxsf virtiofs vmhgfs`) {
		m[t] = true
	}
	return m
}()

// RemoteFS reports whether a file system of this type may never answer: one that is on
// the network or in user space.
func RemoteFS(fstype string) bool {
	return remoteTypes[fstype] || strings.HasPrefix(fstype, "fuse.")
}

// Suspects tells which mount points must not be touched: those of file systems that may
// never answer, and all that is reached through them.
type Suspects struct {
	points map[string]bool
	root   bool
}

// Add notes a mount.
func (s *Suspects) Add(point, fstype string) {
	switch {
	case !RemoteFS(fstype):
	case point == "/":
		s.root = true // what is below is reached in memory: without it no program would run
	default:
		if s.points == nil {
			s.points = make(map[string]bool)
		}
		s.points[point] = true
	}
}

// Has reports whether the path is a suspect one or lies below one.
func (s *Suspects) Has(path string) bool {
	if path == "/" {
		return s.root
	}
	for len(s.points) > 0 && path != "" {
		if s.points[path] {
			return true
		}
		path = path[:max(strings.LastIndexByte(path, '/'), 0)]
	}
	return false
}
