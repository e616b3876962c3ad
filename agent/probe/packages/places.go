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
	remote  *probe.Remotes // is not to be touched
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
	if s.remote.Hold(place) {
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
	if depth > maxWalkDepth || s.remote.Hold(dir) || ctx.Err() != nil || s.problem != nil {
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

// homesOf are the homes in which programs may lie: those in /home, and root's.
func homesOf(h *probe.Host, remote *probe.Remotes) []string {
	homes := []string{"/root"}
	if remote.Hold("/home") {
		return homes
	}
	entries, err := h.ReadDir("/home")
	if err != nil {
		return homes
	}
	for _, e := range entries {
		home := path.Join("/home", e.Name())
		if e.IsDir() && !remote.Hold(home) && len(homes) < maxHomes {
			homes = append(homes, home)
		}
	}
	return homes
}
