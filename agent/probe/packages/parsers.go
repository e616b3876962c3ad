package packages

import (
	"bytes"
	"errors"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// Parsers returns the package databases that this package reads.
func Parsers() []probe.Parser {
	python := probe.Form{Want: "lines Name: and Version:"}
	return []probe.Parser{
		{Kind: "dpkg", MaxBytes: 64 << 20, Help: "/var/lib/dpkg/status: packages", Form: probe.Form{Want: "stanzas of lines Package:, Status:, Version:"}, Parse: probe.OfBytes(ParseDpkg)},
		{Kind: "rpm", MaxBytes: 256 << 20, Help: "/var/lib/rpm: rpmdb.sqlite, Packages.db or Packages: packages", Form: probe.Form{Want: "a database of rpm: sqlite, ndb or Berkeley DB", Binary: true}, Parse: probe.OfBytes(ParseRPM)},
		{Kind: "apk", MaxBytes: 64 << 20, Help: "/lib/apk/db/installed: packages", Form: probe.Form{Want: "stanzas of lines P:NAME, V:VERSION"}, Parse: probe.OfBytes(ParseAPK)},
		{Kind: "pacman", Help: "/var/lib/pacman/local/NAME/desc: packages", Form: probe.Form{Want: "blocks %NAME%, %VERSION%"}, Parse: probe.OfBytes(ParsePacman)},
		{Kind: "snap", Help: "meta/snap.yaml: the package", Form: probe.Form{Want: "YAML with name: and version:"}, Parse: probe.OfBytes(ParseSnap)},
		{Kind: "flatpak", Help: "/var/lib/flatpak/app/*/*/*/active/deploy: origin and version", Form: probe.Form{Want: "a GVariant of type (ssasta{sv})", Binary: true}, Parse: probe.OfBytes(flatpakFile)},
		{Kind: "nix", Help: "manifest.json or manifest.nix of a profile: packages", Form: probe.Form{Want: `JSON with "elements", or outPath = "/nix/store/..."`}, Parse: probe.OfBytes(nixFile)},
		{Kind: "pip", Help: "METADATA or PKG-INFO of a Python distribution: the package", Form: python, Parse: probe.OfBytes(ParsePython)},
		{Kind: "gem", Help: "an installed .gemspec: the package", Form: probe.Form{Want: "lines s.name = and s.version ="}, Parse: probe.OfBytes(ParseGemspec)},
		{Kind: "npm", Help: "package.json of an installed package: the package", Form: probe.Form{Want: `JSON with "name" and "version"`}, Parse: probe.OfBytes(ParseNode)},
	}
}

// flatpakFile shows a deploy file. Any bytes with a NUL have a first string: the second,
// the commit, is 64 hexadecimal digits.
func flatpakFile(data []byte) ([]*facts.PackageRow, error) {
	origin, version := parseDeploy(data)
	commit, _, ok := bytes.Cut(data[min(len(origin)+1, len(data)):], []byte{0})
	if !ok || len(commit) != 64 || len(bytes.Trim(commit, "0123456789abcdef")) > 0 {
		return nil, errors.New("no origin and commit at its beginning")
	}
	t := new(texts)
	return []*facts.PackageRow{{Source: "flatpak", Vendor: text(t, origin), Version: text(t, version)}}, nil
}

func nixFile(data []byte) ([]*facts.PackageRow, error) {
	stores := parseNixExpression(data)
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		var err error
		if stores, err = parseNixJSON(data); err != nil {
			return nil, err
		}
	}
	t := new(texts)
	rows := []*facts.PackageRow{}
	for _, s := range stores {
		if row := nixRow(s, t); row != nil {
			rows = append(rows, row)
		}
	}
	return rows, nil
}
