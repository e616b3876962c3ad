package patches

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// This file asks whether the configured sources can prove anything: that nothing waits in
// a third party's repository, in another release's or in what nobody has signed says
// nothing of the system's own updates (docs/adr/0039).

// gap notes why no update in the sources is no proof that there is none.
func (f *finding) gap(format string, args ...any) {
	f.gaps = append(f.gaps, fmt.Sprintf(format, args...))
}

// basis names packages that every system of a manager has and nobody but its
// distribution publishes.
var basis = map[string][]string{
	"apt":    {"base-files", "dpkg", "libc6"},
	"rpm":    {"filesystem", "glibc", "rpm"},
	"apk":    {"alpine-baselayout", "apk-tools", "musl"},
	"pacman": {"filesystem", "glibc", "pacman"},
}

// needBasis notes a gap where none of the sources offers any of the basis that is
// installed. What is not installed is not looked for in the indexes.
func (f *finding) needBasis(manager string, installed, offered func(name string) bool) {
	if slices.ContainsFunc(basis[manager], installed) && !slices.ContainsFunc(basis[manager], offered) {
		f.gap("no source of the distribution itself is configured")
	}
}

// noteRelease is osRelease for what is kept with the finding.
func noteRelease(h *probe.Host, in *inputs) map[string]string {
	in.note(h, "/etc/os-release")
	in.note(h, "/usr/lib/os-release")
	return osRelease(h)
}

// publishers are the distributions that publish security updates in a suite of their own:
// os-release's ID, and but for the case the origin in their Release files.
var publishers = []string{"debian", "ubuntu", "devuan"}

// cover weighs apt's sources. A source of which nothing was fetched is a problem of its
// own, and might be any. A derivative that names its base takes security from there. Only
// a source with an index for the machine's architecture proves anything.
func (out *aptReading) cover() {
	system := noteRelease(out.h, out.in)
	known := slices.Contains(publishers, system["ID"]) || baseCodename(system) != ""
	var own, security []*repository
	fetched := true
	for _, repo := range out.repos {
		rel := repo.release
		fetched = fetched && rel.file != ""
		out.checkSigned(rel)
		switch {
		case !repo.serves[out.sys.native] && len(repo.problems) == 0:
		case rel.carriesSecurity():
			security = append(security, repo)
		case rel.notAutomatic:
		case slices.Contains(publishers, strings.ToLower(rel.origin)), slices.ContainsFunc(basis["apt"], repo.offers):
			own = append(own, repo)
		}
	}
	if len(out.repos) == 0 || len(out.problems) > 0 && !fetched {
		return
	}
	right := func(r *repository) bool { return !differs(system, r.release) }
	if len(own) == 0 {
		out.gap("no source of the distribution itself is configured")
	} else if !slices.ContainsFunc(own, right) {
		out.gap("the sources are of %s, the system is %s", own[0].release.name(), first(baseCodename(system), system["VERSION_CODENAME"], system["VERSION_ID"]))
	}
	if known && !slices.ContainsFunc(security, right) && system["VERSION_ID"] != "" { // testing and unstable have none
		out.gap("no source of the distribution's security updates is enabled")
	}
	for _, repo := range own {
		if strings.EqualFold(repo.release.origin, "ubuntu") && strings.HasSuffix(repo.release.suite, "-updates") {
			security = append(security, repo) // has what the security suite has, a little later
		}
	}
	for _, repo := range own {
		for _, x := range repo.indexes {
			if len(x.offers) > 0 && unguarded(x.component, out.sys.native, security) {
				out.gap("component %q is in use, but no source of its security updates is enabled", x.component)
			}
		}
	}
}

// unguarded reports whether the security sources have updates of a component that none of
// them is asked for.
func unguarded(component, arch string, security []*repository) bool {
	offered := false
	for _, repo := range security {
		src := repo.release.source
		if slices.Contains(src.components, component) {
			return false
		}
		size, ok := repo.release.offers(src.indexPath(component, arch), arch)
		offered = offered || ok && size != 0 && len(repo.release.sizes) > 0
	}
	return offered
}

// checkSigned notes an index that bears no signature: apt refuses to install from it
// unless the configuration allows that.
func (out *aptReading) checkSigned(rel *release) {
	switch src := rel.source; {
	case src.trusted == "yes" || !rel.signed && src.insecure:
		out.unchecked = append(out.unchecked, src.name())
	case rel.file != "" && !rel.signed:
		out.gap("index of %q is not signed", src.name())
	}
}

// carriesSecurity goes by the configured words too: mirrors sign with their own labels.
func (r *release) carriesSecurity() bool {
	return r.security() || strings.HasSuffix(r.source.suite, "-security") || strings.HasSuffix(r.source.suite, "/updates") ||
		strings.Contains(r.source.uri, "security")
}

// name is the codename of the release itself: bookworm for bookworm-security.
func (r *release) name() string {
	name, _, _ := strings.Cut(r.codename, "-")
	name, _, _ = strings.Cut(name, "/")
	return name
}

