// Package rpmmd reads the metadata of rpm repositories as createrepo_c writes it and
// dnf, yum and zypper keep it: repomd.xml, primary.xml, updateinfo.xml and modules.yaml.
//
// The indexes are streams of hundreds of megabytes: only what concerns the wanted names
// is parsed and kept, in constant memory; readers end when stop returns an error. What is cut, damaged or not closed is an error.
//
// Formats: https://en.opensuse.org/openSUSE:Standards_Rpm_Metadata,
// https://github.com/rpm-software-management/createrepo_c,
// https://github.com/fedora-modularity/libmodulemd/tree/main/yaml_specs.
package rpmmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Data is one file of a repository, as repomd.xml lists it.
type Data struct {
	Type      string `json:"type"` // primary, updateinfo, modules ...
	Location  string `json:"location"`
	OpenBytes int64  `json:"open_bytes,omitempty"` // inflated; 0: not told
	Timestamp int64  `json:"timestamp,omitempty"`  // seconds since 1970
}

// ParseRepomd reads repomd.xml.
func ParseRepomd(data []byte) ([]Data, error) {
	if !bytes.Contains(data, []byte("</repomd>")) || bytes.IndexByte(data, 0) >= 0 {
		return nil, errors.New("repomd.xml is cut off or damaged")
	}
	var out []Data
	for t, rest, ok := nextTag(data); ok; t, rest, ok = nextTag(rest) {
		if t.closing {
			continue
		}
		if string(t.name) == "data" {
			out = append(out, Data{Type: t.attribute("type")})
		}
		if len(out) == 0 {
			continue
		}
		d := &out[len(out)-1]
		switch string(t.name) {
		case "location":
			d.Location = t.attribute("href")
		case "open-size":
			d.OpenBytes, _ = strconv.ParseInt(t.string(), 10, 64) // 0: not told
		case "timestamp":
			whole, _, _ := strings.Cut(t.string(), ".")
			d.Timestamp, _ = strconv.ParseInt(whole, 10, 64)
		}
	}
	return out, nil
}

// Newest is when the repository was made: the newest of its files, in seconds since 1970.
func Newest(list []Data) int64 {
	newest := int64(0)
	for _, d := range list {
		newest = max(newest, d.Timestamp)
	}
	return newest
}

// Package is a package that a repository offers.
type Package struct {
	Name      string     `json:"name"`
	Version   string     `json:"version"` // with epoch where it is not 0, and release
	Arch      string     `json:"arch"`
	Vendor    string     `json:"vendor,omitempty"`
	Obsoletes []Relation `json:"obsoletes,omitempty"` // of wanted names only
}

// Relation is a name, and perhaps a condition on its version: LT, LE, EQ, GE or GT.
type Relation struct {
	Name    string `json:"name"`
	Flags   string `json:"flags,omitempty"`
	Version string `json:"version,omitempty"`
}

// Reader is a stream with what is expected of it.
type Reader struct {
	io.Reader
	Bytes int64 // that must come; 0: not told
}

// Packages calls fn for the packages of primary.xml that bear or obsolete a wanted name.
func Packages(stop func() error, r Reader, wanted func(name []byte) bool, fn func(Package)) error {
	e := newElements(r, "package", "metadata")
	err := e.each(stop, func(b []byte) {
		_, after, _ := bytes.Cut(b, []byte("<name>"))
		name, _, _ := bytes.Cut(after, []byte("</name>"))
		want := wanted(name)
		if !want && !replacesAny(b, wanted) {
			return
		}
		if p := parsePackage(b, wanted); p.Name != "" && p.Version != "" && (want || len(p.Obsoletes) > 0) {
			fn(p)
		}
	})
	return e.check(err, r.Bytes)
}

// replacesAny looks among the obsoletes of a package for a wanted name.
func replacesAny(b []byte, wanted func([]byte) bool) bool {
	_, rest, ok := bytes.Cut(b, []byte("<rpm:obsoletes>"))
	if !ok {
		return false
	}
	list, _, _ := bytes.Cut(rest, []byte("</rpm:obsoletes>"))
	for t, rest, ok := nextTag(list); ok; t, rest, ok = nextTag(rest) {
		if wanted(t.raw("name")) {
			return true
		}
	}
	return false
}

func (e *elements) check(err error, want int64) error {
	if err == nil && want > 0 && e.Read() != want {
		return fmt.Errorf("has %d bytes, repomd.xml says %d", e.Read(), want)
	}
	return err
}

func parsePackage(b []byte, wanted func([]byte) bool) (p Package) {
	obsoletes := false
	for t, rest, ok := nextTag(b); ok; t, rest, ok = nextTag(rest) {
		switch string(t.name) {
		case "rpm:obsoletes":
			obsoletes = !t.closing
		case "rpm:entry":
			if obsoletes && wanted(t.raw("name")) {
				p.Obsoletes = append(p.Obsoletes, Relation{t.attribute("name"), t.attribute("flags"), t.version()})
			}
		}
		if t.closing {
			continue
		}
		switch string(t.name) {
		case "name":
			p.Name = t.string()
		case "arch":
			p.Arch = t.string()
		case "version":
			p.Version = t.version()
		case "rpm:vendor":
			p.Vendor = t.string()
		}
	}
	return p
}

// version joins the attributes of a version: epoch, ver and rel, in updateinfo
// "version" and "release".
func (t tag) version() string {
	ver, rel := t.attribute("ver"), t.attribute("rel")
	if ver == "" {
		ver, rel = t.attribute("version"), t.attribute("release")
	}
	if ver == "" {
		return ""
	}
	if epoch := t.attribute("epoch"); epoch != "" && epoch != "0" {
		ver = epoch + ":" + ver
	}
	if rel != "" {
		ver += "-" + rel
	}
	return ver
}

// Advisory is a notice about updates, reduced to wanted packages.
type Advisory struct {
	ID       string    `json:"id"`
	Type     string    `json:"type"`               // security, bugfix, enhancement, recommended, newpackage
	Severity string    `json:"severity,omitempty"` // in the words of the repository
	CVEs     []string  `json:"cves,omitempty"`
	Packages []Package `json:"packages"`
}

// Advisories calls fn for the notices of updateinfo.xml that name a wanted package.
func Advisories(stop func() error, r Reader, wanted func(name []byte) bool, fn func(Advisory)) error {
	e := newElements(r, "update", "updates")
	err := e.each(stop, func(b []byte) {
		if a := parseAdvisory(b, wanted); a.ID != "" && len(a.Packages) > 0 {
			fn(a)
		}
	})
	return e.check(err, r.Bytes)
}

func parseAdvisory(b []byte, wanted func([]byte) bool) (a Advisory) {
	for t, rest, ok := nextTag(b); ok; t, rest, ok = nextTag(rest) {
		if t.closing {
			continue
		}
		switch string(t.name) {
		case "update":
			a.Type = t.attribute("type")
		case "id":
			a.ID = t.string()
		case "severity":
			a.Severity = t.string()
		case "reference":
			if id := t.attribute("id"); t.attribute("type") == "cve" && id != "" && !slices.Contains(a.CVEs, id) {
				a.CVEs = append(a.CVEs, id)
			}
		case "package":
			if wanted(t.raw("name")) {
				a.Packages = append(a.Packages, Package{Name: t.attribute("name"), Arch: t.attribute("arch"), Version: t.version()})
			}
		}
	}
	return a
}
