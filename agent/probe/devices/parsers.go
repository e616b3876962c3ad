// Package devices reads what is plugged into the machine.
package devices

import (
	"errors"
	"fmt"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// Parsers returns the formats that this package reads.
func Parsers() []probe.Parser {
	return []probe.Parser{
		{Kind: "edid", Help: "/sys/class/drm/*/edid: a display", Parse: parseEDIDs},
	}
}

func parseEDIDs(files []probe.Input) (any, error) {
	rows := []*facts.MonitorRow{}
	var problems error
	for _, f := range files {
		row, err := decodeEDID(f.Data)
		if err != nil {
			problems = errors.Join(problems, fmt.Errorf("%s: %w", f.Name, err))
		}
		if row != nil {
			row.Vendor = pnpVendor(nil, row.Manufacturer)
			rows = append(rows, row)
		}
	}
	return rows, problems
}
