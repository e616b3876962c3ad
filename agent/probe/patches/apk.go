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
	"slices"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
	order "atalaya/shared/version"
)

const (
	apkInstalled    = "/lib/apk/db/installed"
	apkWorldFile    = "/etc/apk/world"
	apkRepositories = "/etc/apk/repositories"
)

// apkManager judges Alpine Linux by apk's database and the indexes in its cache
// (https://wiki.alpinelinux.org/wiki/Apk_spec). Dependencies are not solved. The
// indexes do not tell which updates are for security.
type apkManager struct {
	indexes map[string]*smallIndex // by file
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
	if f.in.exists(h, "/etc/apk/cache") {
		dir = "/etc/apk/cache"
	}
	in := &smallReader{finding: f, h: h, manager: "apk", refresh: "apk update", parse: parseAPKIndex,
		names: names, kept: m.indexes, used: make(map[string]*smallIndex)}
	offers := make(map[string][]*apkOffer)
	for _, r := range repos {
		if x := in.index(ctx, r.id(), r.cached(dir)); x != nil {
			for _, o := range x.offers {
				offers[o.name] = append(offers[o.name], &apkOffer{o, r})
			}
		}
	}
	m.indexes = in.used
	in.coverAPK(repos, dir)
	world := readWorld(h, f)
	world.check(f, repos)
	for _, p := range installed {
		if row := world.update(p, offers[p.name]); row != nil {
			f.rows = append(f.rows, row)
		}
	}
	return f
}

// apkOffer is a package with the repository that has it.
type apkOffer struct {
	smallOffer
	repo apkRepo
}

// readAPKRepos reads the repositories of apk 2 and 3: an address a line, "@tag" before it
// where only packages asked for by that tag come from there.
func readAPKRepos(h *probe.Host, f *finding) (repos []apkRepo) {
	var problems probe.Problems
	more := f.in.dropIns(h, ".list", apkRepositories+".d", "/lib/apk/repositories.d") // apk 3
	for _, name := range append([]string{apkRepositories}, more...) {
		data, err := f.in.read(h, name)
		if err != nil && !notThere(err) {
			problems.Add(err)
		}
		for _, r := range parseAPKRepos(string(data), name) {
			repos = append(repos, r)
			f.repositories = append(f.repositories, &facts.RepositoryRow{Manager: "apk", ID: r.id(),
				Kind: "apk", URI: maskURI(r.url), Enabled: true, Signing: "index, packages", File: name})
		}
	}
	if f.sourcesProblem = problems.Err(); f.sourcesProblem != nil {
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

// maxIndex bounds an inflated index of apk or pacman: Alpine's community has 8 MB,
// Arch's extra 10 MB.
const maxIndex = 256 << 20

// parseAPKIndex reads the index, archives one after the other, first the signature, and
// returns the offers of the names; nil names: of all.
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

// apkWish is a word of apk's world: what people asked for.
type apkWish struct{ tag, bound string }

// apkWorld is what was asked for by name, and the tags that any of it has.
type apkWorld struct {
	wishes map[string]apkWish
	tags   map[string]bool
}

// readWorld reads words such as "nginx", "nginx=1.2-r0" and "nginx@edge>1.2".
func readWorld(h *probe.Host, f *finding) apkWorld {
	data := f.in.maybe(h, apkWorldFile)
	w := apkWorld{make(map[string]apkWish), make(map[string]bool)}
	for word := range strings.FieldsSeq(string(data)) {
		word, tag := cutTag(word)
		name := word
		if i := strings.IndexAny(word, "=<>~"); i > 0 {
			name = word[:i]
		}
		w.wishes[name] = apkWish{tag, word[len(name):]}
		w.tags[tag] = true
	}
	return w
}

// check notes what was asked for by a tag that no repository has: apk installs nothing
// until that is mended.
func (w apkWorld) check(f *finding, repos []apkRepo) {
	for name, wish := range w.wishes {
		if wish.tag != "" && !slices.ContainsFunc(repos, func(r apkRepo) bool { return r.tag == wish.tag }) {
			f.gap("%s asks for %s%s, and no repository has that tag", apkWorldFile, name, wish.tag)
		}
	}
	slices.Sort(f.gaps)
}

// cutTag takes "@tag" out of a word of the world.
func cutTag(word string) (rest, tag string) {
	i := strings.IndexByte(word, '@')
	if i < 0 {
		return word, ""
	}
	end := i
	for end < len(word) && strings.IndexByte("=<>~", word[end]) < 0 {
		end++
	}
	return word[:i] + word[end:], word[i:end]
}

// update chooses the candidate for an installed package: the newest version that the
// world allows, or the newest at all as one that is pinned.
func (w apkWorld) update(p smallOffer, offers []*apkOffer) *facts.PatchRow {
	bound := w.wishes[p.name].bound
	var best *apkOffer
	pinned := false
	for _, o := range w.usable(p, offers) {
		if !apkNewer(o.version, p.version) {
			continue
		}
		kept := !allows("apk", bound, o.version)
		if best == nil || pinned && !kept || pinned == kept && apkNewer(o.version, best.version) {
			best, pinned = o, kept
		}
	}
	if best == nil {
		return nil
	}
	row := &facts.PatchRow{Name: p.name, Arch: p.arch, Installed: p.version, Candidate: best.version,
		Origin: best.repo.id(), State: statePending, Source: "apk"}
	if pinned {
		row.State, row.Reason = statePinned, "kept by "+p.name+bound+" in "+apkWorldFile
	}
	return row
}

// usable are the offers that apk takes a package from (compare_providers in its
// solver.c): those of the tag it was asked for by, else those of repositories without a
// tag. What came in as a dependency of a package with a tag may be of that tag too; it is
// taken to be so where no other repository has that version or a newer one.
func (w apkWorld) usable(p smallOffer, offers []*apkOffer) []*apkOffer {
	tag := w.wishes[p.name].tag
	var asked, plain, tagged []*apkOffer
	newest := false
	for _, o := range offers {
		switch {
		case o.repo.tag == "":
			plain = append(plain, o)
			newest = newest || !apkNewer(p.version, o.version)
		case o.repo.tag == tag:
			asked = append(asked, o)
		case w.tags[o.repo.tag]:
			tagged = append(tagged, o)
		}
	}
	switch {
	case len(asked) > 0:
		return asked
	case newest:
		return plain
	}
	return append(plain, tagged...)
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
