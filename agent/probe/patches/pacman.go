package patches

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
	order "atalaya/shared/version"
)

const (
	pacmanConf  = "/etc/pacman.conf"
	pacmanLocal = "/var/lib/pacman/local"
	pacmanSync  = "/var/lib/pacman/sync"
)

// pacmanManager judges Arch Linux and its relatives by pacman's databases
// (libalpm's be_sync.c). Dependencies and replacements are not solved. The databases do
// not tell which updates are for security.
type pacmanManager struct {
	indexes map[string]*smallIndex // by file
}

func (*pacmanManager) found(h *probe.Host) bool { return anyThere(h, []string{pacmanLocal}) }

func (m *pacmanManager) read(ctx context.Context, h *probe.Host) *finding {
	f := newFinding()
	f.remark = "which updates are for security is not told by pacman's databases"
	installed := pacmanInstalled(h, f)
	options, repos := readPacmanConf(h, f)
	f.in.note(h, pacmanSync)
	used := make(map[string]*smallIndex)
	chosen := make(map[string]bool)
	for _, r := range repos {
		x := m.readIndex(ctx, h, f, r, installed, used)
		if x == nil || !upgrades(r) {
			continue
		}
		for _, o := range x.offers {
			if chosen[o.name] { // the first repository that has it counts
				continue
			}
			chosen[o.name] = true
			if c, _ := order.Compare("pacman", o.version, installed[o.name]); c > 0 { // every string is a version
				f.rows = append(f.rows, pacmanRow(o, installed[o.name], r.name, options))
			}
		}
	}
	m.indexes = used
	if len(used) == len(repos) && len(repos) > 0 {
		f.needBasis("pacman", func(name string) bool { return installed[name] != "" }, func(name string) bool { return chosen[name] })
	}
	return f
}

func pacmanRow(o smallOffer, installed, repo string, options *section) *facts.PatchRow {
	row := &facts.PatchRow{Name: o.name, Arch: o.arch, Installed: installed, Candidate: o.version,
		Origin: repo, State: statePending, Source: "pacman"}
	for _, pattern := range options.words("ignorepkg") {
		if ok, err := path.Match(pattern, o.name); err == nil && ok {
			row.State, row.Reason = stateHeld, "IgnorePkg in "+pacmanConf
		}
	}
	for _, pattern := range options.words("ignoregroup") {
		for _, group := range o.groups {
			if ok, err := path.Match(pattern, group); err == nil && ok {
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
func pacmanInstalled(h *probe.Host, f *finding) map[string]string {
	f.in.note(h, pacmanLocal)
	installed := make(map[string]string)
	entries, err := h.ReadDir(pacmanLocal)
	for _, e := range entries {
		if name, version := splitPacman(e.Name()); version != "" && e.IsDir() {
			installed[name] = version
		}
	}
	if err == nil && len(installed) == 0 {
		err = errors.New("has no package")
	}
	if err != nil {
		f.problem("%s: %w", pacmanLocal, err)
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
	data, err := f.in.read(h, pacmanConf)
	sections, parseErr := parseINI(string(data))
	if err = errors.Join(err, parseErr); err != nil {
		f.sourcesProblem = fmt.Errorf("%s: %w", pacmanConf, err)
		f.problems = append(f.problems, f.sourcesProblem)
	}
	for _, s := range sections {
		if s.name == "options" {
			options = s
			continue
		}
		repos = append(repos, s)
	}
	for _, s := range repos {
		f.repositories = append(f.repositories, pacmanRepository(h, f.in, s, options))
	}
	if len(repos) == 0 {
		f.problem("no package repository is configured")
	}
	return options, repos
}

func pacmanRepository(h *probe.Host, in *inputs, s, options *section) *facts.RepositoryRow {
	server := s.value("server")
	for _, name := range s.values["include"] {
		data, err := in.read(h, name)
		if err != nil {
			continue // a pattern, or not there
		}
		for line := range strings.Lines(string(data)) {
			if key, value, ok := strings.Cut(line, "="); ok && server == "" && strings.TrimSpace(key) == "Server" {
				server = strings.TrimSpace(value)
			}
		}
	}
	row := &facts.RepositoryRow{Manager: "pacman", ID: s.name, Kind: "pacman", Enabled: true, File: pacmanConf,
		URI: maskURI(strings.NewReplacer("$repo", s.name).Replace(server))}
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

func (m *pacmanManager) readIndex(ctx context.Context, h *probe.Host, f *finding, r *section, installed map[string]string, used map[string]*smallIndex) *smallIndex {
	file := path.Join(pacmanSync, r.name+".db")
	state := &indexState{PackageIndexRow: facts.PackageIndexRow{Manager: "pacman", Repository: r.name, File: file}}
	f.indexes = append(f.indexes, state)
	f.in.note(h, file)
	stamp := h.Stamp(file)
	x := m.indexes[file]
	if x == nil || x.stamp != stamp || !sameNames(x.names, installed) {
		x = &smallIndex{stamp: stamp, names: installed}
		var err error
		if stamp == (probe.Stamp{}) {
			state.File = ""
			err = fmt.Errorf("no database of repository %q (run `pacman -Sy`)", r.name)
		} else if err = x.readPacman(ctx, h, file); err != nil {
			err = fmt.Errorf("%s: %w", file, err)
		}
		if err != nil {
			f.problems = append(f.problems, err)
			state.Error = err.Error()
			return nil
		}
	}
	used[file] = x
	_, err := h.Stat(file + ".sig")
	state.Signature = word(err == nil, "signed") + word(err != nil, "unsigned")
	state.confirmed = func(h *probe.Host) (time.Time, string) { return fetched(h, file), "" }
	return x
}

func (x *smallIndex) readPacman(ctx context.Context, h *probe.Host, file string) error {
	f, err := h.Open(file)
	if err != nil {
		return err
	}
	defer f.Close() // read only: nothing can be lost
	x.offers, err = parsePacmanDB(ctx.Err, f, x.names)
	return err
}

// parsePacmanDB returns the offers of the names; nil names: of all. The compression is
// told by the first bytes, as every database is called .db.
func parsePacmanDB(stop func() error, f io.Reader, names map[string]string) ([]smallOffer, error) {
	in := bufio.NewReader(f)
	magic, err := in.Peek(4)
	if err != nil {
		return nil, errors.New("it is cut off")
	}
	ext := ""
	for prefix, e := range map[string]string{"\x1f\x8b": ".gz", "\x28\xb5\x2f\xfd": ".zst", "\xfd7zX": ".xz", "BZh": ".bz2"} {
		if strings.HasPrefix(string(magic), prefix) {
			ext = e
		}
	}
	r, err := inflate(in, ext)
	if err != nil {
		return nil, err
	}
	if z, ok := r.(interface{ Close() }); ok { // zstd
		defer z.Close()
	}
	limited := &io.LimitedReader{R: r, N: maxIndex}
	archive := tar.NewReader(limited)
	offers := []smallOffer{}
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
		if _, ok := names[name]; file != "desc" || names != nil && !ok {
			continue
		}
		data, err := io.ReadAll(io.LimitReader(archive, maxDesc))
		if err != nil {
			return nil, err
		}
		if o := parsePacmanDesc(string(data)); o.name != "" && o.version != "" {
			offers = append(offers, o)
		}
	}
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
		}
	}
	return o
}
