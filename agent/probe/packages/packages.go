// Package packages lists installed software: from the databases of dpkg, rpm, apk,
// pacman, portage, snap, flatpak and Nix profiles; from the folders of Python, Ruby and
// Node.js; and what running Go programs and Java archives are built of. Several systems
// on one host are merged. It runs no program and takes no lock.
//
// What a system owns is one item: a distribution of Python that a deb brought is that
// deb, and not listed again. The distribution patches it without a change of the
// upstream version, so its advisories count and not those of the language.
//
// A database that is cut, filled with NUL bytes or not readable gives its rows with a
// reason, so that the section is partial: fewer rows never look complete.
//
// Formats: deb822(5) and dpkg's status file, apk-tools' installed database
// (https://wiki.alpinelinux.org/wiki/Apk_spec), pacman's local database
// (libalpm be_local.c); the others stand with their readers.
package packages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// New returns the probe of installed packages. It keeps the rows of the last reading
// of each database and gives them again while the database's files have not changed
// (by time, size and inode), so that an unchanged host costs a few stat calls.
func New() probe.Probe {
	return &packages{systems: systems(), languages: languages{walked: walkedPlaces}}
}

// Remember tells the probe what was reported before the agent was restarted, so that files
// of programs which do not run at that moment are read too.
func (p *packages) Remember(reported []facts.Row) { p.programs.remember(reported) }

// NewSystem is New for one package system alone, by its name as in the rows.
func NewSystem(name string) probe.Probe {
	return &packages{systems: slices.DeleteFunc(systems(), func(s *system) bool { return s.name != name }), alone: true}
}

func systems() []*system {
	return []*system{
		{name: "dpkg", detect: dpkgFound, read: readDpkg, owned: dpkgOwned},
		{name: "rpm", detect: rpmFound, read: readRPM},
		{name: "apk", detect: apkFound, read: readAPK},
		{name: "pacman", detect: pacmanFound, read: readPacman, owned: pacmanOwned},
		{name: "portage", detect: portageFound, read: readPortage, owned: portageOwned},
		{name: "snap", detect: snapFound, read: readSnap},
		{name: "flatpak", detect: flatpakFound, read: readFlatpak},
		{name: "nix", detect: nixFound, read: readNix},
	}
}

// searchEvery is how often is looked for databases that were not there, and for what
// no database names. What is known already is looked at in every reading.
const searchEvery = 10 * time.Minute

type packages struct {
	systems   []*system
	languages languages
	programs  programs
	alone     bool // the languages are not asked for
	searched  time.Time

	rows     []facts.Row // of all systems, sorted; shared with reports, so never changed
	revision uint64      // of rows
	complete bool        // rows are all there is
}

// system is a package system and what the last reading of it gave.
type system struct {
	name   string
	detect func(*probe.Host) bool
	// read returns what could be read, with an error if that is not all.
	read func(context.Context, *probe.Host) (found, error)
	// owned tells which marks packages of the system own; nil: found.marks are all.
	owned func(context.Context, *probe.Host, []facts.Row, owners) error

	present  bool
	found    found
	complete bool // found is all there is, as of its stamps
}

// found is the content of a package database.
type found struct {
	rows []facts.Row
	// marks are the paths of installed files and folders that stand for a package of a
	// programming language: see isMark.
	marks []string
	bytes int    // of marks
	seen  []seen // what was read, as it was before
}

// seen is a file or folder whose change makes a new reading necessary.
type seen struct {
	path  string
	stamp probe.Stamp
}

func look(h *probe.Host, paths ...string) []seen {
	out := make([]seen, len(paths))
	for i, p := range paths {
		out[i] = seen{p, h.Stamp(p)}
	}
	return out
}

func unchanged(h *probe.Host, list []seen) bool {
	for _, s := range list {
		if h.Stamp(s.path) != s.stamp {
			return false
		}
	}
	return true
}

func (f *found) mark(path []byte) {
	if m := markOf(path); m != nil && (len(f.marks) == 0 || f.marks[len(f.marks)-1] != string(m)) { // not the folder again
		f.marks = append(f.marks, string(m))
		f.bytes += len(m) + markBytes
	}
}

// markBytes is what a mark takes beside its text: the string, twice while the list grows.
const markBytes = 48

// markOf is what a path tells of a package of a programming language, nil if nothing: itself,
// or the folder of Python's metadata whose main file it is, as not every list names the folder.
func markOf(path []byte) []byte {
	if isMark(path) {
		return path
	}
	for _, name := range metadataFiles {
		if folder, ok := bytes.CutSuffix(path, name); ok && isMark(folder) {
			return folder
		}
	}
	return nil
}

var metadataFiles = [][]byte{[]byte("/METADATA"), []byte("/PKG-INFO")}

