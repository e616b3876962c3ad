package packages

import (
	"context"
	"fmt"
	"path"
	"strings"

	"atalaya/agent/probe"
)

// scan finds the folders in which packages of languages lie.
type scan struct {
	host    *probe.Host
	remote  []string // mount points that are not to be touched
	byStamp map[probe.Stamp]bool
	walked  int
	problem error
}

// find expands patterns. A folder that is found twice, by links, counts once.
func (s *scan) find(patterns, homes []string) []string {
	var out []string
	for _, pattern := range patterns {
		tops := []string{""}
		if rest, ok := strings.CutPrefix(pattern, "~"); ok {
			pattern, tops = rest, homes
		}
		for _, top := range tops {
			places, err := s.host.Glob(top + pattern)
			if err != nil {
				continue // homes with the letters of patterns in their names
			}
			for _, p := range places {
				if s.take(p) {
					out = append(out, p)
				}
			}
		}
	}
	return out
}

func (s *scan) take(place string) bool {
	if isBelow(place, s.remote) {
		return false
	}
	stamp := s.host.Stamp(place)
	if stamp == (probe.Stamp{}) || s.byStamp[stamp] {
		return false
	}
	if len(s.byStamp) >= maxPlaces {
		s.problem = fmt.Errorf("more than %d folders with packages of languages", maxPlaces)
		return false
	}
	s.byStamp[stamp] = true
	return true
}

// walk looks for places below a folder, without following links.
func (s *scan) walk(ctx context.Context, dir string, depth int, all []language, found map[string]*language) {
	if depth > maxWalkDepth || isBelow(dir, s.remote) || ctx.Err() != nil || s.problem != nil {
		return
	}
	if s.walked++; s.walked > maxWalked {
		s.problem = fmt.Errorf("%s: more than %d folders", dir, maxWalked)
		return
	}
	entries, err := s.host.ReadDir(dir)
	if err != nil {
		return // not there, or gone meanwhile; what the agent may not read it may not search
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		place, taken := path.Join(dir, e.Name()), false
		for i := range all {
			if all[i].folder(e.Name(), dir) {
				taken = true
				if s.take(place) {
					found[place] = &all[i]
				}
			}
		}
		if !taken && e.Name() != "proc" && e.Name() != ".git" {
			s.walk(ctx, place, depth+1, all, found)
		}
	}
}

// isBelow reports whether a path is one of the folders, or lies in one.
func isBelow(p string, dirs []string) bool {
	for _, dir := range dirs {
		if p == dir || strings.HasPrefix(p, dir+"/") {
			return true
		}
	}
	return false
}

// localTypes of file systems beginning with fuse that do not wait for somebody else.
var localTypes = map[string]bool{"fuseblk": true, "fusectl": true}

// remoteMounts are the mount points of file systems that may not answer: those of other
// machines, of programs, and those that are mounted when they are touched.
func remoteMounts(h *probe.Host) []string {
	data, err := h.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	var out []string
	for line := range strings.Lines(string(data)) {
		head, tail, ok := strings.Cut(line, " - ")
		f := strings.Fields(head)
		kind, _, _ := strings.Cut(tail, " ")
		if ok && len(f) >= 5 && isRemote(kind) {
			out = append(out, unescapeMount(f[4]))
		}
	}
	return out
}

func isRemote(kind string) bool {
	switch kind {
	case "nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "9p", "ceph", "afs", "lustre", "gpfs", "beegfs", "ocfs2", "gfs2", "autofs", "coda", "glusterfs", "virtiofs":
		return true
	}
	return strings.HasPrefix(kind, "fuse") && !localTypes[kind]
}

// unescapeMount undoes the octal escapes of proc_pid_mountinfo(5).
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// homesOf are the homes in which programs may lie: those in /home, and root's.
func homesOf(h *probe.Host, remote []string) []string {
	homes := []string{"/root"}
	if isBelow("/home", remote) {
		return homes
	}
	entries, err := h.ReadDir("/home")
	if err != nil {
		return homes
	}
	for _, e := range entries {
		home := path.Join("/home", e.Name())
		if e.IsDir() && !isBelow(home, remote) && len(homes) < maxHomes {
			homes = append(homes, home)
		}
	}
	return homes
}
