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

// MemoryArrayRow is the memory of the machine as a whole, or one of its arrays (SMBIOS
// type 16): a board or a processor with slots.
type MemoryArrayRow struct {
	Handle          string `json:"handle,omitempty" cbor:"1,keyasint,omitempty"`           // of the array; absent: the machine
	Location        string `json:"location,omitempty" cbor:"2,keyasint,omitempty"`         // SMBIOS 7.17.1, in lower case: system board
	Use             string `json:"use,omitempty" cbor:"3,keyasint,omitempty"`              // SMBIOS 7.17.2, in lower case: system memory
	ErrorCorrection string `json:"error_correction,omitempty" cbor:"4,keyasint,omitempty"` // none, parity, single-bit ECC, multi-bit ECC, CRC
	MaxBytes        int64  `json:"max_bytes,omitempty" cbor:"5,keyasint,omitempty"`        // what it takes
	Slots           int    `json:"slots,omitempty" cbor:"6,keyasint,omitempty"`
	Populated       int    `json:"populated,omitempty" cbor:"7,keyasint,omitempty"` // slots with a module
	InstalledBytes  int64  `json:"installed_bytes,omitempty" cbor:"8,keyasint,omitempty"`
	UsableBytes     int64  `json:"usable_bytes,omitempty" cbor:"9,keyasint,omitempty"` // what the kernel has of it (MemTotal), on the row of the machine
}

// Key implements Row.
func (r *MemoryArrayRow) Key() string { return r.Handle }

// SlotRow is a slot for a card (SMBIOS type 9).
type SlotRow struct {
	Designation string `json:"designation" cbor:"1,keyasint"`
	Type        string `json:"type,omitempty" cbor:"2,keyasint,omitempty"`    // PCI Express 3 x16
	Width       string `json:"width,omitempty" cbor:"3,keyasint,omitempty"`   // of the data bus: x16, 32-bit
	Usage       string `json:"usage,omitempty" cbor:"4,keyasint,omitempty"`   // available, in use, unavailable
	SlotID      int    `json:"slot_id,omitempty" cbor:"5,keyasint,omitempty"` // as the firmware numbers it
	Address     string `json:"address,omitempty" cbor:"6,keyasint,omitempty"` // PCI address: 0000:01:00.0
	Handle      string `json:"handle,omitempty" cbor:"7,keyasint,omitempty"`  // where slots have the same designation
}

// Key implements Row.
func (r *SlotRow) Key() string { return key(r.Designation, r.Handle) }

// BatteryRow is a battery of the machine itself, from the kernel and SMBIOS type 22.
type BatteryRow struct {
	Name          string `json:"name" cbor:"1,keyasint"` // of the kernel: BAT0; else its location
	Manufacturer  string `json:"manufacturer,omitempty" cbor:"2,keyasint,omitempty"`
	Model         string `json:"model,omitempty" cbor:"3,keyasint,omitempty"`
	Serial        string `json:"serial,omitempty" cbor:"4,keyasint,omitempty"`
	Chemistry     string `json:"chemistry,omitempty" cbor:"5,keyasint,omitempty"`       // Li-ion
	DesignMWh     int64  `json:"design_mwh,omitempty" cbor:"6,keyasint,omitempty"`      // energy when new
	DesignMAh     int64  `json:"design_mah,omitempty" cbor:"7,keyasint,omitempty"`      // charge when new
	DesignMV      int64  `json:"design_mv,omitempty" cbor:"8,keyasint,omitempty"`       // voltage
	Made          string `json:"made,omitempty" cbor:"9,keyasint,omitempty"`            // YYYY-MM-DD
	HealthPercent int    `json:"health_percent,omitempty" cbor:"10,keyasint,omitempty"` // what it takes of the design, down to the next 10, that the row rests
	Cycles        int64  `json:"cycles,omitempty" cbor:"11,keyasint,omitempty"`         // charge cycles, down to the next 50
	Location      string `json:"location,omitempty" cbor:"12,keyasint,omitempty"`
}

// Key implements Row.
func (r *BatteryRow) Key() string { return r.Name }

// PowerSupplyRow is a power supply unit (SMBIOS type 39) or an adapter the kernel knows.
type PowerSupplyRow struct {
	Name           string `json:"name" cbor:"1,keyasint"`                         // of the kernel: AC; else as SMBIOS calls it
	Type           string `json:"type,omitempty" cbor:"2,keyasint,omitempty"`     // mains, usb, ups; SMBIOS 7.40.1: switching, linear ...
	Location       string `json:"location,omitempty" cbor:"3,keyasint,omitempty"` // PSU1
	Manufacturer   string `json:"manufacturer,omitempty" cbor:"4,keyasint,omitempty"`
	Part           string `json:"part,omitempty" cbor:"5,keyasint,omitempty"` // model part number
	Serial         string `json:"serial,omitempty" cbor:"6,keyasint,omitempty"`
	AssetTag       string `json:"asset_tag,omitempty" cbor:"7,keyasint,omitempty"`
	Revision       string `json:"revision,omitempty" cbor:"8,keyasint,omitempty"`
	MaxWatts       int    `json:"max_watts,omitempty" cbor:"9,keyasint,omitempty"`
	HotReplaceable bool   `json:"hot_replaceable,omitempty" cbor:"10,keyasint,omitempty"`
	Present        *bool  `json:"present,omitempty" cbor:"11,keyasint,omitempty"`   // absent: not told
	Unplugged      bool   `json:"unplugged,omitempty" cbor:"12,keyasint,omitempty"` // from the wall, when the machine was started
	Status         string `json:"status,omitempty" cbor:"13,keyasint,omitempty"`    // ok, non-critical, critical, when the machine was started
	Handle         string `json:"handle,omitempty" cbor:"14,keyasint,omitempty"`    // where units have the same name and location
}

// Key implements Row.
func (r *PowerSupplyRow) Key() string { return key(r.Name, r.Location, r.Handle) }
