// Package devices reads what is plugged into the machine.
package devices

import (
	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// Parsers returns the formats that this package reads.
func Parsers() []probe.Parser {
	return []probe.Parser{
		{Kind: "edid", Help: "/sys/class/drm/*/edid: a display", Form: probe.Form{Want: "128 bytes or more that begin 00 ff ff ff ff ff ff 00", Binary: true}, Parse: probe.OfBytes(parseEDID)},
	}
}

func parseEDID(b []byte) ([]*facts.MonitorRow, error) {
	row, err := decodeEDID(b)
	if row == nil {
		return nil, err
	}
	row.Vendor = pnpVendor(nil, row.Manufacturer)
	return []*facts.MonitorRow{row}, err
}
