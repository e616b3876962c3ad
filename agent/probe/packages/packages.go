// Package packages lists installed software from the databases of the package
// systems dpkg, apk and pacman, and from rpm's own program where an rpm database
// exists. Several systems on one host are merged. It never takes a lock.
//
// A database that is cut, filled with NUL bytes or not readable gives its rows with a
// reason, so that the section is partial: fewer rows never look complete.
//
// Formats: deb822(5) and dpkg's status file, apk-tools' installed database
// (https://wiki.alpinelinux.org/wiki/Apk_spec), pacman's local database
// (libalpm be_local.c).
package packages

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// New returns the probe of installed packages. It keeps the rows of the last reading
// of each database and gives them again while the database's files have not changed
// (by time, size and inode), so that an unchanged host costs a few stat calls.
func New() probe.Probe {
	return &packages{systems: []*system{
		{name: "dpkg", detect: dpkgFound, files: dpkgFiles, read: readDpkg},
		{name: "rpm", detect: rpmFound, files: rpmFiles, read: readRPM},
		{name: "apk", detect: apkFound, files: apkFiles, read: readAPK},
		{name: "pacman", detect: pacmanFound, files: pacmanFiles, read: readPacman},
	}}
}

type packages struct{ systems []*system }

// system is a package system and what the last reading of it gave.
type system struct {
	name   string
	detect func(*probe.Host) bool
	files  []string // whose change makes a new reading necessary
	// read returns the rows that could be read, with an error if that is not all.
	read func(context.Context, *probe.Host) ([]facts.Row, error)

	rows   []facts.Row // never changed once read: reports share them
	stamps []probe.Stamp
}

// Info implements probe.Probe.
func (*packages) Info() probe.Info {
	return probe.Info{
		Name:     "packages",
		Sections: []facts.ID{facts.Packages},
		// Folders too: dpkg, apk and pacman replace their files by rename.
		Watch: []string{"/var/lib/dpkg", "/var/lib/dpkg/status", "/var/lib/apt/extended_states",
			"/var/lib/rpm", "/usr/lib/sysimage/rpm", "/lib/apk/db", "/lib/apk/db/installed", "/var/lib/pacman/local"},
		Locks: []string{"/var/lib/dpkg/lock-frontend", "/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock", "/lib/apk/db/lock"},
	}
}

// Collect implements probe.Probe.
func (p *packages) Collect(ctx context.Context, h *probe.Host, r *probe.Report) error {
	found := false
	for _, s := range p.systems {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !s.detect(h) {
			continue
		}
		found = true
		rows, err := s.collect(ctx, h)
		r.Add(facts.Packages, rows...)
		if err != nil {
			r.Problem(facts.Packages, fmt.Errorf("%s: %w", s.name, err))
		}
	}
	if !found {
		return fmt.Errorf("no database of dpkg, rpm, apk or pacman: %w", errors.ErrUnsupported)
	}
	return nil
}

// collect reads the system unless nothing has changed since a complete reading.
func (s *system) collect(ctx context.Context, h *probe.Host) ([]facts.Row, error) {
	stamps := make([]probe.Stamp, len(s.files))
	for i, name := range s.files {
		stamps[i] = h.Stamp(name)
	}
	if s.rows != nil && slices.Equal(stamps, s.stamps) {
		return s.rows, nil
	}
	rows, err := s.read(ctx, h)
	s.rows, s.stamps = nil, nil
	if err == nil {
		s.rows, s.stamps = rows, stamps
	}
	return rows, err
}

func exists(h *probe.Host, name string) bool {
	_, err := h.Stat(name)
	return err == nil || !errors.Is(err, fs.ErrNotExist)
}

// interner gives equal strings the same memory: architectures, sections and
// maintainers repeat in most packages.
type interner map[string]string

func (in interner) string(b []byte) string {
	if s, ok := in[string(b)]; ok {
		return s
	}
	s := string(b)
	in[s] = s
	return s
}
