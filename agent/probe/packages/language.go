package packages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// language is a way in which packages of a programming language, or those of people, lie in
// folders.
type language struct {
	source string
	// places are patterns of folders that hold packages; ~ stands for each home.
	places []string
	// inside is a folder of places that is one too, "" if there is none.
	inside string
	// folder reports whether a folder met on a walk, by its name, is such a place.
	folder func(name, parent string) bool
	// list returns what stands for a package in a place: see isMark.
	list func(h *probe.Host, place string) ([]string, error)
	// read makes a row of what stands for a package; nil if it is none.
	read func(h *probe.Host, mark string, t *texts) (*facts.PackageRow, error)
}

func languageList() []language {
	return []language{python, ruby, node, flatpaks}
}

const (
	// maxHomes, maxPlaces and maxWalked bound a search; a host that has more is told as
	// partial. 5,000 folders take 50 ms.
	maxHomes  = 500
	maxPlaces = 1000
	maxWalked = 5000
	// maxWalkDepth reaches /opt/vendor/product/venv/lib/python3.11/site-packages and two more.
	maxWalkDepth = 8
	// maxMarks bounds the packages of all languages.
	maxMarks = 20_000
	// maxMetadata bounds the description of one package, in bytes.
	maxMetadata = 1 << 20
)

// walkedPlaces are where products bring languages of their own.
var walkedPlaces = []string{"/opt", "/srv"}

// languages finds the packages of programming languages that no package system of the
// operating system has installed. What a deb, rpm or apk brought is that package: its
// maintainers patch it without a change of the upstream version, so that their
// advisories hold for it and those of the language do not.
type languages struct {
	places   map[string]placed // by folder
	rows     []facts.Row
	complete bool // rows are all there is in the places, as far as they may be read
	unread   lack // of the packages, when they were last read
	lack     lack // of the last search and of unread
	walked   []string
}

// placed is a folder with packages as it was when it was read.
type placed struct {
	stamp probe.Stamp
	marks []string
	err   error // why these are not all
}

// search lists all places again. If one is new, changed or gone, or if a system has
// changed (owned), the packages are read again, of which the systems own some. What could
// not be read is in lack.
func (l *languages) search(ctx context.Context, h *probe.Host, systems []*system, owned bool) (changed bool) {
	before := l.places
	l.places = make(map[string]placed)
	s := scan{host: h, remote: h.Remotes(), byStamp: make(map[probe.Stamp]bool)}
	byPlace := s.places(ctx, l.walked)
	s.lack.add("", ctx.Err())
	changed = owned || !l.complete || len(byPlace) != len(before)
	var marks []mark
	left := 0
	for _, place := range sortedKeys(byPlace) {
		now := placed{stamp: h.Stamp(place)}
		if was, ok := before[place]; ok && was.stamp == now.stamp {
			now = was
		} else {
			changed = true
			now.marks, now.err = byPlace[place].list(h, place)
		}
		if room := maxMarks - len(marks); len(now.marks) > room {
			left += len(now.marks) - room
			now.marks, now.stamp = slices.Clone(now.marks[:room]), probe.Stamp{} // and is listed again
		}
		s.lack.add(place, now.err)
		l.places[place] = now
		for _, m := range now.marks {
			marks = append(marks, mark{m, byPlace[place]})
		}
	}
	if left > 0 {
		s.lack.add("", fmt.Errorf("%d packages of languages left out: limit is %d", left, maxMarks))
	}
	refused := h.Refusals()
	if changed {
		l.unread = lack{}
		l.read(ctx, h, systems, marks)
	}
	s.lack.join(&l.unread)
	changed = changed || !slices.Equal(l.lack.denied, s.lack.denied)
	l.lack, l.complete = s.lack, s.lack.problems.Err() == nil && h.Refusals() == refused
	return changed
}

