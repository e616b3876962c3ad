package facts

// MonitorRow is a display that is connected, as its EDID tells.
type MonitorRow struct {
	Connector      string  `json:"connector,omitempty" cbor:"1,keyasint,omitempty"`      // of the graphics card: card0-HDMI-A-1
	Manufacturer   string  `json:"manufacturer,omitempty" cbor:"2,keyasint,omitempty"`   // three letters of the PNP registry
	Vendor         string  `json:"vendor,omitempty" cbor:"3,keyasint,omitempty"`         // its name
	Name           string  `json:"name,omitempty" cbor:"4,keyasint,omitempty"`           // model
	ProductCode    int     `json:"product_code" cbor:"5,keyasint"`                       // given by the manufacturer
	Serial         string  `json:"serial,omitempty" cbor:"6,keyasint,omitempty"`         // as text
	SerialID       string  `json:"serial_id,omitempty" cbor:"7,keyasint,omitempty"`      // as number, eight hexadecimal digits
	SerialNumber   int64   `json:"serial_number,omitempty" cbor:"24,keyasint,omitempty"` // the same
	SerialLabel    string  `json:"serial_label,omitempty" cbor:"8,keyasint,omitempty"`   // on the case, where its maker composes it of both
	Year           int     `json:"year,omitempty" cbor:"9,keyasint,omitempty"`           // of manufacture
	Week           int     `json:"week,omitempty" cbor:"10,keyasint,omitempty"`          // of manufacture
	ModelYear      bool    `json:"model_year,omitempty" cbor:"11,keyasint,omitempty"`    // the year is that of the model
	WidthPx        int     `json:"width_px,omitempty" cbor:"12,keyasint,omitempty"`      // preferred resolution
	HeightPx       int     `json:"height_px,omitempty" cbor:"13,keyasint,omitempty"`     //
	RefreshHz      float64 `json:"refresh_hz,omitempty" cbor:"14,keyasint,omitempty"`    // of it
	WidthCm        int     `json:"width_cm,omitempty" cbor:"15,keyasint,omitempty"`      // of the image
	HeightCm       int     `json:"height_cm,omitempty" cbor:"16,keyasint,omitempty"`     //
	WidthMm        int     `json:"width_mm,omitempty" cbor:"17,keyasint,omitempty"`      // the same, more exact
	HeightMm       int     `json:"height_mm,omitempty" cbor:"18,keyasint,omitempty"`     //
	DiagonalInches float64 `json:"diagonal_inches,omitempty" cbor:"19,keyasint,omitempty"`
	Digital        bool    `json:"digital" cbor:"20,keyasint"`                          // the signal
	Connection     string  `json:"connection,omitempty" cbor:"21,keyasint,omitempty"`   // analog, DVI, HDMI-a, DisplayPort
	HDR            bool    `json:"hdr,omitempty" cbor:"22,keyasint,omitempty"`          // takes a high dynamic range
	EDIDVersion    string  `json:"edid_version,omitempty" cbor:"23,keyasint,omitempty"` // 1.3
	Damaged        bool    `json:"damaged,omitempty" cbor:"25,keyasint,omitempty"`      // its checksum is wrong: other values may be, too
}

// Key implements Row: by connector, since displays without a serial number are common.
func (r *MonitorRow) Key() string { return r.Connector }
