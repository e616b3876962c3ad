package patches

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha1" // names of cached files, no protection
	"encoding/hex"
	"errors"
	"io"
	"path"
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
	order "atalaya/shared/version"
)

const (
	apkInstalled    = "/lib/apk/db/installed"
	apkWorld        = "/etc/apk/world"
	apkRepositories = "/etc/apk/repositories"
)

// apkManager judges Alpine Linux by apk's database and the indexes in its cache
// (https://wiki.alpinelinux.org/wiki/Apk_spec). Dependencies are not solved. The
// indexes do not tell which updates are for security.
type apkManager struct {
	indexes map[string]*smallIndex // by file
}

// smallIndex is an index reduced to installed names, kept as long as its file does not
// change.
type smallIndex struct {
	stamp  probe.Stamp
	names  map[string]string // name and version installed that were looked for
	offers []smallOffer
	signed bool
}

// smallOffer is a package of an apk or pacman repository.
type smallOffer struct {
	name, version, arch string
	groups              []string
	replaces            []string // pacman's: names, perhaps with a condition on the version
}

func (*apkManager) found(h *probe.Host) bool { return anyThere(h, []string{apkInstalled}) }

// apkRepo is one line of the configuration.
type apkRepo struct {
	url, tag, file string
}

func (r apkRepo) id() string { return strings.TrimSpace(r.tag + " " + maskURI(r.url)) }

// cached is where apk keeps the repository's index: the name has the first four
// bytes of the SHA-1 sum of the address.
func (r apkRepo) cached(dir string) string {
	sum := sha1.Sum([]byte(r.url))
	return path.Join(dir, "APKINDEX."+hex.EncodeToString(sum[:4])+".tar.gz")
}

func (m *apkManager) read(ctx context.Context, h *probe.Host) *finding {
	f := newFinding()
	f.remark = "which updates are for security is not told by apk's indexes"
	data, err := f.in.read(h, apkInstalled)
	var installed []smallOffer
	if err == nil {
		installed, err = parseAPKStanzas(bytes.NewReader(data), nil)
	}
	if err == nil && len(installed) == 0 {
		err = errors.New("has no package")
	}
	if err != nil {
		f.problem("%s: %w", apkInstalled, err)
	}
	names := make(map[string]string, len(installed))
	for _, p := range installed {
		names[p.name] = p.version
	}
	repos := readAPKRepos(h, f)
	dir := "/var/cache/apk"
	if _, err := h.Stat("/etc/apk/cache"); err == nil {
		dir = "/etc/apk/cache"
	}
	best := make(map[string]*facts.PatchRow)
	used := make(map[string]*smallIndex)
	for _, r := range repos {
		m.readIndex(ctx, h, f, r, r.cached(dir), names, used, best)
	}
	m.indexes = used
	m.cover(h, f, repos, dir, names)
	pins := readWorld(h, f.in)
	for _, p := range installed {
		row := best[p.name]
		if row == nil {
			continue
		}
		row.Arch = p.arch
		if pin := pins[p.name]; pin != "" && !allows("apk", pin, row.Candidate) {
			row.State, row.Reason = statePinned, "kept by "+p.name+pin+" in "+apkWorld
		}
		f.rows = append(f.rows, row)
	}
	return f
}

// readAPKRepos reads the repositories of apk 2 and 3: an address a line, "@tag" before it
// where only packages asked for by that tag come from there.
func readAPKRepos(h *probe.Host, f *finding) (repos []apkRepo) {
	names := []string{apkRepositories}
	f.in.note(h, apkRepositories+".d")
	entries, _ := h.ReadDir(apkRepositories + ".d") // apk 3
	for _, e := range entries {
		if path.Ext(e.Name()) == ".list" {
			names = append(names, path.Join(apkRepositories+".d", e.Name()))
		}
	}
	for _, name := range names {
		data, err := f.in.read(h, name)
		if err != nil && !notThere(err) {
			f.sourcesProblem = errors.Join(f.sourcesProblem, err)
		}
		for _, r := range parseAPKRepos(string(data), name) {
			repos = append(repos, r)
			f.repositories = append(f.repositories, &facts.RepositoryRow{Manager: "apk", ID: r.id(),
				Kind: "apk", URI: maskURI(r.url), Enabled: true, Signing: "index, packages", File: name})
		}
	}
	if f.sourcesProblem != nil {
		f.problems = append(f.problems, f.sourcesProblem)
	}
	if len(repos) == 0 {
		f.problem("no package repository is configured")
	}
	return repos
}

func parseAPKRepos(text, file string) (repos []apkRepo) {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		r := apkRepo{file: file}
		if len(words) > 1 && words[0][0] == '@' {
			r.tag, words = words[0], words[1:]
		}
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		r.url = strings.TrimRight(words[0], "/")
		repos = append(repos, r)
	}
	return repos
}