// places finds the folders with packages, and what language they are of.
func (s *scan) places(ctx context.Context, walked []string) map[string]*language {
	byPlace := make(map[string]*language)
	homes := s.homes()
	all := languageList()
	for i := range all {
		for _, place := range s.find(all[i].places, homes) {
			byPlace[place] = &all[i]
		}
	}
	for _, top := range walked {
		s.walk(ctx, top, 0, all, byPlace)
	}
	for _, place := range sortedKeys(byPlace) {
		of := byPlace[place]
		if inner := path.Join(place, of.inside); of.inside != "" && s.take(inner) {
			byPlace[inner] = of
		}
	}
	return byPlace
}

// mark is a file or folder that stands for a package of a language.
type mark struct {
	path string
	of   *language
}

// read makes rows of the marks that nobody owns, one for each version.
func (l *languages) read(ctx context.Context, h *probe.Host, systems []*system, marks []mark) {
	wanted := make(owners, len(marks))
	for _, m := range marks {
		wanted[m.path] = false
	}
	l.unread.add("", wanted.ask(ctx, h, systems))
	byKey := make(map[string]*facts.PackageRow)
	t := new(texts)
	l.rows = nil
	for _, m := range marks {
		if err := ctx.Err(); err != nil {
			l.unread.add("", err)
			return
		}
		if wanted[m.path] {
			continue
		}
		row, err := m.of.read(h, m.path, t)
		if err != nil {
			l.unread.add(path.Dir(m.path), fmt.Errorf("%s: %w", m.path, err))
		}
		if row == nil {
			continue
		}
		row.Source = m.of.source
		l.rows = addLocated(l.rows, byKey, row, path.Dir(m.path))
	}
}

// maxLocations bounds the places of one version of a package.
const maxLocations = 100

// addLocated adds a row, or its place to that of the same version elsewhere.
func addLocated(rows []facts.Row, byKey map[string]*facts.PackageRow, row *facts.PackageRow, location string) []facts.Row {
	key := row.Key()
	if row.Source == python.source {
		own := *row
		own.Name = canonical(row.Name)
		key = own.Key()
	}
	if same := byKey[key]; same != nil {
		if i, ok := slices.BinarySearch(same.Locations, location); !ok && len(same.Locations) < maxLocations {
			same.Locations = slices.Insert(same.Locations, i, location)
		}
		return rows
	}
	row.Locations = []string{location}
	byKey[key] = row
	return append(rows, row)
}

// owners are marks, and whether a package of the operating system owns each.
type owners map[string]bool

// ask finds the owners of all marks.
func (o owners) ask(ctx context.Context, h *probe.Host, systems []*system) error {
	var problem error
	for _, s := range systems {
		for _, m := range s.found.marks {
			if _, ok := o[m]; ok {
				o[m] = true
			}
		}
		if s.owned != nil && s.present {
			if err := s.owned(ctx, h, s.found.rows, o); err != nil {
				problem = errors.Join(problem, fmt.Errorf("owners of files: %w", err))
			}
		}
	}
	return problem
}

// left are the marks without an owner that lie where systems install, and not inside of
// a package that has one.
func (o owners) left() []string {
	var out []string
	for _, m := range sortedKeys(o) {
		if !o[m] && !strings.HasPrefix(m, "/usr/local/") && !strings.HasPrefix(m, "/home/") && !strings.HasPrefix(m, "/root/") && !o.insideOwned(m) {
			out = append(out, m)
		}
	}
	return out
}

func (o owners) insideOwned(m string) bool {
	for rest := m; ; {
		i := strings.LastIndex(rest, "/node_modules/")
		if i < 0 {
			return false
		}
		rest = rest[:i]
		if o[rest+"/package.json"] {
			return true
		}
	}
}

// own marks the files of a list, one a line, and reports whether there was one to mark.
func (o owners) own(list []byte) bool {
	marked := false
	for len(list) > 0 {
		end := bytes.IndexByte(list, '\n')
		if end < 0 {
			end = len(list) - 1
		}
		line := bytes.TrimSuffix(list[:end], []byte{'/'})
		list = list[end+1:]
		if m := markOf(line); m != nil {
			if _, ok := o[string(m)]; ok {
				o[string(m)], marked = true, true
			}
		}
	}
	return marked
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
