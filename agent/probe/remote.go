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
	any    bool            // one of them is remote
	plain  map[string]bool // folders that are no links
}

// Remotes reads the table of mounts of this process, for one run of a probe. Below a root
// nothing is remote.
func (h *Host) Remotes() *Remotes {
	r := &Remotes{host: h, mounts: make(map[string]bool), plain: make(map[string]bool)}
	if !h.Live() {
		return r
	}
	table, err := h.ReadFile("/proc/self/mountinfo")
	if err == nil {
		r.parse(string(table))
	}
	return r
}

// parse reads proc_pid_mountinfo(5). A root is not remote, wherever it lies: without it no
// program would run; nor are folders in which the kernel waits for mounts of its own.
func (r *Remotes) parse(table string) {
	for line := range strings.Lines(table) {
		if f, source, ok := MountFields(line); ok {
			point, kind := unescape(f[4]), source[0]
			r.mounts[point] = point != "/" && !strings.HasPrefix(point, "/proc/") && (RemoteFS(kind) || kind == "autofs")
			r.any = r.any || r.mounts[point]
		}
	}
}

// maxPlain bounds the folders that are remembered.
const maxPlain = 10_000

// Hold reports whether a path is or leads through a remote file system. No part of a
// path is asked for before it is known to be local.
func (r *Remotes) Hold(name string) bool {
	if !r.any {
		return false
	}
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
		if !r.mounts[next] && !r.plain[next] {
			target, _ = r.host.Readlink(next) // not a link, or not there
		}
		if target == "" {
			if done = next; rest != "" && len(r.plain) < maxPlain {
				r.plain[next] = true
			}
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
