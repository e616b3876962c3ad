package kernelconf

import (
	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// Parsers returns the formats that this package reads.
func Parsers() []probe.Parser {
	return []probe.Parser{
		{Kind: "modules", Help: "/proc/modules: loaded modules", Parse: probe.OfText(ParseModules), Form: probe.Form{
			Want: "lines NAME SIZE REFERENCES USERS STATE ADDRESS", Ended: true, Line: `^\S+ \d+ (\d+|-) \S+ (Live|Loading|Unloading)`}},
		{Kind: "sysctl.conf", Help: "/etc/sysctl.conf, /etc/sysctl.d/NAME.conf: parameters", Parse: sysctlFile, Form: probe.Form{
			Want: "lines NAME.NAME = VALUE", Empty: true, Comment: "#;", Line: `^\s*-?[\w*?-]+[./][^=\s]*\s*=|^\s*-[\w./*?-]+\s*$`}},
	}
}

func sysctlFile(in probe.Input) (any, error) {
	rows := []*facts.KernelParameterRow{}
	for _, s := range parseSysctl(string(in.Data)) {
		rows = append(rows, &facts.KernelParameterRow{Name: dotted(s.name), Configured: plainValue(s.value), File: in.Name})
	}
	return rows, nil
}
