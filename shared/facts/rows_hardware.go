package facts

// MonitorRow is a display that is connected, as its EDID tells.
type MonitorRow struct {
	Connector      string  `json:"connector,omitempty" cbor:"1,keyasint,omitempty"`          // of the graphics card: card0-HDMI-A-1
	Manufacturer   string  `json:"manufacturer,omitempty" cbor:"2,keyasint,omitempty"`       // three letters of the PNP registry
	Vendor         string  `json:"vendor,omitempty" cbor:"3,keyasint,omitempty"`             // its name
	Name           string  `json:"name,omitempty" cbor:"4,keyasint,omitempty"`               // model
	ProductCode    int     `json:"product_code" cbor:"5,keyasint"`                           // given by the manufacturer
	Serial         string  `json:"serial,omitempty" cbor:"6,keyasint,omitempty" store:"own"` // as text
	SerialID       string  `json:"serial_id,omitempty" cbor:"7,keyasint,omitempty"`          // as number, eight hexadecimal digits
	SerialNumber   int64   `json:"serial_number,omitempty" cbor:"24,keyasint,omitempty"`     // the same
	SerialLabel    string  `json:"serial_label,omitempty" cbor:"8,keyasint,omitempty"`       // on the case, where its maker composes it of both
	Year           int     `json:"year,omitempty" cbor:"9,keyasint,omitempty"`               // of manufacture
	Week           int     `json:"week,omitempty" cbor:"10,keyasint,omitempty"`              // of manufacture
	ModelYear      bool    `json:"model_year,omitempty" cbor:"11,keyasint,omitempty"`        // the year is that of the model
	WidthPx        int     `json:"width_px,omitempty" cbor:"12,keyasint,omitempty"`          // preferred resolution
	HeightPx       int     `json:"height_px,omitempty" cbor:"13,keyasint,omitempty"`         //
	RefreshHz      float64 `json:"refresh_hz,omitempty" cbor:"14,keyasint,omitempty"`        // of it
	WidthCm        int     `json:"width_cm,omitempty" cbor:"15,keyasint,omitempty"`          // of the image
	HeightCm       int     `json:"height_cm,omitempty" cbor:"16,keyasint,omitempty"`         //
	WidthMm        int     `json:"width_mm,omitempty" cbor:"17,keyasint,omitempty"`          // the same, more exact
	HeightMm       int     `json:"height_mm,omitempty" cbor:"18,keyasint,omitempty"`         //
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
	Serial        string `json:"serial,omitempty" cbor:"4,keyasint,omitempty" store:"host"`
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
	Serial         string `json:"serial,omitempty" cbor:"6,keyasint,omitempty" store:"host"`
	AssetTag       string `json:"asset_tag,omitempty" cbor:"7,keyasint,omitempty" store:"host"`
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

// PCIDeviceRow is a function of a device on the PCI bus. Numbers are hexadecimal digits.
type PCIDeviceRow struct {
	Address           string `json:"address" cbor:"1,keyasint"`                      // 0000:00:02.0
	ClassID           string `json:"class_id" cbor:"2,keyasint"`                     // class, subclass and programming interface: 030000
	Class             string `json:"class,omitempty" cbor:"3,keyasint,omitempty"`    // Display controller
	Subclass          string `json:"subclass,omitempty" cbor:"4,keyasint,omitempty"` // VGA compatible controller
	VendorID          string `json:"vendor_id" cbor:"5,keyasint"`
	Vendor            string `json:"vendor,omitempty" cbor:"6,keyasint,omitempty"`
	DeviceID          string `json:"device_id" cbor:"7,keyasint"`
	Device            string `json:"device,omitempty" cbor:"8,keyasint,omitempty"`
	SubsystemVendorID string `json:"subsystem_vendor_id,omitempty" cbor:"9,keyasint,omitempty"` // who made the card
	SubsystemVendor   string `json:"subsystem_vendor,omitempty" cbor:"10,keyasint,omitempty"`
	SubsystemID       string `json:"subsystem_id,omitempty" cbor:"11,keyasint,omitempty"`
	Revision          string `json:"revision,omitempty" cbor:"12,keyasint,omitempty"`
	Driver            string `json:"driver,omitempty" cbor:"13,keyasint,omitempty"` // bound now
}

// Key implements Row.
func (r *PCIDeviceRow) Key() string { return r.Address }

// USBDeviceRow is a device on the USB, hubs included.
type USBDeviceRow struct {
	Port       string   `json:"port" cbor:"1,keyasint"`      // bus and the ports on the way: 1-2.4
	VendorID   string   `json:"vendor_id" cbor:"2,keyasint"` // four hexadecimal digits
	Vendor     string   `json:"vendor,omitempty" cbor:"3,keyasint,omitempty"`
	ProductID  string   `json:"product_id" cbor:"4,keyasint"`
	Product    string   `json:"product,omitempty" cbor:"5,keyasint,omitempty"`
	Serial     string   `json:"serial,omitempty" cbor:"6,keyasint,omitempty" store:"host"`
	Class      string   `json:"class,omitempty" cbor:"7,keyasint,omitempty"`      // of the device, or of its first interface
	SpeedBits  int64    `json:"speed_bits,omitempty" cbor:"8,keyasint,omitempty"` // per second, as agreed on this port
	USBVersion string   `json:"usb_version,omitempty" cbor:"9,keyasint,omitempty"`
	Revision   string   `json:"revision,omitempty" cbor:"10,keyasint,omitempty"`
	Drivers    []string `json:"drivers,omitempty" cbor:"11,keyasint,omitempty"` // of its interfaces, sorted
}

// Key implements Row.
func (r *USBDeviceRow) Key() string { return r.Port }

// GPURow is a graphics card or a processor for computations.
type GPURow struct {
	Address       string `json:"address" cbor:"1,keyasint"`                  // PCI address; else the name of the kernel's device
	Type          string `json:"type,omitempty" cbor:"2,keyasint,omitempty"` // graphics, compute
	Vendor        string `json:"vendor,omitempty" cbor:"3,keyasint,omitempty"`
	Model         string `json:"model,omitempty" cbor:"4,keyasint,omitempty"`
	Driver        string `json:"driver,omitempty" cbor:"5,keyasint,omitempty"`
	DriverVersion string `json:"driver_version,omitempty" cbor:"6,keyasint,omitempty"` // where it is not the kernel's
	MemoryBytes   int64  `json:"memory_bytes,omitempty" cbor:"7,keyasint,omitempty"`   // of the card itself
	Firmware      string `json:"firmware,omitempty" cbor:"8,keyasint,omitempty"`       // version of its video BIOS
	UUID          string `json:"uuid,omitempty" cbor:"9,keyasint,omitempty"`
	Serial        string `json:"serial,omitempty" cbor:"10,keyasint,omitempty"`
	Card          string `json:"card,omitempty" cbor:"11,keyasint,omitempty"` // of the kernel: card0
	Boot          bool   `json:"boot,omitempty" cbor:"12,keyasint,omitempty"` // the firmware's console is on it
}

// Key implements Row.
func (r *GPURow) Key() string { return r.Address }

// SensorRow is a sensor of the machine; what it measures is a metric. Limits are in the
// unit.
type SensorRow struct {
	Chip     string   `json:"chip" cbor:"1,keyasint"`   // driver and place: coretemp-coretemp.0
	Sensor   string   `json:"sensor" cbor:"2,keyasint"` // temp1
	Kind     string   `json:"kind" cbor:"3,keyasint"`   // temperature, fan, voltage, current, power, energy, humidity
	Label    string   `json:"label,omitempty" cbor:"4,keyasint,omitempty"`
	Unit     string   `json:"unit" cbor:"5,keyasint"` // celsius, rpm, volts, amperes, watts, joules, percent
	Min      *float64 `json:"min,omitempty" cbor:"6,keyasint,omitempty"`
	Max      *float64 `json:"max,omitempty" cbor:"7,keyasint,omitempty"`
	Critical *float64 `json:"critical,omitempty" cbor:"8,keyasint,omitempty"`
}

// Key implements Row.
func (r *SensorRow) Key() string { return key(r.Chip, r.Sensor) }

// BootSecurityRow is a guard of the boot or the processor: how it stands now.
type BootSecurityRow struct {
	Name   string `json:"name" cbor:"1,keyasint"`                       // boot_mode, secure_boot, setup_mode, shim_validation, lockdown, vulnerability:meltdown ...
	State  string `json:"state" cbor:"2,keyasint"`                      // efi, legacy; enabled, disabled; none, integrity, confidentiality; not affected, mitigated, vulnerable
	Detail string `json:"detail,omitempty" cbor:"3,keyasint,omitempty"` // in the kernel's words
}

// Key implements Row.
func (r *BootSecurityRow) Key() string { return r.Name }

// TPMRow is a trusted platform module.
type TPMRow struct {
	Name         string   `json:"name" cbor:"1,keyasint"`                        // of the kernel: tpm0; firmware when it knows of none
	Version      string   `json:"version,omitempty" cbor:"2,keyasint,omitempty"` // of the specification: 1.2, 2.0
	Manufacturer string   `json:"manufacturer,omitempty" cbor:"3,keyasint,omitempty"`
	Firmware     string   `json:"firmware,omitempty" cbor:"4,keyasint,omitempty"`
	Description  string   `json:"description,omitempty" cbor:"5,keyasint,omitempty"`
	Driver       string   `json:"driver,omitempty" cbor:"6,keyasint,omitempty"`
	Banks        []string `json:"banks,omitempty" cbor:"7,keyasint,omitempty"` // of platform configuration registers: sha1, sha256
}

// Key implements Row.
func (r *TPMRow) Key() string { return r.Name }

// VirtualizationRow says what the system runs in: there is one row.
type VirtualizationRow struct {
	Role         string `json:"role" cbor:"1,keyasint"`                           // machine: bare metal; guest: of a hypervisor; container
	Hypervisor   string `json:"hypervisor,omitempty" cbor:"2,keyasint,omitempty"` // in the words of systemd-detect-virt(1): kvm, vmware, microsoft ...
	Container    string `json:"container,omitempty" cbor:"3,keyasint,omitempty"`  // docker, lxc, podman, wsl ...
	Host         string `json:"host,omitempty" cbor:"4,keyasint,omitempty"`       // it can run virtual machines itself: kvm, xen
	Cloud        string `json:"cloud,omitempty" cbor:"5,keyasint,omitempty"`      // aws, azure, gce, openstack ...
	InstanceID   string `json:"instance_id,omitempty" cbor:"6,keyasint,omitempty" store:"host"`
	InstanceType string `json:"instance_type,omitempty" cbor:"7,keyasint,omitempty"`
	Region       string `json:"region,omitempty" cbor:"8,keyasint,omitempty"`
	Zone         string `json:"zone,omitempty" cbor:"9,keyasint,omitempty"`
	Image        string `json:"image,omitempty" cbor:"10,keyasint,omitempty"`    // the instance was made from
	Evidence     string `json:"evidence,omitempty" cbor:"11,keyasint,omitempty"` // where the hypervisor, else the container was seen
}

// Key implements Row: there is one.
func (*VirtualizationRow) Key() string { return "virtualization" }
