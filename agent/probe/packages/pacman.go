package packages

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

const pacmanLocal = "/var/lib/pacman/local"

func pacmanFound(h *probe.Host) bool { return exists(h, pacmanLocal) }

// readPacman reads one desc file for each package.
func readPacman(ctx context.Context, h *probe.Host) (got found, problem error) {
	got.seen = look(h, pacmanLocal)
	dir, err := h.ReadDir(pacmanLocal)
	if err != nil {
		return got, err
	}
	t := new(texts)
	var limits limits
	var problems probe.Problems
	for _, e := range dir {
		if err := limits.reached(ctx, &got, t); err != nil {
			problems.Add(err)
			break
		}
		if !e.IsDir() { // ALPM_DB_VERSION
			continue
		}
		data, err := readHead(h, path.Join(pacmanLocal, e.Name(), "desc"))
		if err == nil {
			var row *facts.PackageRow
			if row, err = parsePacman(string(data), t); err == nil {
				got.rows = append(got.rows, row)
			}
		}
		if err != nil {
			limits.bad++
			problems.Add(fmt.Errorf("package %s: %w", e.Name(), err))
		}
	}
	return got, problems.Err()
}

// ParsePacman reads the desc file of one package.
func ParsePacman(data []byte) ([]facts.Row, error) {
	row, err := parsePacman(string(data), new(texts))
	if err != nil {
		return nil, err
	}
	return []facts.Row{row}, nil
}

// parsePacman reads blocks of a %NAME% line, its values and an empty line. pacman
// ends the file with an empty line, so that a cut shows.
func parsePacman(data string, t *texts) (*facts.PackageRow, error) {
	if strings.IndexByte(data, 0) >= 0 {
		return nil, errors.New("damaged: NUL byte in desc")
	}
	if !strings.HasSuffix(data, "\n\n") {
		return nil, errors.New("desc is cut off")
	}
	row := &facts.PackageRow{Source: "pacman"}
	for block := range strings.SplitSeq(data, "\n\n") {
		key, values, ok := strings.Cut(strings.TrimLeft(block, "\n"), "\n")
		value, _, _ := strings.Cut(values, "\n")
		if ok {
			pacmanField(row, key, value, t)
		}
	}
	if row.Name == "" || row.Version == "" {
		return nil, errors.New("desc has no name or version")
	}
	return row, nil
}

func pacmanField(row *facts.PackageRow, key, value string, t *texts) {
	switch key {
	case "%NAME%":
		row.Name = t.string([]byte(value)) // no part of data, which is far longer
	case "%VERSION%":
		row.Version = t.string([]byte(value))
	case "%BASE%":
		row.SourcePackage = t.same([]byte(value))
	case "%ARCH%":
		row.Arch = t.same([]byte(value))
	case "%PACKAGER%":
		row.Vendor = t.same([]byte(value))
	case "%GROUPS%":
		row.Category = t.same([]byte(value))
	case "%SIZE%":
		row.SizeBytes = parseSize(value)
	case "%REASON%":
		row.Auto = value == "1" // ALPM_PKG_REASON_DEPEND
	case "%INSTALLDATE%":
		if at, err := strconv.ParseInt(value, 10, 64); err == nil && at > 0 && at < 1<<40 {
			row.InstalledAt = facts.Time(at * 1000)
		}
	}
}
