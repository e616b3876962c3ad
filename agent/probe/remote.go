package probe

import (
	"path"
	"strings"
)

// Remotes knows which folders lie on file systems that another machine or a program
// serves, and that may therefore not answer.
type Remotes struct {
	host   *Host
	mounts map[string]bool // mount points, remote ones true
}

// Remotes reads the table of mounts of this process. Below a root nothing is remote.
func (h *Host) Remotes() *Remotes {
	r := &Remotes{host: h, mounts: make(map[string]bool)}
	if !h.Live() {
		return r
	}
	table, err := h.ReadFile("/proc/self/mountinfo")
	if err == nil {
		r.parse(string(table))
	}
	return r
}

// parse reads proc_pid_mountinfo(5): the fifth field is the mount point, the type follows
// the field "-".
func (r *Remotes) parse(table string) {
	for line := range strings.Lines(table) {
		head, tail, ok := strings.Cut(line, " - ")
		f, t := strings.Fields(head), strings.Fields(tail)
		if ok && len(f) >= 5 && len(t) > 0 {
			r.mounts[unescape.Replace(f[4])] = remoteType(t[0])
		}
	}
}

// unescape undoes how the kernel writes blanks and backslashes in paths.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

func remoteType(t string) bool {
	switch t {
	case "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "afs", "lustre", "gpfs", "gfs2", "ocfs2", "ncpfs", "coda", "virtiofs", "autofs", "davfs":
		return true
	}
	return strings.HasPrefix(t, "fuse") && t != "fusectl"
}

// Hold reports whether a path is or leads through a remote file system. No part of a
// path is asked for before it is known to be local.
func (r *Remotes) Hold(name string) bool {
	done, rest := "/", name
	for links := 0; ; {
		if r.mounts[done] {
			return true
		}
		var part string
		part, rest, _ = strings.Cut(strings.TrimLeft(rest, "/"), "/")
		if part == "" {
			return false
		}
		next := path.Join(done, part)
		target := ""
		if !r.mounts[next] && len(r.mounts) > 0 {
			target, _ = r.host.Readlink(next) // not a link, or not there
		}
		if target == "" {
			done = next
			continue
		}
		if links++; links > maxLinks {
			return true
		}
		if path.IsAbs(target) {
			done = "/"
		}
		rest = target + "/" + rest
	}
}
