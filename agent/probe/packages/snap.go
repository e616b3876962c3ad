package packages

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// snapDirs hold the mounted snaps: on most systems, and where /snap is not allowed. The
// state of snapd names all and knows no versions; meta/snap.yaml of a mounted revision does.
var snapDirs = []string{"/snap", "/var/lib/snapd/snap"}

const snapState = "/var/lib/snapd/state.json"

func snapFound(h *probe.Host) bool {
	if exists(h, snapState) || exists(h, "/var/lib/snapd/snap") {
		return true
	}
	entries, err := h.ReadDir(snapDirs[0])
	return err != nil && !probe.Absent(err) || slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return exists(h, path.Join(snapDirs[0], e.Name(), "current/meta/snap.yaml"))
	})
}

func readSnap(ctx context.Context, h *probe.Host) (got found, problem error) {
	s := snaps{texts: new(texts)}
	s.seen = look(h, snapState)
	s.readState(h)
	read := make(map[probe.Stamp]bool)
	for _, dir := range snapDirs {
		here := look(h, dir)
		s.seen = append(s.seen, here...)
		if read[here[0].stamp] {
			continue // a link to the other
		}
		read[here[0].stamp] = true
		entries, err := h.ReadDir(dir)
		s.problems.Add(gone(err))
		for _, e := range entries {
			if s.over(ctx) {
				return s.found, s.problems.Err()
			}
			if e.IsDir() && e.Name() != "bin" {
				s.read(h, dir, e.Name())
			}
		}
	}
	for _, name := range sortedKeys(s.installed) {
		if s.over(ctx) {
			break
		}
		s.unmounted(name)
	}
	return s.found, s.problems.Err()
}

// snaps gathers what is installed.
type snaps struct {
	found
	texts     *texts
	limits    limits
	problems  probe.Problems
	installed map[string]snapInstalled // by name: what snapd knows and was not read yet
}

// snapInstalled is what snapd notes of a snap (overlord/snapstate).
type snapInstalled struct {
	Current json.RawMessage // its revision: a number, in older states a string
	Active  bool            // not disabled
}

func (i snapInstalled) revision() string { return strings.Trim(string(i.Current), `"`) }

func (s *snaps) readState(h *probe.Host) {
	var state struct {
		Data struct{ Snaps map[string]snapInstalled }
	}
	data, err := h.ReadFile(snapState)
	if err == nil {
		if err = json.Unmarshal(data, &state); err != nil {
			err = fmt.Errorf("%s: %w", snapState, err)
		}
	}
	s.problems.Add(gone(err))
	s.installed = state.Data.Snaps
}

func (s *snaps) over(ctx context.Context) bool {
	err := s.limits.reached(ctx, &s.found, s.texts)
	s.problems.Add(err)
	return err != nil
}

// read reads a mounted snap: its current revision, or that which snapd knows of one that is
// disabled.
func (s *snaps) read(h *probe.Host, dir, name string) {
	own := path.Join(dir, name)
	s.seen = append(s.seen, look(h, own)...)
	known, state := s.installed[name], ""
	data, err := readHead(h, path.Join(own, "current/meta/snap.yaml"))
	if errors.Is(err, fs.ErrNotExist) && known.revision() != "" && !known.Active {
		state = snapDisabled
		data, err = readHead(h, path.Join(own, known.revision(), "meta/snap.yaml"))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	delete(s.installed, name)
	var row *facts.PackageRow
	if err == nil {
		if row, err = parseSnap(data, s.texts); row != nil {
			row.State = state
			s.rows = append(s.rows, row)
		}
	}
	if err != nil {
		s.problems.Add(fmt.Errorf("snap %s: %w", name, err))
	}
}

const snapDisabled = "disabled"

// unmounted tells a snap of which only snapd's notes are there, as on the disk of another machine.
func (s *snaps) unmounted(name string) {
	known := s.installed[name]
	row := s.texts.row()
	row.Name, row.Source, row.SourceVersion = text(s.texts, []byte(name)), "snap", text(s.texts, []byte(known.revision()))
	if !known.Active {
		row.State = snapDisabled
	}
	s.rows = append(s.rows, row)
	s.problems.Add(fmt.Errorf("the version of snap %.100s is not known: its revision %.20s is not mounted", row.Name, row.SourceVersion))
}

// ParseSnap reads meta/snap.yaml.
func ParseSnap(data []byte) ([]facts.Row, error) {
	row, err := parseSnap(data, new(texts))
	if row == nil {
		return nil, err
	}
	return []facts.Row{row}, err
}

// parseSnap reads the fields at the outermost level, which is all that is needed of YAML.
func parseSnap(data []byte, t *texts) (*facts.PackageRow, error) {
	row := t.row()
	row.Source = "snap"
	list := false
	for len(data) > 0 {
		line, rest := probe.NextLine(data)
		data = rest
		if list && bytes.HasPrefix(bytes.TrimSpace(line), []byte("- ")) && row.Arch == "" {
			row.Arch = text(t, unquote(bytes.TrimSpace(line)[2:]))
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || len(name) == 0 || name[0] == ' ' || name[0] == '-' {
			continue
		}
		list = string(name) == "architectures"
		switch value = unquote(value); string(name) {
		case "name":
			row.Name = text(t, value)
		case "version":
			row.Version = text(t, value)
		case "type":
			row.Category = text(t, value)
		case "architectures":
			if inner := bytes.Trim(value, "[] "); len(inner) > 0 {
				first, _, _ := bytes.Cut(inner, []byte(","))
				row.Arch = text(t, unquote(first))
			}
		}
	}
	if row.Name == "" || row.Version == "" {
		return nil, errors.New("snap.yaml has no name or version")
	}
	return row, nil
}

func unquote(b []byte) []byte { return bytes.Trim(bytes.TrimSpace(b), `"'`) }
