package packages

import (
	"context"
	"fmt"
	"path"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// portageDB has a folder for each category, and in it one for each package:
// category/name-version, see vardb in https://wiki.gentoo.org/wiki/Project:Package_Manager_Specification.
const portageDB = "/var/db/pkg"

func portageFound(h *probe.Host) bool { return exists(h, portageDB) }

func readPortage(ctx context.Context, h *probe.Host) (got found, problem error) {
	got.seen = look(h, portageDB)
	categories, err := h.ReadDir(portageDB)
	if err != nil {
		return got, err
	}
	t := new(texts)
	var limits limits
	var problems probe.Problems
	for _, c := range categories {
		if !c.IsDir() {
			continue
		}
		dir := path.Join(portageDB, c.Name())
		got.seen = append(got.seen, look(h, dir)...)
		packages, err := h.ReadDir(dir)
		problems.Add(err)
		for _, p := range packages {
			if err := limits.reached(ctx, &got, t); err != nil {
				problems.Add(err)
				return got, problems.Err()
			}
			if !p.IsDir() || strings.HasPrefix(p.Name(), "-MERGING-") {
				continue
			}
			row, err := portageRow(h, c.Name(), path.Join(dir, p.Name()), t)
			if err != nil {
				limits.bad++
				problems.Add(err)
				continue
			}
			got.rows = append(got.rows, row)
		}
	}
	return got, problems.Err()
}

func portageRow(h *probe.Host, category, dir string, t *texts) (*facts.PackageRow, error) {
	name, version, ok := splitPortage(path.Base(dir))
	if !ok {
		return nil, fmt.Errorf("%s: no version in its name", dir)
	}
	row := t.row()
	row.Name, row.Version, row.Source = t.string([]byte(category+"/"+name)), t.string([]byte(version)), "portage"
	row.Category, row.Vendor = t.same([]byte(category)), t.same([]byte(h.ReadString(path.Join(dir, "repository"))))
	row.SizeBytes = parseSize(h.ReadString(path.Join(dir, "SIZE")))
	row.InstalledAt = facts.Time(parseSize(h.ReadString(path.Join(dir, "BUILD_TIME"))) * 1000)
	return row, nil
}

// splitPortage cuts name-version[-rN] before the last hyphen that a digit follows.
func splitPortage(s string) (name, version string, ok bool) {
	for i := len(s) - 2; i > 0; i-- {
		if s[i] == '-' && '0' <= s[i+1] && s[i+1] <= '9' {
			return s[:i], s[i+1:], true
		}
	}
	return "", "", false
}
