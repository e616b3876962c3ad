package packages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

const apkInstalled = "/lib/apk/db/installed"

var apkFiles = []string{apkInstalled, "/etc/apk/world"}

func apkFound(h *probe.Host) bool { return exists(h, apkInstalled) }

func readAPK(_ context.Context, h *probe.Host) ([]facts.Row, error) {
	data, err := h.ReadFile(apkInstalled)
	if err != nil {
		return nil, err
	}
	if len(data) == 0 {
		return nil, fmt.Errorf("%s is empty", apkInstalled)
	}
	rows, problem := ParseAPK(data)
	world, err := h.ReadFile("/etc/apk/world")
	switch {
	case err == nil:
		markAPKAuto(rows, string(world))
	case !errors.Is(err, fs.ErrNotExist):
		problem = errors.Join(problem, err)
	}
	return rows, problem
}

// ParseAPK reads apk's installed database: stanzas of "X:value" lines, each ended by
// an empty line. A file that does not end with one is cut, and its last stanza is left
// out. Cuts between two stanzas cannot be seen: apk replaces the file by rename.
func ParseAPK(data []byte) ([]facts.Row, error) {
	var rows []facts.Row
	var problem error
	if i := bytes.IndexByte(data, 0); i >= 0 {
		problem = fmt.Errorf("damaged: NUL byte at offset %d", i)
	}
	in := make(interner)
	row := &facts.PackageRow{Source: "apk"}
	blank := true
	for number := 1; len(data) > 0; number++ {
		line, rest, ok := bytes.Cut(data, []byte{'\n'})
		if !ok {
			break
		}
		data = rest
		if len(line) > 0 {
			blank = false
			apkField(row, line, in)
			continue
		}
		switch {
		case blank:
		case row.Name == "" || row.Version == "":
			problem = errors.Join(problem, fmt.Errorf("line %d: package without name or version", number))
		default:
			rows = append(rows, row)
		}
		row, blank = &facts.PackageRow{Source: "apk"}, true
	}
	if len(data) > 0 || !blank {
		problem = errors.Join(problem, errors.New("cut off in the last package"))
	}
	return rows, problem
}

func apkField(row *facts.PackageRow, line []byte, in interner) {
	if len(line) < 3 || line[1] != ':' {
		return
	}
	value := line[2:]
	switch line[0] {
	case 'P':
		row.Name = string(value)
	case 'V':
		row.Version = string(value)
	case 'A':
		row.Arch = in.string(value)
	case 'o':
		row.SourcePackage = in.string(value)
	case 'm':
		row.Vendor = in.string(value)
	case 'I':
		row.SizeBytes = parseSize(string(value))
	}
}

// markAPKAuto marks what the administrator did not ask for in world: entries are
// names, perhaps with a version or a repository.
func markAPKAuto(rows []facts.Row, world string) {
	asked := make(map[string]bool)
	for _, entry := range strings.Fields(world) {
		if i := strings.IndexAny(entry, "<>=~@"); i >= 0 {
			entry = entry[:i]
		}
		asked[entry] = true
	}
	for _, r := range rows {
		row := r.(*facts.PackageRow)
		row.Auto = !asked[row.Name]
	}
}
