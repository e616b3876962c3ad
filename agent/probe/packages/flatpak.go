package packages

import (
	"bytes"
	"context"
	"path"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

const flatpakDir = "/var/lib/flatpak"

func flatpakFound(h *probe.Host) bool { return exists(h, flatpakDir) }

// readFlatpak reads what is installed for all: app|runtime/ID/ARCH/BRANCH/active.
func readFlatpak(ctx context.Context, h *probe.Host) (got found, problem error) {
	// flatpak touches .changed after each change.
	got.seen = look(h, path.Join(flatpakDir, ".changed"), path.Join(flatpakDir, "app"), path.Join(flatpakDir, "runtime"))
	t := new(texts)
	var limits limits
	var problems probe.Problems
	for _, kind := range []string{"app", "runtime"} {
		deploys, err := h.Glob(path.Join(flatpakDir, kind, "*/*/*/active/deploy"))
		problems.Add(err)
		for _, file := range deploys {
			if err := limits.reached(ctx, &got, t); err != nil {
				problems.Add(err)
				return got, problems.Err()
			}
			row, err := flatpakRow(h, file, t)
			problems.Add(err)
			if row != nil {
				got.rows = append(got.rows, row)
			}
		}
	}
	return got, problems.Err()
}

// flatpaks are those that people have installed for themselves.
var flatpaks = language{
	source: "flatpak",
	places: []string{"~/.local/share/flatpak/app/*/*/*/active", "~/.local/share/flatpak/runtime/*/*/*/active"},
	folder: func(string, string) bool { return false },
	list:   func(_ *probe.Host, place string) ([]string, error) { return []string{path.Join(place, "deploy")}, nil },
	read:   flatpakRow,
}

// flatpakRow reads KIND/ID/ARCH/BRANCH/active/deploy.
func flatpakRow(h *probe.Host, file string, t *texts) (*facts.PackageRow, error) {
	data, err := readHead(h, file)
	if err != nil {
		return nil, gone(err)
	}
	parts := strings.Split(file, "/")
	parts = parts[len(parts)-6:]
	row := t.row()
	row.Category, row.Name, row.Arch, row.Source = parts[0], text(t, []byte(parts[1])), text(t, []byte(parts[2])), "flatpak"
	origin, version := parseDeploy(data)
	row.Vendor, row.Version = text(t, origin), text(t, version)
	if row.Version == "" {
		row.Version = text(t, []byte(parts[3])) // runtimes are known by their branch
	}
	return row, nil
}

// parseDeploy takes the origin and the version of the application from a serialized
// GVariant of type (ssasta{sv}): the origin is its first string; the version is in the
// entry "appdata-version" of the dictionary, a string that begins at the next multiple
// of eight after its key and is followed by a NUL and its type, s.
// See flatpak_dir_new_deploy_data in flatpak's common/flatpak-dir.c.
func parseDeploy(data []byte) (origin, version []byte) {
	origin, _, ok := bytes.Cut(data, []byte{0})
	if !ok {
		return nil, nil
	}
	key := []byte("\x00appdata-version\x00")
	at := bytes.Index(data, key)
	if at < 0 {
		return origin, nil
	}
	at = (at + len(key) + 7) &^ 7
	if at >= len(data) {
		return origin, nil
	}
	value, rest, ok := bytes.Cut(data[at:], []byte{0})
	if !ok || !bytes.HasPrefix(rest, []byte("\x00s")) {
		return origin, nil
	}
	return origin, value
}
