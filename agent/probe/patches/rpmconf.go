package patches

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// rpmFlavour is where one of the managers of rpm packages keeps its files.
type rpmFlavour struct {
	name     string
	configs  []string // main files; the first that is there counts
	drops    []string // folders of files that add to it
	repoDirs []string // folders of .repo files
	changes  []string // folders of .repo files that change what those say
	vars     []string // folders of variables, one a file
	caches   []string // folders of which each holds ID-HASH/repodata
	plain    []string // folders of which each holds ID/repodata
	refresh  string   // what people run to fetch the metadata
	// vendors tells that an update never changes the vendor of a package.
	vendors bool
}

var (
	dnfFlavour = rpmFlavour{
		name: "dnf", configs: []string{"/etc/dnf/dnf.conf", "/etc/yum.conf"}, drops: []string{"/etc/dnf/libdnf5.conf.d", "/usr/share/dnf5/libdnf.conf.d"},
		repoDirs: []string{"/etc/yum.repos.d", "/etc/yum/repos.d", "/etc/distro.repos.d", "/usr/share/dnf5/repos.d"},
		changes:  []string{"/etc/dnf/repos.override.d", "/usr/share/dnf5/repos.override.d"},
		vars:     []string{"/usr/share/dnf5/vars.d", "/etc/yum/vars", "/etc/dnf/vars"},
		caches:   []string{"/var/cache/dnf", "/var/cache/libdnf5", "/var/cache/yum/metadata"}, refresh: "dnf makecache",
	}
	yumFlavour = rpmFlavour{
		name: "yum", configs: []string{"/etc/yum.conf"}, repoDirs: []string{"/etc/yum.repos.d", "/etc/yum/repos.d"},
		vars: []string{"/etc/yum/vars"}, refresh: "yum makecache",
	}
	zyppFlavour = rpmFlavour{
		name: "zypper", configs: []string{"/etc/zypp/zypp.conf", "/usr/etc/zypp/zypp.conf"},
		drops: []string{"/etc/zypp/zypp.conf.d", "/usr/etc/zypp/zypp.conf.d"}, repoDirs: []string{"/etc/zypp/repos.d"},
		vars: []string{"/etc/zypp/vars.d"}, plain: []string{"/var/cache/zypp/raw"}, refresh: "zypper refresh", vendors: true,
	}
)

// rpmRepo is one configured repository.
type rpmRepo struct {
	*section
	id       string
	file     string
	enabled  bool
	priority int
	root     string // of its metadata, "" where there are none
	vars     *strings.Replacer
	index    *rpmIndex
	problems []error
}

// row is what the section repositories says.
func (r *rpmRepo) row(manager string, main *section) *facts.RepositoryRow {
	row := &facts.RepositoryRow{Manager: manager, ID: r.id, Kind: "rpm-md", Enabled: r.enabled, File: r.file, SignedBy: maskURI(r.value("gpgkey"))}
	if kind := r.value("type"); kind != "" && kind != "rpm-md" && kind != "NONE" {
		row.Kind = kind
	}
	for _, key := range []string{"baseurl", "metalink", "mirrorlist"} {
		if words := r.words(key); len(words) > 0 && row.URI == "" {
			row.URI = maskURI(r.vars.Replace(words[0]))
		}
	}
	packages := r.on("gpgcheck", main.on("gpgcheck", manager == "zypper"))
	index := r.on("repo_gpgcheck", main.on("repo_gpgcheck", manager == "zypper"))
	row.Signing = strings.Join(filter([]string{word(index, "index"), word(packages, "packages")}, func(s string) bool { return s != "" }), ", ")
	if row.Signing == "" {
		row.Signing = "none"
	}
	if r.value("priority") != "" {
		row.Priority = &r.priority
	}
	return row
}

func word(yes bool, s string) string {
	if yes {
		return s
	}
	return ""
}

// rpmConfig is what the files of a manager say. Its folders are those that they name.
type rpmConfig struct {
	rpmFlavour
	main   *section
	repos  []*rpmRepo // by id
	damage probe.Problems
}

// configuration reads the main configuration and all repositories.
func (f rpmFlavour) configuration(h *probe.Host, in *inputs) *rpmConfig {
	c := &rpmConfig{rpmFlavour: f, main: &section{values: make(map[string][]string)}}
	for _, name := range c.mainFiles(h, in) {
		for _, s := range c.sections(h, in, name) {
			if s.name == "main" {
				c.main.add(s)
			}
		}
	}
	vars := f.variables(h, in)
	c.folders(vars)
	for _, name := range in.dropIns(h, ".repo", c.repoDirs...) {
		for _, s := range c.sections(h, in, name) {
			c.repos = append(c.repos, newRPMRepo(s, name, vars))
		}
	}
	slices.SortStableFunc(c.repos, func(a, b *rpmRepo) int { return strings.Compare(a.id, b.id) })
	for _, name := range in.dropIns(h, ".repo", f.changes...) {
		for _, s := range c.sections(h, in, name) {
			for _, r := range c.repos {
				if fnmatch(vars.Replace(s.name), r.id) {
					maps.Copy(r.values, s.values)
					r.settle()
				}
			}
		}
	}
	return c
}

