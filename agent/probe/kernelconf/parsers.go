package kernelconf

import (
	"errors"
	"slices"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// Parsers returns the formats that this package reads.
func Parsers() []probe.Parser {
	return []probe.Parser{
		{Kind: "modules", Help: "/proc/modules: loaded modules", Parse: func(files []probe.Input) (any, error) {
			rows := []*facts.KernelModuleRow{}
			var problems error
			for _, f := range files {
				got, err := ParseModules(string(f.Data))
				rows = slices.Concat(rows, got)
				problems = errors.Join(problems, err)
			}
			return rows, problems
		}},
		{Kind: "sysctl.conf", Help: "/etc/sysctl.conf, /etc/sysctl.d/NAME.conf: parameters", Parse: func(files []probe.Input) (any, error) {
			rows := []*facts.KernelParameterRow{}
			for _, f := range files {
				for _, s := range parseSysctl(string(f.Data)) {
					rows = append(rows, &facts.KernelParameterRow{Name: dotted(s.name), Configured: plainValue(s.value), File: f.Name})
				}
			}
			return rows, nil
		}},
	}
}
