package patches

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
	order "atalaya/shared/version"
)

const (
	pacmanConf = "/etc/pacman.conf"
	pacmanDB   = "/var/lib/pacman" // unless DBPath says otherwise
)

// pacmanManager judges Arch Linux and its relatives by pacman's databases
// (libalpm's sync.c and be_sync.c). Dependencies are not solved. The databases do not tell
// which updates are for security.
type pacmanManager struct {
	indexes map[string]*smallIndex // by file
}

// found looks where the configuration says: some systems keep the database in /usr.
func (*pacmanManager) found(h *probe.Host) bool {
	names := []string{pacmanDB + "/local"}
	data, _ := h.ReadFile(pacmanConf) // read and judged anew, if it is pacman
	sections, _ := parseINI(string(data))
	for _, s := range sections {
		names = append(names, databases(s)+"/local")
	}
	return anyThere(h, names)
}

// databases is the folder of pacman's databases, given its options.
func databases(options *section) string {
	return path.Clean("/" + first(options.value("dbpath"), pacmanDB))
}

func (m *pacmanManager) read(ctx context.Context, h *probe.Host) *finding {
	f := newFinding()
	f.remark = "which updates are for security is not told by pacman's databases"
	options, repos := readPacmanConf(h, f)
	db := databases(options)
	installed := pacmanInstalled(h, f, db+"/local")
	in := &smallReader{finding: f, h: h, manager: "pacman", refresh: "pacman -Sy", parse: readPacmanDB,
		names: installed, kept: m.indexes, used: make(map[string]*smallIndex)}
	up := pacmanUpgrade{installed: installed, options: options, decided: make(map[string]bool),
		chosen: make(map[string]bool), rows: make(map[string]*facts.PatchRow)}
	for _, r := range repos {
		if x := in.index(ctx, r.name, db+"/sync/"+r.name+".db"); x != nil && upgrades(r) {
			up.take(x.offers, r.name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(up.rows)) {
		f.rows = append(f.rows, up.rows[name])
	}
	m.indexes = in.used
	if len(in.used) == len(repos) && len(repos) > 0 {
		f.needBasis("pacman", func(name string) bool { return installed[name] != "" }, func(name string) bool { return up.chosen[name] })
	}
	return f
}

// pacmanUpgrade is what `pacman -Su` would do (alpm_sync_sysupgrade): each installed
// package is decided by the first repository that has it or replaces it.
type pacmanUpgrade struct {
	installed map[string]string
	options   *section
	decided   map[string]bool // installed packages
	chosen    map[string]bool // names that a repository offers
	rows      map[string]*facts.PatchRow
}

func (u *pacmanUpgrade) take(offers []smallOffer, repo string) {
	for _, o := range offers {
		for _, old := range o.replaces {
			u.replace(o, old, repo)
		}
	}
	for _, o := range offers {
		version, ok := u.installed[o.name]
		if u.chosen[o.name] = true; !ok || u.decided[o.name] {
			continue
		}
		u.decided[o.name] = true
		if c, _ := order.Compare("pacman", o.version, version); c > 0 && u.rows[o.name] == nil { // every string is a version
			u.rows[o.name] = pacmanRow(o, version, repo, u.options)
		}
	}
}

// replace notes that the offer takes the place of an installed package. One that is
// ignored is held, and what is installed may still be upgraded.
func (u *pacmanUpgrade) replace(o smallOffer, condition, repo string) {
	old := pacmanName(condition)
	version, ok := u.installed[old]
	if !ok || u.decided[old] || old == o.name || !allows("pacman", condition[len(old):], version) {
		return
	}
	row := u.rows[o.name]
	if row == nil {
		row = pacmanRow(o, u.installed[o.name], repo, u.options)
		ignored := pacmanRow(smallOffer{name: old}, "", "", u.options)
		if row.State == statePending {
			row.State, row.Reason = ignored.State, ignored.Reason
		}
		u.rows[o.name] = row
	}
	row.Reason = joined(row.Reason, "replaces "+old)
	u.decided[old] = row.State == statePending
}

// pacmanName is the name in a condition such as "name>=1.2".
func pacmanName(condition string) string {
	if i := strings.IndexAny(condition, "<>="); i >= 0 {
		return condition[:i]
	}
	return condition
}

func pacmanRow(o smallOffer, installed, repo string, options *section) *facts.PatchRow {
	row := &facts.PatchRow{Name: o.name, Arch: o.arch, Installed: installed, Candidate: o.version,
		Origin: repo, State: statePending, Source: "pacman"}
	for _, pattern := range options.words("ignorepkg") {
		if fnmatch(pattern, o.name) {
			row.State, row.Reason = stateHeld, "IgnorePkg in "+pacmanConf
		}
	}
	for _, pattern := range options.words("ignoregroup") {
		for _, group := range o.groups {
			if fnmatch(pattern, group) {
				row.State, row.Reason = stateHeld, "IgnoreGroup in "+pacmanConf
			}
		}
	}
	return row
}

// upgrades reports whether a repository may be used for updates (Usage in
// pacman.conf(5)).
func upgrades(r *section) bool {
	usage := r.words("usage")
	return len(usage) == 0 || slices.Contains(usage, "All") || slices.Contains(usage, "Upgrade")
}

// pacmanInstalled reads names and versions from the names of the local database's
// folders: NAME-VERSION-RELEASE.
func pacmanInstalled(h *probe.Host, f *finding, local string) map[string]string {
	f.in.note(h, local)
	installed := make(map[string]string)
	entries, err := h.ReadDir(local)
	for _, e := range entries {
		if name, version := splitPacman(e.Name()); version != "" && e.IsDir() {
			installed[name] = version
		}
	}
	if err == nil && len(installed) == 0 {
		err = errors.New("has no package")
	}
	if err != nil {
		f.problem("%s: %w", local, err)
	}
	return installed
}

func splitPacman(folder string) (name, version string) {
	i := strings.LastIndexByte(folder, '-')
	if i < 0 {
		return folder, ""
	}
	if i = strings.LastIndexByte(folder[:i], '-'); i < 0 {
		return folder, ""
	}
	return folder[:i], folder[i+1:]
}

// readPacmanConf returns the options and the repositories in their order.
func readPacmanConf(h *probe.Host, f *finding) (options *section, repos []*section) {
	options = &section{values: make(map[string][]string)}
	left := maxIncluded
	var problems probe.Problems
	text, err := pacmanText(h, f.in, pacmanConf, &left)
	sections, parseErr := parseINI(text)
	problems.Add(err, parseErr)
	for _, s := range sections {
		if s.name == "options" {
			options = s
			continue
		}
		repos = append(repos, s)
	}
	for _, s := range repos {
		f.repositories = append(f.repositories, pacmanRepository(s, options))
		if len(s.values["server"]) == 0 {
			problems.Add(fmt.Errorf("no server of repository %.100q is configured", s.name))
		}
	}
	if err := problems.Err(); err != nil {
		f.sourcesProblem = err
		f.problems = append(f.problems, err)
	}
	if len(repos) == 0 {
		f.problem("no package repository is configured")
	}
	return options, repos
}

// maxIncluded bounds the files of a configuration: a file that includes itself has no end.
const maxIncluded = 256

// pacmanText is a file of the configuration with those that it includes, by name or
// pattern, in their places. A pattern that nothing matches includes nothing.
func pacmanText(h *probe.Host, in *inputs, name string, left *int) (string, error) {
	if *left--; *left < 0 {
		return "", fmt.Errorf("%s: more than %d files are included", name, maxIncluded)
	}
	var problems probe.Problems
	data, err := in.read(h, name)
	problems.Add(err)
	var b strings.Builder
	for _, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		key, value, _ := strings.Cut(line, "=")
		if strings.TrimSpace(key) != "Include" {
			b.WriteString(line + "\n")
			continue
		}
		pattern := strings.TrimSpace(value)
		in.note(h, path.Dir(pattern))
		names, err := h.Glob(pattern)
		problems.Add(err)
		for _, name := range names {
			if *left < 0 {
				break
			}
			text, err := pacmanText(h, in, name, left)
			b.WriteString(text)
			problems.Add(err)
		}
	}
	return b.String(), problems.Err()
}

// pacmanRepository has the server that pacman asks first.
func pacmanRepository(s, options *section) *facts.RepositoryRow {
	row := &facts.RepositoryRow{Manager: "pacman", ID: s.name, Kind: "pacman", Enabled: true, File: pacmanConf}
	if servers := s.values["server"]; len(servers) > 0 {
		row.URI = maskURI(strings.ReplaceAll(servers[0], "$repo", s.name))
	}
	level := s.words("siglevel")
	if len(level) == 0 {
		level = options.words("siglevel")
	}
	row.Signing = pacmanSigning(level)
	return row
}

// pacmanSigning reads SigLevel of pacman.conf(5); words for databases or packages alone
// have a prefix. The default is Optional.
func pacmanSigning(level []string) string {
	index, packages := "Optional", "Optional"
	for _, w := range level {
		rest, forPackages := strings.CutPrefix(w, "Package")
		rest, forIndex := strings.CutPrefix(rest, "Database")
		if !slices.Contains([]string{"Never", "Optional", "Required"}, rest) {
			continue
		}
		if !forPackages {
			index = rest
		}
		if !forIndex {
			packages = rest
		}
	}
	switch {
	case index == "Required" && packages == "Required":
		return "index, packages"
	case index == "Required":
		return "index"
	case packages == "Required":
		return "packages"
	case index == "Optional" || packages == "Optional":
		return "optional"
	}
	return "none"
}

func readPacmanDB(stop func() error, f io.Reader, names map[string]string) ([]smallOffer, bool, error) {
	offers, err := parsePacmanDB(stop, f, names)
	return offers, false, err // the signature lies beside it
}

// parsePacmanDB returns the offers of the names and of what replaces them; nil names: of all. The compression is
// told by the first bytes, as every database is called .db.
func parsePacmanDB(stop func() error, f io.Reader, names map[string]string) ([]smallOffer, error) {
	in := bufio.NewReader(f)
	magic, err := in.Peek(4)
	if err != nil {
		return nil, errors.New("it is cut off")
	}
	r, err := inflate(in, compression(string(magic)))
	if err != nil {
		return nil, err
	}
	if z, ok := r.(interface{ Close() }); ok { // zstd
		defer z.Close()
	}
	limited := &io.LimitedReader{R: r, N: maxIndex}
	archive := tar.NewReader(limited)
	offers := []smallOffer{}
	var desc bytes.Buffer
	for {
		if err := stop(); err != nil {
			return nil, err
		}
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			_, err := io.Copy(io.Discard, limited) // checks the sum at the end
			return offers, err
		}
		if err != nil {
			return nil, err
		}
		folder, file := path.Split(head.Name)
		name, _ := splitPacman(path.Clean(folder))
		if file != "desc" {
			continue
		}
		desc.Reset()
		if _, err := desc.ReadFrom(io.LimitReader(archive, maxDesc)); err != nil {
			return nil, err
		}
		_, ok := names[name]
		if ok = ok || names == nil; !ok && !bytes.Contains(desc.Bytes(), []byte("%REPLACES%")) {
			continue
		}
		o := parsePacmanDesc(desc.String())
		ok = ok || slices.ContainsFunc(o.replaces, func(old string) bool { return names[pacmanName(old)] != "" })
		if ok && o.name != "" && o.version != "" {
			offers = append(offers, o)
		}
	}
}

// compression tells it, as an extension, by a file's first bytes.
func compression(magic string) string {
	switch {
	case strings.HasPrefix(magic, "\x1f\x8b"):
		return ".gz"
	case magic == "\x28\xb5\x2f\xfd":
		return ".zst"
	case magic == "\xfd7zX":
		return ".xz"
	case strings.HasPrefix(magic, "BZh"):
		return ".bz2"
	}
	return ""
}

// maxDesc bounds the description of one package; they have some 2 KB.
const maxDesc = 1 << 20

// parsePacmanDesc reads blocks of a %NAME% line, its values and an empty line.
func parsePacmanDesc(text string) (o smallOffer) {
	for block := range strings.SplitSeq(text, "\n\n") {
		key, values, _ := strings.Cut(strings.TrimLeft(block, "\n"), "\n")
		list := strings.Split(strings.TrimSpace(values), "\n")
		switch key {
		case "%NAME%":
			o.name = list[0]
		case "%VERSION%":
			o.version = list[0]
		case "%ARCH%":
			o.arch = list[0]
		case "%GROUPS%":
			o.groups = list
		case "%REPLACES%":
			o.replaces = list
		}
	}
	return o
}
