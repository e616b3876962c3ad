package packages

import (
	"errors"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// Parsers returns the package databases that this package reads.
func Parsers() []probe.Parser {
	return []probe.Parser{
		{Kind: "dpkg", Help: "/var/lib/dpkg/status: packages", Parse: each(ParseDpkg)},
		{Kind: "rpm", Help: "/var/lib/rpm: rpmdb.sqlite, Packages.db or Packages: packages", Parse: each(ParseRPM)},
		{Kind: "apk", Help: "/lib/apk/db/installed: packages", Parse: each(ParseAPK)},
		{Kind: "pacman", Help: "/var/lib/pacman/local/NAME/desc: packages", Parse: each(ParsePacman)},
		{Kind: "snap", Help: "meta/snap.yaml: the package", Parse: each(ParseSnap)},
		{Kind: "pip", Help: "METADATA or PKG-INFO of a Python distribution: the package", Parse: each(ParsePython)},
		{Kind: "gem", Help: "an installed .gemspec: the package", Parse: each(ParseGemspec)},
		{Kind: "npm", Help: "package.json of an installed package: the package", Parse: each(ParseNode)},
	}
}

// each applies the parser of one file to several and joins their rows.
func each(parse func([]byte) ([]facts.Row, error)) func([]probe.Input) (any, error) {
	return func(files []probe.Input) (any, error) {
		rows := []facts.Row{}
		var problems error
		for _, f := range files {
			got, err := parse(f.Data)
			rows = append(rows, got...)
			problems = errors.Join(problems, err)
		}
		return rows, problems
	}
}
