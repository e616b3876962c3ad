package services

import "atalaya/agent/probe"

// shownUnit is what `parse` shows of a unit file.
type shownUnit struct {
	Description string   `json:"description,omitempty"`
	Type        string   `json:"type,omitempty"`
	Exec        []string `json:"exec,omitempty"` // secrets masked
	User        string   `json:"user,omitempty"`
	Restart     string   `json:"restart,omitempty"`
	Aliases     []string `json:"aliases,omitempty"`
	Installable bool     `json:"installable"`
	Schedule    []string `json:"schedule,omitempty"`
	Starts      string   `json:"starts,omitempty"`
	Listen      []string `json:"listen,omitempty"`
}

// Parsers returns the format that this package reads.
func Parsers() []probe.Parser {
	return []probe.Parser{{
		Kind: "unit", Help: "/lib/systemd/system/NAME.service, .timer, .socket ...: the unit", Parse: probe.OfBytes(parseUnitFile), Form: probe.Form{
			Want: "[Unit], [Service] or another section with lines NAME=VALUE", Comment: "#;", Line: `^\s*\[|^\s*[A-Za-z][\w-]*\s*=|^\s|\\$`,
			Some: `^\[(Unit|Service|Timer|Socket|Install|Mount|Automount|Swap|Path|Slice|Scope)\]`},
	}}
}

func parseUnitFile(b []byte) (*shownUnit, error) {
	u, err := parseUnit(b)
	out := &shownUnit{
		Description: u.description, Type: u.kind, User: u.user, Restart: u.restart, Aliases: u.aliases,
		Installable: u.installable, Schedule: u.schedule, Starts: u.starts,
	}
	for _, line := range u.exec {
		out.Exec = append(out.Exec, probe.Mask(line))
	}
	for _, l := range u.listen {
		out.Listen = append(out.Listen, l.kind+" "+l.address)
	}
	return out, err
}
