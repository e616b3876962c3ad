package packages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/agent/probe/packages/rpmdb"
	"atalaya/shared/facts"
)

// rpmDirs are the places of rpm's database: the new one, the old one, which is often a
// link to it, and that of systems made of an ostree image.
var rpmDirs = []string{"/usr/lib/sysimage/rpm", "/var/lib/rpm", "/usr/share/rpm"}

// rpmFiles are the database in its three containers, in the order in which rpm prefers
// them where there are several: SQLite, ndb, Berkeley DB.
var rpmFiles = []string{"rpmdb.sqlite", "Packages.db", "Packages"}

func rpmFound(h *probe.Host) bool {
	_, ok := rpmFile(h)
	return ok
}

func rpmFile(h *probe.Host) (string, bool) {
	for _, dir := range rpmDirs {
		for _, name := range rpmFiles {
			if file := path.Join(dir, name); exists(h, file) {
				return file, true
			}
		}
	}
	return "", false
}

// rpmTries is how often a database that changes under its reader is read.
const rpmTries = 3

// readRPM reads the headers of all packages. It takes no lock; a reading during which the
// database changed is taken again, as it may be of two states.
func readRPM(ctx context.Context, h *probe.Host) (got found, err error) {
	file, ok := rpmFile(h)
	if !ok {
		return got, fs.ErrNotExist
	}
	for range rpmTries {
		seen := look(h, file, file+"-wal")
		got, err = readRPMFile(ctx, h, file)
		got.seen = seen
		if unchanged(h, seen) || ctx.Err() != nil {
			return got, err
		}
	}
	return got, errors.Join(err, fmt.Errorf("%s changed while it was read", file))
}

func readRPMFile(ctx context.Context, h *probe.Host, file string) (got found, err error) {
	db, err := h.OpenAt(file)
	if err != nil {
		return got, err
	}
	defer db.Close()
	var wal rpmdb.File // nil unless there is one
	if strings.HasSuffix(file, ".sqlite") {
		log, err := h.OpenAt(file + "-wal")
		switch {
		case err == nil:
			defer log.Close()
			wal = log
		case !errors.Is(err, fs.ErrNotExist):
			return got, err
		}
	}
	got, err = readRPMBlobs(ctx, db, wal)
	if err != nil {
		err = fmt.Errorf("%s: %w", file, err)
	}
	return got, err
}

// ParseRPM reads a database of rpm in any of its containers.
func ParseRPM(data []byte) ([]facts.Row, error) {
	got, err := readRPMBlobs(context.Background(), bytes.NewReader(data), nil)
	return got.rows, err
}

func readRPMBlobs(ctx context.Context, db, wal rpmdb.File) (got found, problem error) {
	t := new(texts)
	var limits limits
	err := rpmdb.Blobs(ctx, db, wal, func(blob []byte) error {
		if err := limits.reached(ctx, &got, t); err != nil {
			return err
		}
		header, err := rpmdb.ParseHeader(blob)
		if err == nil {
			err = rpmRow(&got, header, t)
		}
		if err != nil {
			if limits.bad++; limits.bad == 1 {
				problem = err
			}
		}
		return nil
	})
	if limits.bad > 1 {
		problem = fmt.Errorf("%d packages cannot be read, the first: %w", limits.bad, problem)
	}
	return got, errors.Join(problem, err)
}

func rpmRow(got *found, h rpmdb.Header, t *texts) error {
	name, version, release := h.String(rpmdb.Name), h.String(rpmdb.Version), h.String(rpmdb.Release)
	if len(name) == 0 || len(version) == 0 || len(release) == 0 {
		return fmt.Errorf("package %.100q without name, version or release", name)
	}
	full := make([]byte, 0, 64)
	if epoch, ok := h.Int(rpmdb.Epoch); ok {
		full = append(strconv.AppendUint(full, epoch, 10), ':')
	}
	full = append(append(append(full, version...), '-'), release...)
	row := t.row()
	row.Name, row.Version, row.Source = t.string(name), t.string(full), "rpm"
	row.Arch, row.Vendor, row.Category = t.same(h.String(rpmdb.Arch)), t.same(h.String(rpmdb.Vendor)), t.same(h.String(rpmdb.Group))
	if row.Vendor == "" {
		row.Vendor = t.same(h.String(rpmdb.Packager))
	}
	if row.Category == "Unspecified" {
		row.Category = ""
	}
	row.Module = t.same(h.String(rpmdb.ModularityLabel))
	row.SourcePackage, row.SourceVersion = splitSourceRPM(t.same(h.String(rpmdb.SourceRPM)), row.Version)
	size, ok := h.Int(rpmdb.LongSize)
	if !ok {
		size, _ = h.Int(rpmdb.Size)
	}
	row.SizeBytes = int64(min(size, 1<<60))
	if at, ok := h.Int(rpmdb.InstallTime); ok && at < 1<<40 {
		row.InstalledAt = facts.Time(at * 1000)
	}
	got.rows = append(got.rows, row)
	var file []byte
	for dir, base := range h.Files() {
		if isMark(base) || string(base) == "METADATA" || string(base) == "PKG-INFO" { // also where the list has no folders
			file = append(append(file[:0], dir...), base...)
			got.mark(file)
		}
	}
	if n := h.Count(rpmdb.DirNames); n > rpmdb.MaxFolders {
		return fmt.Errorf("package %.100q has files in %d folders: limit is %d", name, n, rpmdb.MaxFolders)
	}
	return nil
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
