package packages

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// rpmFiles are the databases of rpm: sqlite, ndb and Berkeley DB, in the old and the
// new place.
var rpmFiles = []string{
	"/var/lib/rpm/rpmdb.sqlite", "/var/lib/rpm/rpmdb.sqlite-wal", "/var/lib/rpm/Packages.db", "/var/lib/rpm/Packages",
	"/usr/lib/sysimage/rpm/rpmdb.sqlite", "/usr/lib/sysimage/rpm/rpmdb.sqlite-wal", "/usr/lib/sysimage/rpm/Packages.db",
}

func rpmFound(h *probe.Host) bool {
	for _, name := range rpmFiles {
		if exists(h, name) {
			return true
		}
	}
	return false
}

// rpmFormat prints one line for each package. LONGSIZE also holds sizes over 4 GiB.
const rpmFormat = `%{NAME}\t%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\t%{ARCH}\t%{SOURCERPM}\t` +
	`%{VENDOR}\t%{LONGSIZE}\t%{INSTALLTIME}\t%{GROUP}\n`

// readRPM runs rpm itself: its three database formats hold binary headers, and the
// program opens them read-only without waiting for a lock.
func readRPM(ctx context.Context, h *probe.Host) (found, error) {
	out, err := h.Run(ctx, "/usr/bin/rpm", "-qa", "--queryformat", rpmFormat)
	if errors.Is(err, errors.ErrUnsupported) {
		return found{}, fmt.Errorf("the rpm database is read by its program only, which does not run here: %w", err)
	}
	if err != nil {
		return found{}, err
	}
	rows, err := parseRPM(string(out))
	return found{rows: rows}, err
}

// parseRPM reads the output of rpmFormat. rpm writes "(none)" for a missing tag.
func parseRPM(out string) ([]facts.Row, error) {
	var rows []facts.Row
	var problem error
	t := new(texts)
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 8 || f[0] == "" || !strings.HasSuffix(line, "\n") {
			problem = errors.Join(problem, fmt.Errorf("line %q is not as asked for", line))
			continue
		}
		for i := range f {
			if f[i] == "(none)" {
				f[i] = ""
			}
		}
		row := &facts.PackageRow{
			Name: f[0], Version: f[1], Arch: t.same([]byte(f[2])), Source: "rpm",
			Vendor: t.same([]byte(f[4])), Category: t.same([]byte(f[7])),
		}
		if f[7] == "Unspecified" {
			row.Category = ""
		}
		row.SourcePackage, row.SourceVersion = splitSourceRPM(f[3], row.Version)
		row.SizeBytes = parseSize(f[5])
		if at, err := strconv.ParseInt(f[6], 10, 64); err == nil && at > 0 && at < 1<<40 {
			row.InstalledAt = facts.Time(at * 1000)
		}
		rows = append(rows, row)
	}
	return rows, problem
}

// splitSourceRPM takes name-version-release.src.rpm apart. The file name has no epoch,
// so the version is told only where it differs from the package's without epoch.
func splitSourceRPM(file, version string) (name, sourceVersion string) {
	base, ok := strings.CutSuffix(file, ".rpm")
	if !ok {
		return "", ""
	}
	if i := strings.LastIndexByte(base, '.'); i >= 0 {
		base = base[:i] // .src or .nosrc
	}
	release := strings.LastIndexByte(base, '-')
	if release < 0 {
		return base, ""
	}
	at := strings.LastIndexByte(base[:release], '-')
	if at < 0 {
		return base, ""
	}
	_, plain, found := strings.Cut(version, ":")
	if !found {
		plain = version
	}
	if base[at+1:] != plain {
		sourceVersion = base[at+1:]
	}
	return base[:at], sourceVersion
}

// parseSize returns 0 for what is no size.
func parseSize(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
