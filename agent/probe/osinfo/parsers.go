package osinfo

import (
	"errors"
	"path"
	"slices"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// Parsers returns the formats that this package reads.
func Parsers() []probe.Parser {
	return []probe.Parser{
		{Kind: "os-release", Help: "/etc/os-release, /etc/lsb-release: the system, and what each line says", Parse: parseAssignedFile, Form: probe.Form{
			Want: "lines NAME=VALUE with NAME, ID or DISTRIB_ID", Line: `^\s*(export\s+)?[A-Za-z_]\w*=`, Some: `^\s*(NAME|ID|PRETTY_NAME|DISTRIB_ID)=`}},
		{Kind: "release", Help: "/etc/redhat-release, SuSE-release, debian_version ... by its name: the system", Parse: parseReleaseFile, Form: probe.Form{
			Want: "a line such as NAME release VERSION (CODENAME)"}},
	}
}

// releaseFile is what `parse` shows of a release file.
type releaseFile struct {
	System *facts.OSRow      `json:"os"`
	Lines  map[string]string `json:"lines,omitempty"`
}

func parseAssignedFile(in probe.Input) (any, error) {
	lines := parseAssignments(in.Data)
	at := "/etc/os-release"
	if lines["NAME"] == "" && lines["ID"] == "" {
		at = "/etc/lsb-release"
	}
	return releaseFile{systemOf(func(p string) []byte {
		if p == at {
			return in.Data
		}
		return nil
	}), lines}, nil
}

func parseReleaseFile(in probe.Input) (any, error) {
	known := false
	row := systemOf(func(p string) []byte {
		if path.Base(p) != path.Base(in.Name) {
			return nil
		}
		known = true
		return in.Data
	})
	if known && row.ID != "linux" {
		return releaseFile{System: row}, nil
	}
	r, ok := parseClassic(string(in.Data))
	line := strings.ToLower(firstLine(in.Data))
	named := strings.Contains(line, " release ") || slices.ContainsFunc(nameIDs, func(n nameID) bool { return strings.HasPrefix(line, n.prefix) })
	if !ok || !named || r.version == "" {
		return nil, errors.New("no name and version in its first line")
	}
	row = &facts.OSRow{Family: "linux"}
	r.describe(row)
	return releaseFile{System: row}, nil
}

func systemOf(read reader) *facts.OSRow {
	r := detect(read)
	row := &facts.OSRow{Family: "linux"}
	if r.family != "" {
		row.Family = r.family
	}
	r.describe(row)
	return row
}