func newRPMRepo(s *section, file string, vars *strings.Replacer) *rpmRepo {
	r := &rpmRepo{section: s, id: vars.Replace(s.name), file: file, vars: vars}
	r.settle()
	return r
}

// settle takes what the section says by now.
func (r *rpmRepo) settle() {
	r.enabled, r.priority = r.on("enabled", true), 99
	if n, err := strconv.Atoi(r.value("priority")); err == nil {
		r.priority = n
	}
}

// mainFiles are the main file and what adds to it: dnf takes the main file last, zypper
// first. The last has the word.
func (f rpmFlavour) mainFiles(h *probe.Host, in *inputs) []string {
	names := in.dropIns(h, ".conf", f.drops...)
	for _, name := range f.configs {
		if !in.exists(h, name) {
			continue
		}
		if f.name == "zypper" {
			return append([]string{name}, names...)
		}
		return append(names, name)
	}
	return names
}

func (c *rpmConfig) sections(h *probe.Host, in *inputs, name string) []*section {
	data, err := in.read(h, name)
	found, parseErr := parseINI(string(data))
	if err = errors.Join(err, parseErr); err != nil {
		c.damage.Add(fmt.Errorf("%s: %w", name, err))
	}
	return found
}

// folders takes those that the main configuration names instead of the usual ones.
func (c *rpmConfig) folders(vars *strings.Replacer) {
	named := func(key string) []string {
		return strings.FieldsFunc(vars.Replace(c.main.value(key)), func(r rune) bool { return r == ',' || r == ' ' })
	}
	if dirs := named("reposdir"); len(dirs) > 0 {
		c.repoDirs = dirs
	}
	if c.name == "zypper" {
		for _, dir := range named("cachedir") {
			c.plain = []string{path.Join(dir, "raw")}
		}
		if dirs := named("metadatadir"); len(dirs) > 0 {
			c.plain = dirs
		}
		c.vendors = c.vendors && !c.main.on("solver.allowvendorchange", false)
		return
	}
	for _, key := range []string{"cachedir", "system_cachedir"} { // of dnf 4 and 5
		c.caches = append(slices.Clone(c.caches), named(key)...)
	}
}

// variables are those of dnf.conf(5): $releasever, $basearch, $arch, and one for each
// file in the folders.
func (f rpmFlavour) variables(h *probe.Host, in *inputs) *strings.Replacer {
	var pairs []string
	add := func(name, value string) {
		if value != "" {
			pairs = append(pairs, "$"+name, value, "${"+name+"}", value)
		}
	}
	for _, dir := range f.vars {
		for _, e := range in.list(h, dir) {
			line, _, _ := strings.Cut(string(in.maybe(h, path.Join(dir, e.Name()))), "\n")
			add(e.Name(), strings.TrimSpace(line))
		}
	}
	version := osRelease(h)["VERSION_ID"]
	if f.name != "zypper" {
		version, _, _ = strings.Cut(version, ".")
	}
	add("releasever", version)
	return strings.NewReplacer(pairs...)
}

// metadata finds the folder that holds the repository's metadata: of several, left by
// changed addresses, the one refreshed last.
func (f rpmFlavour) metadata(h *probe.Host, in *inputs, id string) string {
	best := ""
	var newest int64
	consider := func(dir string) {
		info, err := h.Stat(dir + "/repodata/repomd.xml")
		if err == nil && (best == "" || info.ModTime().UnixNano() > newest) {
			best, newest = dir, info.ModTime().UnixNano()
		}
	}
	for _, cache := range f.plain {
		in.note(h, cache)
		consider(path.Join(cache, id))
	}
	for _, cache := range f.caches {
		for _, e := range in.list(h, cache) {
			if rest, ok := strings.CutPrefix(e.Name(), id+"-"); ok && e.IsDir() && isHash(rest) {
				consider(path.Join(cache, e.Name()))
			}
		}
	}
	return best
}

// isHash recognises what dnf appends to the id, 16 digits of a SHA-256 sum, and what
// microdnf does, release and architecture.
func isHash(s string) bool {
	if release, arch, ok := strings.Cut(s, "-"); ok {
		return strings.Trim(release, "0123456789.") == "" && slices.Contains([]string{"x86_64", "aarch64", "ppc64le", "s390x"}, arch)
	}
	return len(s) == 16 && strings.Trim(s, "0123456789abcdef") == ""
}
