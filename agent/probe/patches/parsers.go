package patches

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/agent/probe/patches/rpmmd"
	"atalaya/shared/facts"
)

// Parsers returns the formats that this package reads. Indexes may be compressed.
func Parsers() []probe.Parser {
	list := func(want string, binary bool) probe.Form { return probe.Form{Want: want, Binary: binary, None: true} }
	return []probe.Parser{
		{Kind: "apt-sources", Help: "/etc/apt/sources.list, *.list or *.sources: repositories", Parse: parseAptSources, Form: probe.Form{
			Want: "lines deb URI SUITE COMPONENT..., or stanzas with Types: and URIs:", Empty: true, Some: `^\s*(deb|deb-src)\s|^Types:|^\s*#`}},
		{Kind: "apt-release", Help: "InRelease or Release: origin, dates, sizes of the indexes", Parse: parseAptRelease, Form: probe.Form{
			Want: "lines Origin:, Suite:, Date:, SHA256:", Some: `^(Origin|Label|Suite|Codename|Date|MD5Sum|SHA256): ?`}},
		{Kind: "apt-packages", MaxBytes: 128 << 20, Help: "Packages: versions offered", Parse: parseAptPackages, Form: probe.Form{
			Want: "stanzas of lines Package:, Version:, Architecture:, maybe compressed", Binary: true, Empty: true}},
		{Kind: "apt-preferences", Help: "/etc/apt/preferences: pins", Parse: parseAptPreferences, Form: probe.Form{
			Want: "stanzas of lines Package:, Pin:, Pin-Priority:", Empty: true, Some: `^(Package|Pin|Explanation):|^#`, Line: `^[\w-]+:|^\s`}},
		{Kind: "apt-conf", Help: "/etc/apt/apt.conf: settings", Parse: func(in probe.Input) (any, error) {
			conf := make(aptConf)
			return conf, parseAptConf(conf, string(in.Data))
		}, Form: probe.Form{Want: `lines NAME::NAME "VALUE"; or NAME { ... };`, Empty: true,
			Some: `^\s*#?[A-Za-z][\w-]*(::[^\s"{]*)*\s*(\{|\s"[^"]*"\s*;)|^\s*(//|/\*)`}},
		{Kind: "rpm-repo", Help: "/etc/yum.repos.d/*.repo: repositories", Parse: parseRPMRepos, Form: probe.Form{
			Want: "[ID] with lines NAME=VALUE", Empty: true, Comment: "#;", Line: `^\s*\[|^\s*[\w.-]+\s*[=:]|^\s`, Some: `^\s*(baseurl|mirrorlist|metalink|name|enabled|gpgcheck|path)\s*=|^[#;]`}},
		{Kind: "repomd", Help: "repomd.xml: files of an rpm repository", Parse: probe.OfBytes(rpmmd.ParseRepomd), Form: list("XML with <repomd>", false)},
		{Kind: "primary", MaxBytes: 256 << 20, Help: "primary.xml: packages of an rpm repository", Parse: parsePrimary, Form: list("XML with <metadata>, maybe compressed", true)},
		{Kind: "updateinfo", MaxBytes: 128 << 20, Help: "updateinfo.xml: notices of an rpm repository", Parse: parseUpdateinfo, Form: list("XML with <updates>, maybe compressed", true)},
		{Kind: "modulemd", MaxBytes: 64 << 20, Help: "modules.yaml: streams of modules of an rpm repository", Parse: parseModules, Form: probe.Form{
			Want: "YAML with document: modulemd, maybe compressed", Binary: true}},
		{Kind: "apkindex", MaxBytes: 64 << 20, Help: "APKINDEX.tar.gz: packages of an apk repository", Parse: parseAPKFile, Form: list("APKINDEX in a tar.gz", true)},
		{Kind: "apk-repositories", Help: "/etc/apk/repositories: repositories", Parse: func(in probe.Input) (any, error) {
			list := []string{}
			for _, r := range parseAPKRepos(string(in.Data), in.Name) {
				list = append(list, r.id())
			}
			return list, nil
		}, Form: probe.Form{Want: "lines [@TAG] URL", Empty: true, Line: `^\s*(@\S+\s+)?([a-z+]+://|/)\S*\s*$`}},
		{Kind: "pacman-db", MaxBytes: 64 << 20, Help: "/var/lib/pacman/sync/*.db: packages of a pacman repository", Parse: parsePacmanFile, Form: probe.Form{
			Want: "NAME/desc files in a tar, maybe compressed", Binary: true}},
		{Kind: "snapd-state", MaxBytes: 64 << 20, Help: "/var/lib/snapd/state.json: refreshes that wait", Parse: probe.OfBytes(func(b []byte) ([]facts.Row, error) {
			rows, _, _, err := parseSnapState(b, time.Time{})
			return rows, err
		}), Form: probe.Form{Want: `JSON with "data"`, Some: `"data"\s*:`}},
	}
}