// isMark reports whether a path names what tells of a package of a programming
// language: Python's metadata, a specification of Ruby's, a package.json, a jar.
func isMark(path []byte) bool {
	switch n := len(path); {
	case n < len("x.jar"):
		return false
	case path[n-1] == 'o':
		return bytes.HasSuffix(path, []byte(".dist-info")) || bytes.HasSuffix(path, []byte(".egg-info"))
	case path[n-1] == 'c':
		return bytes.HasSuffix(path, []byte(".gemspec"))
	case path[n-1] == 'n':
		return bytes.HasSuffix(path, []byte("package.json"))
	default:
		return bytes.HasSuffix(path, []byte(".jar"))
	}
}

// Info implements probe.Probe.
func (*packages) Info() probe.Info {
	return probe.Info{
		Name:     "packages",
		Sections: []facts.ID{facts.Packages},
		// Folders too: dpkg, apk and pacman replace their files by rename.
		Watch: []string{"/var/lib/dpkg", "/var/lib/dpkg/status", "/var/lib/apt/extended_states",
			"/var/lib/rpm", "/usr/lib/sysimage/rpm", "/lib/apk/db", "/lib/apk/db/installed", "/var/lib/pacman/local", "/var/lib/snapd/state.json", "/var/lib/flatpak/.changed"},
		Locks: []string{"/var/lib/dpkg/lock-frontend", "/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock", "/lib/apk/db/lock"},
	}
}

// Collect implements probe.Probe.
func (p *packages) Collect(ctx context.Context, h *probe.Host, r *probe.Report) error {
	now := h.Now()
	refused := h.Refusals()
	search := !p.complete || now.Sub(p.searched).Abs() >= searchEvery
	changed, present := false, false
	var problem error
	for _, s := range p.systems {
		if err := ctx.Err(); err != nil {
			return err
		}
		if search || s.present {
			read, err := s.look(ctx, h)
			changed = changed || read
			if err != nil {
				problem = errors.Join(problem, err)
				r.Hidden(facts.Packages, fmt.Errorf("%s: %w", s.name, err), s.brings)
			}
		}
		present = present || s.present
	}
	if (search || changed) && !p.alone {
		p.searched = now
		changed = p.languages.search(ctx, h, p.systems, changed) || changed
		changed = p.programs.search(ctx, h) || changed
	}
	if !present && len(p.languages.rows) == 0 && len(p.programs.files) == 0 {
		p.rows, p.complete = nil, false
		return p.none(problem)
	}
	if changed || !p.complete {
		p.join()
	}
	p.complete = problem == nil && h.Refusals() == refused && (p.alone || p.languages.complete) && p.programs.problem == nil
	r.Whole(facts.Packages, p.revision, p.rows)
	r.Hidden(facts.Packages, p.languages.lack.err(), p.languages.lack.hides)
	r.Hidden(facts.Packages, p.programs.problem, runs)
	r.Hidden(facts.Packages, p.programs.damage, runs)
	r.Hidden(facts.Packages, p.programs.denied, runs)
	if p.programs.away {
		r.Remark(facts.Packages, "modules and archives in programs on remote file systems are not listed")
	}
	return nil
}

// none is the outcome where nothing was found: there is none, or it could not be looked for.
func (p *packages) none(problem error) error {
	if err := errors.Join(problem, p.languages.lack.err()); err != nil {
		return err
	}
	return fmt.Errorf("no package database was found: %w", errors.ErrUnsupported)
}

// brings reports whether a row is of this system.
func (s *system) brings(row facts.Row) bool {
	p, ok := row.(*facts.PackageRow)
	return !ok || p.Source == s.name
}

// join makes one list of the rows of all systems.
func (p *packages) join() {
	n := 0
	for _, s := range p.systems {
		n += len(s.found.rows)
	}
	rows := make([]facts.Row, 0, n)
	for _, s := range p.systems {
		rows = append(rows, s.found.rows...)
	}
	rows = append(append(rows, p.languages.rows...), p.programs.list()...)
	p.rows = facts.Sort(rows)
	p.revision++
}

// look reads the system unless nothing has changed since a complete reading.
func (s *system) look(ctx context.Context, h *probe.Host) (changed bool, err error) {
	if s.present && s.complete && unchanged(h, s.found.seen) {
		return false, nil
	}
	was := s.present
	s.found = found{}
	refused := h.Refusals()
	if s.present = s.detect(h); s.present {
		s.found, err = s.read(ctx, h)
	}
	s.complete = err == nil && h.Refusals() == refused
	return s.present || was, err
}

func exists(h *probe.Host, name string) bool {
	_, err := h.Stat(name)
	return err == nil || !errors.Is(err, fs.ErrNotExist)
}
