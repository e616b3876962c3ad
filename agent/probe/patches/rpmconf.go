package patches

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// rpmFlavour is where one of the managers of rpm packages keeps its files.
type rpmFlavour struct {
	name    string
	configs []string // main files; the first that is there counts
	repos   []string // folders of .repo files
	vars    []string // folders of variables, one a file
	caches  []string // folders of which each holds ID-HASH/repodata
	plain   []string // folders of which each holds ID/repodata
	refresh string   // what people run to fetch the metadata
	// vendors tells that an update never changes the vendor of a package.
	vendors bool
}

var (
	dnfFlavour = rpmFlavour{
		name: "dnf", configs: []string{"/etc/dnf/dnf.conf", "/etc/yum.conf"},
		repos: []string{"/etc/yum.repos.d", "/etc/yum/repos.d", "/etc/distro.repos.d"}, vars: []string{"/etc/dnf/vars", "/etc/yum/vars"},
		caches: []string{"/var/cache/dnf", "/var/cache/libdnf5", "/var/cache/yum/metadata"}, refresh: "dnf makecache",
	}
	yumFlavour = rpmFlavour{
		name: "yum", configs: []string{"/etc/yum.conf"}, repos: []string{"/etc/yum.repos.d", "/etc/yum/repos.d"},
		vars: []string{"/etc/yum/vars"}, refresh: "yum makecache",
	}
	zyppFlavour = rpmFlavour{
		name: "zypper", configs: []string{"/etc/zypp/zypp.conf"}, repos: []string{"/etc/zypp/repos.d"},
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

// readRepos reads the main configuration and all repositories.
func (f rpmFlavour) readRepos(h *probe.Host, in *inputs) (main *section, repos []*rpmRepo, problem error) {
	main = &section{values: make(map[string][]string)}
	for _, name := range f.configs {
		data, err := in.read(h, name)
		if notThere(err) {
			continue
		}
		sections, parseErr := parseINI(string(data))
		if err = errors.Join(err, parseErr); err != nil {
			problem = errors.Join(problem, fmt.Errorf("%s: %w", name, err))
		}
		for _, s := range sections {
			if s.name == "main" {
				main = s
			}
		}
		break
	}
	vars := f.variables(h, in)
	for _, dir := range f.repos {
		in.note(h, dir)
		entries, _ := h.ReadDir(dir) // one of several possible
		for _, e := range entries {
			if path.Ext(e.Name()) != ".repo" {
				continue
			}
			name := path.Join(dir, e.Name())
			data, err := in.read(h, name)
			sections, parseErr := parseINI(string(data))
			if err = errors.Join(err, parseErr); err != nil {
				problem = errors.Join(problem, fmt.Errorf("%s: %w", name, err))
			}
			for _, s := range sections {
				repos = append(repos, newRPMRepo(s, name, vars))
			}
		}
	}
	slices.SortStableFunc(repos, func(a, b *rpmRepo) int { return strings.Compare(a.id, b.id) })
	return main, repos, problem
}

func newRPMRepo(s *section, file string, vars *strings.Replacer) *rpmRepo {
	r := &rpmRepo{section: s, id: vars.Replace(s.name), file: file, vars: vars, enabled: s.on("enabled", true), priority: 99}
	if n, err := strconv.Atoi(s.value("priority")); err == nil {
		r.priority = n
	}
	return r
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
		in.note(h, dir)
		entries, _ := h.ReadDir(dir) // there may be none
		for _, e := range entries {
			if data, err := in.read(h, path.Join(dir, e.Name())); err == nil {
				line, _, _ := strings.Cut(string(data), "\n")
				add(e.Name(), strings.TrimSpace(line))
			}
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
		in.note(h, cache)
		entries, _ := h.ReadDir(cache) // one of several possible
		for _, e := range entries {
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
