// Package devices reads what is plugged into the machine.
package devices

import (
	"encoding/binary"
	"fmt"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// Parsers returns the formats that this package reads.
func Parsers() []probe.Parser {
	return []probe.Parser{
		{Kind: "edid", Help: "/sys/class/drm/*/edid: a display", Form: probe.Form{Want: "128 bytes or more that begin 00 ff ff ff ff ff ff 00", Binary: true}, Parse: probe.OfBytes(parseEDID)},
	}
}

// shownDisplay is what `parse` shows of a display: the row, and what the header says as it is.
type shownDisplay struct {
	*facts.MonitorRow
	Made         string `json:"made"`                 // week/year, as on the label of a display
	SerialNumber uint32 `json:"header_serial_number"` // 0: not told
}

func parseEDID(b []byte) ([]shownDisplay, error) {
	row, err := decodeEDID(b)
	if row == nil {
		return nil, err
	}
	row.Vendor = pnpVendor(nil, row.Manufacturer)
	d := shownDisplay{MonitorRow: row}
	if len(b) > 17 {
		d.SerialNumber = binary.LittleEndian.Uint32(b[12:])
		d.Made = fmt.Sprintf("%d/%d", b[16], 1990+int(b[17]))
	}
	return []shownDisplay{d}, err
}