// baseCodename is the release that a derivative of Debian or Ubuntu builds on.
func baseCodename(system map[string]string) string {
	return first(system["UBUNTU_CODENAME"], system["DEBIAN_CODENAME"])
}

// differs reports whether codename and version both speak against the system's release,
// or that of its base, as far as both sides tell them.
func differs(system map[string]string, r *release) bool {
	own, base, name := system["VERSION_CODENAME"], baseCodename(system), r.name()
	if own+base != "" && name != "" {
		unstable := name == "sid" && system["ID"] == "debian" && system["VERSION_ID"] == "" // calls itself as testing does
		return name != own && name != base && r.codename != own && !unstable
	}
	_, id := lineage(system)
	return id != "" && r.version != "" && !within(r.version, id)
}

// within reports whether a version belongs to a release: 12.5 to 12.
func within(version, release string) bool {
	return version == release || strings.HasPrefix(version, release+".")
}

// offers reports whether any of the indexes has the package.
func (repo *repository) offers(name string) bool {
	return slices.ContainsFunc(repo.indexes, func(x repositoryIndex) bool { return len(x.offers[name]) > 0 })
}

// updatesApart are distributions of rpm packages whose updates have a repository of their
// own, by os-release's ID and major version, with a word in its name or address.
var updatesApart = map[string]string{"fedora": "update", "centos 7": "update", "opensuse-leap 15": "update", "sles 15": "update"}

// cover weighs the enabled repositories of dnf or zypper.
func (out *rpmReading) cover() {
	system := noteRelease(out.h, out.in)
	for _, r := range out.repos {
		if r.row(out.name, out.main).Signing == "none" {
			out.unchecked = append(out.unchecked, r.id)
		}
	}
	if len(out.repos) == 0 || slices.ContainsFunc(out.repos, func(r *rpmRepo) bool { return r.index == nil }) {
		return // told already
	}
	out.needBasis("rpm", func(name string) bool { return out.names[name] != "" }, func(string) bool {
		return slices.ContainsFunc(out.repos, func(r *rpmRepo) bool { return r.index.basis })
	})
	for _, r := range out.repos {
		if r.index.elsewhere(out.installed) {
			out.gap("repository %q is for other machines: it has nothing of this one's architecture", r.id)
		}
	}
	major, _, _ := strings.Cut(system["VERSION_ID"], ".")
	word := first(updatesApart[system["ID"]+" "+major], updatesApart[system["ID"]])
	if word != "" && !slices.ContainsFunc(out.repos, func(r *rpmRepo) bool {
		return strings.Contains(strings.ToLower(r.id+" "+r.row(out.name, out.main).URI), word)
	}) {
		out.gap("no repository of the distribution's updates is enabled")
	}
	set := out.repos[0].vars.Replace("$releasever")
	if major != "" && strings.Trim(set, "0123456789.") == "" && !within(system["VERSION_ID"], set) && !within(set, system["VERSION_ID"]) {
		out.gap("the repositories are of release %s, the system is %s", set, system["VERSION_ID"])
	}
}

// elsewhere reports whether the repository has packages that are installed, and none of
// their architectures.
func (x *rpmIndex) elsewhere(installed []*facts.PackageRow) bool {
	other := false
	for arch, wanted := range x.archs {
		if wanted && slices.ContainsFunc(installed, func(p *facts.PackageRow) bool { return p.Arch == arch }) {
			return false
		}
		other = other || wanted
	}
	return other
}

// alpineBranch is the release that an address of Alpine names.
var alpineBranch = regexp.MustCompile(`/v(\d+\.\d+)(/|$)`)

// coverAPK weighs apk's repositories. Those with a tag do not count.
func (in *smallReader) coverAPK(repos []apkRepo, dir string) {
	system := noteRelease(in.h, in.in)
	var branches []string
	offered := make(map[string]bool)
	for _, r := range repos {
		x := in.used[r.cached(dir)]
		switch {
		case r.tag != "":
			continue
		case x == nil:
			return // told already
		case !x.signed:
			in.gap("index of %q is not signed", r.id())
		}
		branch := ""
		if found := alpineBranch.FindStringSubmatch(r.url); found != nil {
			branch = found[1]
		}
		branches = append(branches, branch)
		for _, o := range x.offers {
			offered[o.name] = true
		}
	}
	if len(branches) == 0 {
		in.gap("no package repository is configured")
		return
	}
	in.needBasis("apk", func(name string) bool { return in.names[name] != "" }, func(name string) bool { return offered[name] })
	id := system["VERSION_ID"]
	if system["ID"] == "alpine" && id != "" && !slices.ContainsFunc(branches, func(b string) bool {
		return b == "" || within(id, b)
	}) {
		in.gap("the repositories are of v%s, the system is %s", branches[0], id)
	}
}

// unsignedSources words which sources are taken as they come, as the configuration says.
func unsignedSources(found []*finding) string {
	var names []string
	for _, f := range found {
		names = append(names, f.unchecked...)
	}
	switch names = filter(names, func(string) bool { return true }); len(names) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("%q is configured to be taken without any signature", names[0])
	}
	return fmt.Sprintf("%q and %d more sources are configured to be taken without any signature", names[0], len(names)-1)
}