func (m *apkManager) readIndex(ctx context.Context, h *probe.Host, f *finding, r apkRepo, file string, names map[string]string,
	used map[string]*smallIndex, best map[string]*facts.PatchRow) {
	id := r.id()
	state := &indexState{PackageIndexRow: facts.PackageIndexRow{Manager: "apk", Repository: id, File: file}}
	f.indexes = append(f.indexes, state)
	f.in.note(h, path.Dir(file))
	f.in.note(h, file)
	x := m.indexes[file]
	if stamp := h.Stamp(file); x == nil || x.stamp != stamp || !sameNames(x.names, names) {
		x = &smallIndex{stamp: stamp, names: names}
		if stamp == (probe.Stamp{}) {
			f.problem("no index of %q is kept (run `apk update`)", id)
		} else if err := x.readAPK(ctx, h, file); err != nil {
			f.problem("%s: %w", file, err)
		}
		if x.offers == nil {
			state.Error = f.problems[len(f.problems)-1].Error()
			state.File = ""
			return
		}
	}
	used[file] = x
	state.Signature = word(x.signed, "signed") + word(!x.signed, "unsigned")
	state.confirmed = func(h *probe.Host) (time.Time, string) { return fetched(h, file), "" }
	for _, o := range x.offers {
		if r.tag != "" || !apkNewer(o.version, names[o.name]) {
			continue
		}
		if old := best[o.name]; old == nil || apkNewer(o.version, old.Candidate) {
			best[o.name] = &facts.PatchRow{Name: o.name, Installed: names[o.name], Candidate: o.version,
				Origin: id, State: statePending, Source: "apk"}
		}
	}
}

// fetched is when a program that keeps the server's time of a file fetched it, or a time
// before that: the change time, unless the folder was last changed earlier, as where an
// image was unpacked. In copies of another machine's files only the server's time.
func fetched(h *probe.Host, file string) time.Time {
	info, err := h.Stat(file)
	if err != nil {
		return time.Time{}
	}
	at := info.ModTime()
	if !h.Live() {
		return at
	}
	changed, folder := changeTime(info), modTime(h.Stat(path.Dir(file)))
	if folder.Before(changed) {
		changed = folder
	}
	return later(at, changed)
}

// sameNames compares what an index was read for. An update that was installed since
// makes it be read again.
func sameNames(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for name, version := range a {
		if v, ok := b[name]; !ok || v != version {
			return false
		}
	}
	return true
}

// readAPK reads the index: archives one after the other, first the signature.
func (x *smallIndex) readAPK(ctx context.Context, h *probe.Host, file string) error {
	f, err := h.Open(file)
	if err != nil {
		return err
	}
	defer f.Close() // read only: nothing can be lost
	x.offers, x.signed, err = parseAPKIndex(ctx.Err, f, x.names)
	if err != nil {
		x.offers = nil
	}
	return err
}

// maxIndex bounds an inflated index of apk or pacman: Alpine's community has 8 MB,
// Arch's extra 10 MB.
const maxIndex = 256 << 20

// parseAPKIndex returns the offers of the names; nil names: of all.
func parseAPKIndex(stop func() error, f io.Reader, names map[string]string) (offers []smallOffer, signed bool, err error) {
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, false, err
	}
	limited := io.LimitReader(z, maxIndex)
	archive := tar.NewReader(limited)
	found := false
	for {
		if err := stop(); err != nil {
			return nil, false, err
		}
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, false, err
		}
		signed = signed || strings.HasPrefix(head.Name, ".SIGN.")
		if head.Name == "APKINDEX" {
			found = true
			if offers, err = parseAPKStanzas(archive, names); err != nil {
				return nil, false, err
			}
		}
	}
	if _, err := io.Copy(io.Discard, limited); err != nil { // checks the sum at the end
		return nil, false, err
	}
	if !found {
		return nil, false, errors.New("it holds no APKINDEX")
	}
	if offers == nil {
		offers = []smallOffer{}
	}
	return offers, signed, nil
}

// parseAPKStanzas reads stanzas of "X:value" lines.
func parseAPKStanzas(r io.Reader, names map[string]string) (offers []smallOffer, err error) {
	in := newStanzas(r)
	for {
		stanza, err := in.next()
		if errors.Is(err, io.EOF) {
			return offers, nil
		}
		if err != nil {
			return nil, err
		}
		var o smallOffer
		for line := range bytes.Lines(stanza) {
			if len(line) < 3 || line[1] != ':' {
				continue
			}
			switch value := bytes.TrimSpace(line[2:]); line[0] {
			case 'P':
				if _, ok := names[string(value)]; names == nil || ok {
					o.name = string(value)
				}
			case 'V':
				o.version = string(value)
			case 'A':
				o.arch = string(value)
			}
		}
		if o.name != "" && o.version != "" {
			offers = append(offers, o)
		}
	}
}

// readWorld returns the conditions on versions among the packages asked for: "=1.2-r0".
func readWorld(h *probe.Host, in *inputs) map[string]string {
	data, _ := in.read(h, apkWorld) // nothing was asked for
	pins := make(map[string]string)
	for word := range strings.FieldsSeq(string(data)) {
		if i := strings.IndexAny(word, "=<>~"); i > 0 {
			pins[word[:i]] = word[i:]
		}
	}
	return pins
}

// allows reports whether a version meets a condition such as ">=1.2".
func allows(scheme, pin, version string) bool {
	n := 0
	for n < len(pin) && strings.IndexByte("=<>~", pin[n]) >= 0 {
		n++
	}
	op, want := pin[:n], pin[n:]
	c, err := order.Compare(scheme, version, want)
	if err != nil || pin == "" {
		return true
	}
	if strings.Contains(op, "~") {
		return version == want || strings.HasPrefix(version, want) && (version[len(want)] < '0' || version[len(want)] > '9')
	}
	return c == 0 && strings.Contains(op, "=") || c < 0 && strings.Contains(op, "<") || c > 0 && strings.Contains(op, ">")
}

func apkNewer(a, b string) bool {
	c, err := order.Compare("apk", a, b)
	return err == nil && c > 0
}