func anyName([]byte) bool { return true }

// goOn is for a person who waits and can interrupt.
func goOn() error { return nil }

// inflated reads what may be compressed, as the name of the file says.
func inflated(in probe.Input, read func(rpmmd.Reader) error) error {
	r, err := inflate(bytes.NewReader(in.Data), path.Ext(in.Name))
	if err != nil {
		return err
	}
	return read(rpmmd.Reader{Reader: r})
}

func parseAptSources(in probe.Input) (any, error) {
	parse := func(b []byte) ([]source, error) { return parseSourcesList(string(b)) }
	if strings.HasSuffix(in.Name, ".sources") || bytes.Contains(in.Data, []byte("Types:")) {
		parse = parseSources
	}
	list, err := parse(in.Data)
	rows := []*facts.RepositoryRow{}
	for _, s := range list {
		rows = append(rows, s.row())
	}
	return rows, err
}

func parseAptRelease(in probe.Input) (any, error) {
	r := &release{sizes: make(map[string]int64)}
	err := r.parse(in.Data)
	r.signed = bytes.HasPrefix(in.Data, []byte("-----BEGIN PGP"))
	return struct {
		Origin        string           `json:"origin"`
		Security      bool             `json:"security"`
		Signature     string           `json:"signature"`
		Date          facts.Time       `json:"date,omitzero"`
		ValidUntil    facts.Time       `json:"valid_until,omitzero"`
		Architectures []string         `json:"architectures"`
		Sizes         map[string]int64 `json:"sizes"`
	}{r.describe(), r.security(), r.signature(), facts.TimeOf(r.date), facts.TimeOf(r.validUntil), r.architectures, r.sizes}, err
}

type offered struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch"`
	Source  string `json:"source,omitempty"`
	Percent *int   `json:"phased_percent,omitempty"`
}

func parseAptPackages(in probe.Input) (any, error) {
	out := []offered{}
	err := inflated(in, func(r rpmmd.Reader) error {
		stanzas := newStanzas(r)
		for {
			stanza, err := stanzas.next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			var o offer
			eachField(stanza, o.field)
			row := offered{Name: string(packageName(stanza)), Version: o.version, Arch: o.arch, Source: o.source}
			if row.Name == "" || row.Version == "" {
				return fmt.Errorf("package %d has no name or version", len(out)+1)
			}
			if o.phased {
				row.Percent = &o.percent
			}
			out = append(out, row)
		}
	})
	return out, err
}

func parseAptPreferences(in probe.Input) (any, error) {
	p := new(policy)
	err := p.parse(in.Data)
	type record struct {
		Packages []string `json:"packages"`
		Pin      string   `json:"pin"`
		Priority int      `json:"priority"`
	}
	out := []record{}
	for _, x := range append(p.specific, p.general...) {
		out = append(out, record{x.names, strings.TrimSpace(x.kind + " " + x.data), x.priority})
	}
	return out, err
}

func parseRPMRepos(in probe.Input) (any, error) {
	sections, err := parseINI(string(in.Data))
	rows := []*facts.RepositoryRow{}
	for _, s := range sections {
		rows = append(rows, newRPMRepo(s, in.Name, strings.NewReplacer()).row("dnf", &section{}))
	}
	return rows, err
}

func parsePrimary(in probe.Input) (any, error) {
	out := []rpmmd.Package{}
	err := inflated(in, func(r rpmmd.Reader) error {
		return rpmmd.Packages(goOn, r, anyName, func(p rpmmd.Package) { out = append(out, p) })
	})
	return out, err
}

func parseUpdateinfo(in probe.Input) (any, error) {
	out := []rpmmd.Advisory{}
	err := inflated(in, func(r rpmmd.Reader) error {
		return rpmmd.Advisories(goOn, r, anyName, func(a rpmmd.Advisory) { out = append(out, a) })
	})
	return out, err
}

func parseModules(in probe.Input) (any, error) {
	var m rpmmd.Modules
	err := inflated(in, func(r rpmmd.Reader) (err error) {
		m, err = rpmmd.ReadModules(goOn, r, anyName)
		return err
	})
	return m, err
}

func parseAPKFile(in probe.Input) (any, error) {
	offers, signed, err := parseAPKIndex(goOn, bytes.NewReader(in.Data), nil)
	return struct {
		Signed   bool      `json:"signed"`
		Packages []offered `json:"packages"`
	}{signed, smallOffers(offers)}, err
}

func parsePacmanFile(in probe.Input) (any, error) {
	offers, err := parsePacmanDB(goOn, bytes.NewReader(in.Data), nil)
	return smallOffers(offers), err
}

func smallOffers(list []smallOffer) []offered {
	out := []offered{}
	for _, o := range list {
		out = append(out, offered{Name: o.name, Version: o.version, Arch: o.arch})
	}
	return out
}
