package patches

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/agent/probe/patches/rpmmd"
	"atalaya/shared/facts"
	order "atalaya/shared/version"
)

// rpmIndex is the metadata of one repository, reduced to the names that were asked for.
// It is kept as long as its repomd.xml does not change.
type rpmIndex struct {
	repomd     string // its path
	stamp      probe.Stamp
	covered    map[string]string // names that were looked for, with the lowest version installed then
	packages   []*rpmOffer
	older      map[packageID]*rpmOffer // the newest that is not newer, where priorities differ
	advisories []rpmmd.Advisory
	modules    rpmmd.Modules
	notices    bool            // it has an updateinfo at all
	basis      bool            // it offers what only the distribution publishes
	archs      map[string]bool // of what it offers
	published  facts.Time
	primary    string // path of primary.xml
}

// rpmOffer is a package of a repository.
type rpmOffer struct {
	rpmmd.Package
	repo *rpmRepo
	// kept is why it may not be installed, "" if it may.
	kept string
}

// covers reports whether all names were looked for, at these versions or lower ones.
func (x *rpmIndex) covers(names want) bool {
	for name, installed := range names {
		then, ok := x.covered[name]
		if !ok || then != installed && !rpmNewer(installed, then) {
			return false
		}
	}
	return true
}

// read reads primary, updateinfo and modules below root.
func (x *rpmIndex) read(ctx context.Context, h *probe.Host, root string, names want) error {
	data, err := h.ReadFile(x.repomd)
	if err != nil {
		return err
	}
	list, err := rpmmd.ParseRepomd(data)
	if err != nil {
		return fmt.Errorf("%s: %w", x.repomd, err)
	}
	x.covered, x.archs = names, make(map[string]bool)
	x.published = facts.Time(rpmmd.Newest(list) * 1000)
	wanted := func(name []byte) bool { _, ok := names[string(name)]; return ok }
	found := false
	for _, d := range list {
		file := root + "/repodata/" + path.Base(d.Location)
		var err error
		switch {
		case d.Type == "primary":
			found, x.primary = true, file
			err = x.part(h, file, d.OpenBytes, func(r rpmmd.Reader) error {
				return rpmmd.Packages(ctx.Err, r, wanted, func(p rpmmd.Package) { x.keep(p, names) })
			})
		case strings.HasPrefix(d.Type, "updateinfo") && !x.notices && !unreadable(d.Location):
			x.notices = true
			err = x.part(h, file, d.OpenBytes, func(r rpmmd.Reader) error {
				return rpmmd.Advisories(ctx.Err, r, wanted, func(a rpmmd.Advisory) { x.advisories = append(x.advisories, a) })
			})
		case d.Type == "modules":
			err = x.part(h, file, d.OpenBytes, func(r rpmmd.Reader) (err error) {
				x.modules, err = rpmmd.ReadModules(ctx.Err, r, wanted)
				return err
			})
		}
		if err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("%s names no primary index", x.repomd)
	}
	return nil
}

func unreadable(name string) bool { return path.Ext(name) == ".zck" }

func (x *rpmIndex) part(h *probe.Host, file string, size int64, read func(rpmmd.Reader) error) error {
	r, err := openInflated(h, file)
	if err != nil && path.Ext(file) == ".zck" && errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("%s: zchunk files are not read: %w", file, err)
	}
	if err == nil {
		err = read(rpmmd.Reader{Reader: r, Bytes: size})
		err = errors.Join(err, r.Close())
	}
	if err != nil && !strings.Contains(err.Error(), file) {
		return fmt.Errorf("%s: %w", file, err)
	}
	return err
}

// keep drops what is no newer than what is installed and replaces nothing. Where the
// priorities of repositories differ the newest of it stays: a better repository that has
// nothing newer keeps out what the others have.
func (x *rpmIndex) keep(p rpmmd.Package, names want) {
	if p.Arch == "src" || p.Arch == "nosrc" { // sources, which are not installed
		return
	}
	installed, ok := names[p.Name]
	x.basis = x.basis || ok && slices.Contains(basis["rpm"], p.Name)
	x.archs[p.Arch] = x.archs[p.Arch] || ok
	if len(p.Obsoletes) > 0 || ok && rpmNewer(p.Version, installed) {
		x.packages = append(x.packages, &rpmOffer{Package: p})
		return
	}
	id := packageID{p.Name, p.Arch}
	if old := x.older[id]; ok && x.older != nil && (old == nil || rpmNewer(p.Version, old.Version)) {
		x.older[id] = &rpmOffer{Package: rpmmd.Package{Name: p.Name, Arch: p.Arch, Version: p.Version, Vendor: p.Vendor}}
	}
}

