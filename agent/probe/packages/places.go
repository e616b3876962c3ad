package packages

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
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
	lack    lack
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
			s.mayRead(top, fixed(pattern))
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

// mayRead notes a home, or a folder outside of homes, that may not be read.
func (s *scan) mayRead(home, dir string) {
	if s.remote.Hold(home + dir) {
		return
	}
	d, err := s.host.OpenDir(home + dir)
	switch {
	case err == nil:
		d.Close() // read only: nothing can be lost
	case errors.Is(err, fs.ErrPermission):
		s.lack.deny(cmp.Or(home, dir))
	}
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
		s.over(fmt.Errorf("more than %d folders with packages of languages", maxPlaces))
		return false
	}
	s.byStamp[stamp] = true
	return true
}

// walk looks for places below a folder, without following links.
func (s *scan) walk(ctx context.Context, dir string, depth int, all []language, found map[string]*language) {
	if depth > maxWalkDepth || s.remote.Hold(dir) || ctx.Err() != nil || s.lack.all {
		return
	}
	if s.walked++; s.walked > maxWalked {
		s.over(fmt.Errorf("%s: more than %d folders", dir, maxWalked))
		return
	}
	entries, err := s.host.ReadDir(dir)
	if err != nil {
		s.lack.add(dir, gone(err))
		return
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

// over notes once that a limit was met.
func (s *scan) over(err error) {
	if !s.lack.all {
		s.lack.add("", err)
	}
}

// homes are those in which programs may lie: those in /home, and root's.
func (s *scan) homes() []string {
	h, remote := s.host, s.remote
	homes := []string{"/root"}
	if remote.Hold("/home") {
		return homes
	}
	entries, err := h.ReadDir("/home")
	if err != nil {
		s.lack.add("/home", gone(err))
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
