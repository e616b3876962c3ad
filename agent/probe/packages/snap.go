package packages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// snapDirs hold the mounted snaps: on most systems, and where /snap is not allowed. The
// state of snapd (state.json) knows no versions; meta/snap.yaml of the current revision does.
var snapDirs = []string{"/snap", "/var/lib/snapd/snap"}

func snapFound(h *probe.Host) bool {
	if exists(h, "/var/lib/snapd/state.json") || exists(h, "/var/lib/snapd/snap") {
		return true
	}
	entries, err := h.ReadDir(snapDirs[0])
	return err != nil && !probe.Absent(err) || slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return exists(h, path.Join(snapDirs[0], e.Name(), "current/meta/snap.yaml"))
	})
}

func readSnap(ctx context.Context, h *probe.Host) (got found, problem error) {
	t := new(texts)
	var limits limits
	var problems probe.Problems
	read := make(map[probe.Stamp]bool)
	for _, dir := range snapDirs {
		here := look(h, dir)
		got.seen = append(got.seen, here...)
		if read[here[0].stamp] {
			continue // a link to the other
		}
		read[here[0].stamp] = true
		entries, err := h.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			problems.Add(err)
		}
		for _, e := range entries {
			if err := limits.reached(ctx, &got, t); err != nil {
				problems.Add(err)
				return got, problems.Err()
			}
			if !e.IsDir() || e.Name() == "bin" {
				continue
			}
			own := path.Join(dir, e.Name())
			got.seen = append(got.seen, look(h, own)...)
			data, err := readHead(h, path.Join(own, "current/meta/snap.yaml"))
			if err == nil {
				var row *facts.PackageRow
				if row, err = parseSnap(data, t); row != nil {
					got.rows = append(got.rows, row)
				}
			}
			if err = gone(err); err != nil { // disabled snaps have no current revision
				problems.Add(fmt.Errorf("snap %s: %w", e.Name(), err))
			}
		}
	}
	return got, problems.Err()
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
