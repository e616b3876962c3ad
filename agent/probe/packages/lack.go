package packages

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// lack is what a search could not read: folders, or all of it.
type lack struct {
	problems probe.Problems // other than want of rights: another search may do better
	all      bool           // any package may be missing
	damaged  []string
	denied   []string // folders that may not be read
	many     bool     // there are more than these
}

// add notes a problem with what lies in a folder, "" for anywhere.
func (l *lack) add(dir string, err error) {
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrPermission) && dir != "":
		l.deny(dir)
	default:
		l.problems.Add(err)
		l.all = l.all || dir == ""
		l.damaged = l.note(l.damaged, dir)
	}
}

// deny notes a folder that may not be read.
func (l *lack) deny(dir string) {
	if !slices.ContainsFunc(l.denied, func(d string) bool { return below(dir, d) }) {
		l.denied = l.note(l.denied, dir)
	}
}

// maxLacking bounds the folders that are remembered, each of which is asked of each row.
const maxLacking = 1000

func (l *lack) note(list []string, dirs ...string) []string {
	for _, dir := range dirs {
		switch {
		case slices.Contains(list, dir):
		case len(list) < maxLacking:
			list = append(list, dir)
		default:
			l.many = true
		}
	}
	return list
}

// join adds what another lacks.
func (l *lack) join(other *lack) {
	l.problems.Add(other.problems.Err())
	l.all = l.all || other.all
	l.many = l.many || other.many
	l.damaged = l.note(l.damaged, other.damaged...)
	for _, dir := range other.denied {
		l.deny(dir)
	}
	slices.Sort(l.denied)
}

// maxNamed bounds the folders that a reason names.
const maxNamed = 3

// err says what is lacking, nil if nothing is.
func (l *lack) err() error {
	if len(l.denied) == 0 {
		return l.problems.Err()
	}
	names := strings.Join(l.denied[:min(len(l.denied), maxNamed)], ", ")
	if more := len(l.denied) - maxNamed; more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	return errors.Join(l.problems.Err(), fmt.Errorf("packages of languages in %s: %w", names, fs.ErrPermission))
}

// hides reports whether a package of a language may lie where nothing could be read.
func (l *lack) hides(row facts.Row) bool {
	p, ok := row.(*facts.PackageRow)
	if !ok || !slices.ContainsFunc(languageList(), func(one language) bool { return one.source == p.Source }) {
		return false
	}
	return l.all || l.many || slices.ContainsFunc(p.Locations, func(location string) bool {
		in := func(dir string) bool { return below(location, dir) }
		return slices.ContainsFunc(l.damaged, in) || slices.ContainsFunc(l.denied, in)
	})
}

// below reports whether a path is a folder or lies in it.
func below(name, dir string) bool {
	return name == dir || strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/")
}

// fixed is the part of a pattern that is no pattern.
func fixed(pattern string) string {
	if i := strings.IndexAny(pattern, `*?[\`); i >= 0 {
		return path.Dir(pattern[:i+1])
	}
	return pattern
}