// rpmNewer reports whether a is newer than b in rpm's order. Every string is a version.
func rpmNewer(a, b string) bool {
	c, err := order.Compare("rpm", a, b)
	return err == nil && c > 0
}

// state is what the section package_indexes says. dnf and zypper set the time of
// primary or repomd.xml when the server confirmed it.
func (r *rpmRepo) state(h *probe.Host, manager string, main *section) *indexState {
	x := &indexState{PackageIndexRow: facts.PackageIndexRow{Manager: manager, Repository: r.id, Signature: r.signature(h, main)}}
	if r.root != "" {
		x.File = r.root + "/repodata/repomd.xml"
		at := modTime(h.Stat(x.File))
		if r.index != nil {
			x.Published = r.index.published
			at = later(at, modTime(h.Stat(r.index.primary)))
		}
		x.Time = facts.TimeOf(at)
	}
	if err := errors.Join(r.problems...); err != nil {
		x.Error = joined(strings.Split(err.Error(), "\n")...)
	}
	return x
}

// signature tells whether the metadata is signed. dnf and zypper keep the signature
// beside repomd.xml only when they were asked to check it.
func (r *rpmRepo) signature(h *probe.Host, main *section) string {
	if r.root == "" {
		return ""
	}
	for _, name := range []string{"repomd.xml.asc", "repomd.xml.key"} {
		if _, err := h.Stat(r.root + "/repodata/" + name); err == nil {
			return "signed"
		}
	}
	if !r.on("repo_gpgcheck", main.on("repo_gpgcheck", false)) {
		return "unchecked"
	}
	return "unsigned"
}

// advice is what the notices say of one update.
type advice struct {
	ids, cves []string
	security  bool
	severity  int
}

// severities in ascending order; the words of Red Hat, SUSE and Fedora.
var severities = []string{"", "low", "moderate", "important", "critical"}

func severity(word string) int {
	word = strings.ToLower(word)
	if word == "medium" {
		word = "moderate"
	}
	return max(slices.Index(severities, word), 0)
}

// maxIDs bounds the notices named in one row.
const maxIDs = 8

// adviceOn gathers the notices that lead from the installed version to the offer.
func adviceOn(repos []*rpmRepo, o *rpmOffer, installed string) advice {
	var a advice
	var rest []string
	for _, r := range repos {
		if r.index == nil {
			continue
		}
		for _, n := range r.index.advisories {
			if !slices.ContainsFunc(n.Packages, func(p rpmmd.Package) bool {
				return p.Name == o.Name && p.Arch == o.Arch && rpmNewer(p.Version, installed) && !rpmNewer(p.Version, o.Version)
			}) {
				continue
			}
			a.cves = append(a.cves, n.CVEs...)
			if n.Type == "security" {
				a.security = true
				a.severity = max(a.severity, severity(n.Severity))
				a.ids = append(a.ids, n.ID)
			} else {
				rest = append(rest, n.ID)
			}
		}
	}
	slices.Sort(a.ids)
	slices.Sort(rest)
	a.ids = slices.Compact(append(a.ids, rest...))
	a.ids = a.ids[:min(len(a.ids), maxIDs)]
	slices.Sort(a.cves)
	a.cves = slices.Compact(a.cves)
	return a
}

// rebootNames are packages that run from the start of the system to its end: those of
// needs-restarting(1) of dnf-utils, and SUSE's installhint(reboot-needed).
var rebootNames = []string{"kernel", "kernel-core", "kernel-rt", "kernel-default", "glibc", "linux-firmware", "systemd", "dbus",
	"dbus-broker", "dbus-daemon", "dbus-1", "microcode_ctl", "ucode-intel", "ucode-amd", "kernel-firmware", "udev", "gnutls", "openssl-libs", "libopenssl3"}

// rebootAfter names those of them that were installed since the system was started.
func rebootAfter(rows []*facts.PackageRow, started time.Time) []string {
	var names []string
	if started.IsZero() {
		return nil
	}
	for _, p := range rows {
		if slices.Contains(rebootNames, p.Name) && p.InstalledAt.Time().After(started) {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) == 0 {
		return nil
	}
	return []string{"installed since the start: " + strings.Join(names, ", ")}
}
