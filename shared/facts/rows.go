package facts

import "strconv"

// In every row: a column without omitempty is always known; the others are absent
// when the system does not say, never zero or "unknown". Sizes are bytes.
//
// The tag store says how the collector keeps a row small (ADR 21): "host" marks a
// column, never one of the key, whose value is each host's own while the rest of the
// row is the same on many hosts; "own" on any column says that the whole row is.

// OSRow is the operating system release, from os-release(5) or its like.
type OSRow struct {
	ID           string `json:"id" cbor:"1,keyasint"`                                                      // os-release ID, e.g. "debian"; "windows", "darwin"
	Name         string `json:"name" cbor:"2,keyasint"`                                                    // for people: PRETTY_NAME
	Version      string `json:"version,omitempty" cbor:"3,keyasint,omitempty"`                             // most exact known, e.g. "12.5"
	VersionID    string `json:"version_id,omitempty" cbor:"4,keyasint,omitempty"`                          // os-release VERSION_ID
	Codename     string `json:"codename,omitempty" cbor:"5,keyasint,omitempty"`                            // e.g. "bookworm"
	Like         string `json:"like,omitempty" cbor:"6,keyasint,omitempty"`                                // os-release ID_LIKE
	Family       string `json:"family" cbor:"7,keyasint"`                                                  // linux, windows, darwin, freebsd
	Arch         string `json:"arch,omitempty" cbor:"8,keyasint,omitempty"`                                // machine architecture as the system names it, e.g. "x86_64"
	Hostname     string `json:"hostname,omitempty" cbor:"9,keyasint,omitempty" store:"host"`               // as configured
	MachineID    string `json:"machine_id,omitempty" cbor:"10,keyasint,omitempty" store:"host"`            // hash of machine-id(5), never the id itself
	Timezone     string `json:"timezone,omitempty" cbor:"11,keyasint,omitempty"`                           // IANA name
	SupportEnd   string `json:"support_end,omitempty" cbor:"12,keyasint,omitempty"`                        // os-release SUPPORT_END, a date
	InitSystem   string `json:"init_system,omitempty" cbor:"13,keyasint,omitempty"`                        // systemd, openrc, sysvinit, ...
	Virtualised  string `json:"virtualised,omitempty" cbor:"14,keyasint,omitempty"`                        // hypervisor or container kind where known
	VariantID    string `json:"variant_id,omitempty" cbor:"15,keyasint,omitempty"`                         // os-release VARIANT_ID
	BuildID      string `json:"build_id,omitempty" cbor:"16,keyasint,omitempty"`                           // os-release BUILD_ID
	Manufacturer string `json:"manufacturer,omitempty" cbor:"17,keyasint,omitempty"`                       // vendor of the system
	InstalledAt  Time   `json:"installed_at,omitempty,omitzero" cbor:"18,keyasint,omitempty" store:"host"` // when the system was installed
	Product      string `json:"product,omitempty" cbor:"19,keyasint,omitempty"`                            // name without version: os-release NAME
	VersionName  string `json:"version_name,omitempty" cbor:"20,keyasint,omitempty"`                       // version for people: os-release VERSION
	Lineage      string `json:"lineage,omitempty" cbor:"21,keyasint,omitempty"`                            // whose packages and layout it follows: debian, redhat, suse, archlinux ...
	Major        string `json:"major,omitempty" cbor:"22,keyasint,omitempty"`                              // first part of Version
	Minor        string `json:"minor,omitempty" cbor:"23,keyasint,omitempty"`                              // second part of Version
}

// Key implements Row: there is one.
func (*OSRow) Key() string { return "os" }

// KernelRow is a kernel: the running one, and each one installed.
type KernelRow struct {
	Release string `json:"release" cbor:"1,keyasint"`                     // uname -r
	Version string `json:"version,omitempty" cbor:"2,keyasint,omitempty"` // uname -v, running kernel only
	Arch    string `json:"arch,omitempty" cbor:"3,keyasint,omitempty"`    // uname -m, running kernel only
	Running bool   `json:"running" cbor:"4,keyasint"`                     // this is what runs now
	Image   string `json:"image,omitempty" cbor:"5,keyasint,omitempty"`   // path of the installed image
	Cmdline string `json:"cmdline,omitempty" cbor:"6,keyasint,omitempty"` // boot parameters, secrets masked
}

// Key implements Row.
func (r *KernelRow) Key() string { return r.Release }

// SystemRow is the machine as SMBIOS type 1 or the device tree names it.
type SystemRow struct {
	Manufacturer string `json:"manufacturer,omitempty" cbor:"1,keyasint,omitempty"`
	Product      string `json:"product,omitempty" cbor:"2,keyasint,omitempty"`
	Version      string `json:"version,omitempty" cbor:"3,keyasint,omitempty"`
	Serial       string `json:"serial,omitempty" cbor:"4,keyasint,omitempty" store:"host"`
	UUID         string `json:"uuid,omitempty" cbor:"5,keyasint,omitempty" store:"host"`
	SKU          string `json:"sku,omitempty" cbor:"6,keyasint,omitempty"`
	Family       string `json:"family,omitempty" cbor:"7,keyasint,omitempty"`
}

// Key implements Row: there is one.
func (*SystemRow) Key() string { return "system" }

// BoardRow is a board (SMBIOS type 2).
type BoardRow struct {
	Manufacturer string `json:"manufacturer,omitempty" cbor:"1,keyasint,omitempty"`
	Product      string `json:"product,omitempty" cbor:"2,keyasint,omitempty"`
	Version      string `json:"version,omitempty" cbor:"3,keyasint,omitempty"`
	Serial       string `json:"serial,omitempty" cbor:"4,keyasint,omitempty" store:"host"`
	AssetTag     string `json:"asset_tag,omitempty" cbor:"5,keyasint,omitempty" store:"host"`
	Handle       string `json:"handle,omitempty" cbor:"6,keyasint,omitempty"` // SMBIOS handle where there are several
}

// Key implements Row.
func (r *BoardRow) Key() string { return key("board", r.Handle) }

// BIOSRow is the firmware (SMBIOS type 0).
type BIOSRow struct {
	Vendor   string `json:"vendor,omitempty" cbor:"1,keyasint,omitempty"`
	Version  string `json:"version,omitempty" cbor:"2,keyasint,omitempty"`
	Date     string `json:"date,omitempty" cbor:"3,keyasint,omitempty"`     // YYYY-MM-DD
	Release  string `json:"release,omitempty" cbor:"4,keyasint,omitempty"`  // major.minor of the BIOS
	Firmware string `json:"firmware,omitempty" cbor:"5,keyasint,omitempty"` // major.minor of the embedded controller
	UEFI     bool   `json:"uefi,omitempty" cbor:"6,keyasint,omitempty"`     // the system was booted by UEFI
	ROMBytes int64  `json:"rom_bytes,omitempty" cbor:"7,keyasint,omitempty"`
}

// Key implements Row: there is one.
func (*BIOSRow) Key() string { return "bios" }

// ChassisRow is the case (SMBIOS type 3).
type ChassisRow struct {
	Type         string `json:"type,omitempty" cbor:"1,keyasint,omitempty"` // SMBIOS 7.4.1, in lower case: desktop, notebook, rack mount chassis
	Manufacturer string `json:"manufacturer,omitempty" cbor:"2,keyasint,omitempty"`
	Version      string `json:"version,omitempty" cbor:"3,keyasint,omitempty"`
	Serial       string `json:"serial,omitempty" cbor:"4,keyasint,omitempty" store:"host"`
	AssetTag     string `json:"asset_tag,omitempty" cbor:"5,keyasint,omitempty" store:"host"`
}

// Key implements Row: there is one.
func (*ChassisRow) Key() string { return "chassis" }

// CPURow is one processor package.
type CPURow struct {
	Socket         int    `json:"socket" cbor:"1,keyasint"` // physical package id
	Vendor         string `json:"vendor,omitempty" cbor:"2,keyasint,omitempty"`
	Model          string `json:"model,omitempty" cbor:"3,keyasint,omitempty"`
	Family         string `json:"family,omitempty" cbor:"4,keyasint,omitempty"`
	ModelID        string `json:"model_id,omitempty" cbor:"5,keyasint,omitempty"`
	Stepping       string `json:"stepping,omitempty" cbor:"6,keyasint,omitempty"`
	Microcode      string `json:"microcode,omitempty" cbor:"7,keyasint,omitempty"`
	Cores          int    `json:"cores,omitempty" cbor:"8,keyasint,omitempty"`
	Threads        int    `json:"threads,omitempty" cbor:"9,keyasint,omitempty"`
	MaxHz          int64  `json:"max_hz,omitempty" cbor:"10,keyasint,omitempty"`           // rated, not the current frequency
	CacheBytes     int64  `json:"cache_bytes,omitempty" cbor:"11,keyasint,omitempty"`      // the largest level of one core complex
	Flags          string `json:"flags,omitempty" cbor:"12,keyasint,omitempty"`            // as the kernel lists them, sorted
	Offline        int    `json:"offline,omitempty" cbor:"13,keyasint,omitempty"`          // logical processors of the machine that are switched off; told on the first row, as they do not tell their socket
	ThreadsPerCore int    `json:"threads_per_core,omitempty" cbor:"14,keyasint,omitempty"` // where there is more than one, and equally many on all
	L1dBytes       int64  `json:"l1d_bytes,omitempty" cbor:"15,keyasint,omitempty"`        // all of the socket's together
	L1iBytes       int64  `json:"l1i_bytes,omitempty" cbor:"16,keyasint,omitempty"`
	L2Bytes        int64  `json:"l2_bytes,omitempty" cbor:"17,keyasint,omitempty"`
	L3Bytes        int64  `json:"l3_bytes,omitempty" cbor:"18,keyasint,omitempty"`
	Designation    string `json:"designation,omitempty" cbor:"19,keyasint,omitempty"` // of the socket on the board, as the firmware calls it
	Serial         string `json:"serial,omitempty" cbor:"20,keyasint,omitempty"`
	Part           string `json:"part,omitempty" cbor:"21,keyasint,omitempty"`
	BusHz          int64  `json:"bus_hz,omitempty" cbor:"22,keyasint,omitempty"`    // external clock
	Signature      string `json:"signature,omitempty" cbor:"23,keyasint,omitempty"` // ID of SMBIOS: eight bytes, the low ones last
	Arch           string `json:"arch,omitempty" cbor:"24,keyasint,omitempty"`      // instruction set; that of the system may be an older one: x86_64, aarch64
}

// Key implements Row.
func (r *CPURow) Key() string { return strconv.Itoa(r.Socket) }

// MemoryModuleRow is one memory slot (SMBIOS type 17).
type MemoryModuleRow struct {
	Locator      string `json:"locator" cbor:"1,keyasint"`
	Bank         string `json:"bank,omitempty" cbor:"2,keyasint,omitempty"`
	SizeBytes    int64  `json:"size_bytes" cbor:"3,keyasint"`                      // 0: the slot is empty
	Type         string `json:"type,omitempty" cbor:"4,keyasint,omitempty"`        // DDR4
	FormFactor   string `json:"form_factor,omitempty" cbor:"5,keyasint,omitempty"` // DIMM
	SpeedMT      int    `json:"speed_mt,omitempty" cbor:"6,keyasint,omitempty"`    // rated, MT/s
	ConfiguredMT int    `json:"configured_mt,omitempty" cbor:"7,keyasint,omitempty"`
	Manufacturer string `json:"manufacturer,omitempty" cbor:"8,keyasint,omitempty"`
	Part         string `json:"part,omitempty" cbor:"9,keyasint,omitempty"`
	Serial       string `json:"serial,omitempty" cbor:"10,keyasint,omitempty" store:"host"`
	ECC          bool   `json:"ecc,omitempty" cbor:"11,keyasint,omitempty"`
	Handle       string `json:"handle,omitempty" cbor:"12,keyasint,omitempty"`
}

// Key implements Row.
func (r *MemoryModuleRow) Key() string { return key(r.Bank, r.Locator, r.Handle) }

// BlockDeviceRow is a disk, a partition or a device stacked on them.
type BlockDeviceRow struct {
	Name        string `json:"name" cbor:"1,keyasint"`                       // kernel name: sda, nvme0n1p2, dm-0
	Parent      string `json:"parent,omitempty" cbor:"2,keyasint,omitempty"` // the disk of a partition
	Type        string `json:"type" cbor:"3,keyasint"`                       // disk, part, rom, loop, lvm, crypt, raid, ram, zram ...
	SizeBytes   int64  `json:"size_bytes" cbor:"4,keyasint"`
	Model       string `json:"model,omitempty" cbor:"5,keyasint,omitempty"`
	Vendor      string `json:"vendor,omitempty" cbor:"6,keyasint,omitempty"`
	Serial      string `json:"serial,omitempty" cbor:"7,keyasint,omitempty" store:"own"`
	WWN         string `json:"wwn,omitempty" cbor:"8,keyasint,omitempty"`
	Firmware    string `json:"firmware,omitempty" cbor:"9,keyasint,omitempty"`
	Transport   string `json:"transport,omitempty" cbor:"10,keyasint,omitempty"` // sata, nvme, usb, virtio ...
	Rotational  bool   `json:"rotational" cbor:"11,keyasint"`
	Removable   bool   `json:"removable" cbor:"12,keyasint"`
	ReadOnly    bool   `json:"read_only" cbor:"13,keyasint"`
	MajorMinor  string `json:"major_minor,omitempty" cbor:"14,keyasint,omitempty"`
	MapperName  string `json:"mapper_name,omitempty" cbor:"15,keyasint,omitempty"` // device mapper name
	FSType      string `json:"fs_type,omitempty" cbor:"16,keyasint,omitempty"`     // what is on it, where known without reading it
	UUID        string `json:"uuid,omitempty" cbor:"17,keyasint,omitempty"`        // of what is on it
	Label       string `json:"label,omitempty" cbor:"18,keyasint,omitempty"`
	PartUUID    string `json:"part_uuid,omitempty" cbor:"19,keyasint,omitempty"`
	Holders     string `json:"holders,omitempty" cbor:"20,keyasint,omitempty"`      // devices stacked on it, sorted, comma separated
	SectorBytes int64  `json:"sector_bytes,omitempty" cbor:"21,keyasint,omitempty"` // logical sector
	// Of a partition.
	PartNumber int    `json:"part_number,omitempty" cbor:"22,keyasint,omitempty"`
	PartType   string `json:"part_type,omitempty" cbor:"23,keyasint,omitempty"` // GUID, or 0x83 in the older table
	PartName   string `json:"part_name,omitempty" cbor:"24,keyasint,omitempty"`
	StartBytes int64  `json:"start_bytes,omitempty" cbor:"25,keyasint,omitempty"`
	// Of a whole device.
	Table               string `json:"table,omitempty" cbor:"26,keyasint,omitempty"` // of partitions: gpt, dos
	TableUUID           string `json:"table_uuid,omitempty" cbor:"27,keyasint,omitempty"`
	Slaves              string `json:"slaves,omitempty" cbor:"28,keyasint,omitempty"` // devices it is stacked on, sorted, comma separated
	PhysicalSectorBytes int64  `json:"physical_sector_bytes,omitempty" cbor:"29,keyasint,omitempty"`
	State               string `json:"state,omitempty" cbor:"30,keyasint,omitempty"`        // of a SCSI, NVMe or mapped device: running, live, offline, suspended ...
	Address             string `json:"address,omitempty" cbor:"31,keyasint,omitempty"`      // SCSI host:channel:target:lun
	Zoned               string `json:"zoned,omitempty" cbor:"32,keyasint,omitempty"`        // host-aware, host-managed
	FSVersion           string `json:"fs_version,omitempty" cbor:"33,keyasint,omitempty"`   // of what is on it
	BackingFile         string `json:"backing_file,omitempty" cbor:"34,keyasint,omitempty"` // of a loop device
}

// Key implements Row.
func (r *BlockDeviceRow) Key() string { return r.Name }

// FilesystemRow is a mounted file system. Its fill level is a metric, its size a fact.
type FilesystemRow struct {
	Mount     string `json:"mount" cbor:"1,keyasint"`
	Device    string `json:"device" cbor:"2,keyasint" store:"own"`
	Type      string `json:"type" cbor:"3,keyasint"`
	Options   string `json:"options,omitempty" cbor:"4,keyasint,omitempty"`
	SizeBytes int64  `json:"size_bytes,omitempty" cbor:"5,keyasint,omitempty"`
	ReadOnly  bool   `json:"read_only" cbor:"6,keyasint"`
	Remote    bool   `json:"remote" cbor:"7,keyasint"` // on the network or in user space: its size stands while it does not answer
}

// Key implements Row.
func (r *FilesystemRow) Key() string { return key(r.Mount, r.Device, r.Type) }

// InterfaceRow is a network interface. Counters are metrics.
type InterfaceRow struct {
	Name         string `json:"name" cbor:"1,keyasint"`
	Index        int    `json:"index,omitempty" cbor:"2,keyasint,omitempty"`
	MAC          string `json:"mac,omitempty" cbor:"3,keyasint,omitempty" store:"own"`
	MTU          int    `json:"mtu,omitempty" cbor:"4,keyasint,omitempty"`
	State        string `json:"state,omitempty" cbor:"5,keyasint,omitempty"`      // RFC 2863 operational state: up, down, unknown, dormant ...
	Type         string `json:"type,omitempty" cbor:"6,keyasint,omitempty"`       // ethernet, loopback, bridge, bond, vlan, wireless, tunnel ...
	SpeedBits    int64  `json:"speed_bits,omitempty" cbor:"7,keyasint,omitempty"` // per second
	Duplex       string `json:"duplex,omitempty" cbor:"8,keyasint,omitempty"`
	Driver       string `json:"driver,omitempty" cbor:"9,keyasint,omitempty"`
	Master       string `json:"master,omitempty" cbor:"10,keyasint,omitempty"` // bridge or bond it belongs to
	PermanentMAC string `json:"permanent_mac,omitempty" cbor:"11,keyasint,omitempty"`
	Parent       string `json:"parent,omitempty" cbor:"12,keyasint,omitempty"`    // interface that it stands on: of a VLAN, a macvlan
	VLAN         int    `json:"vlan,omitempty" cbor:"13,keyasint,omitempty"`      // number of a VLAN
	BondMode     string `json:"bond_mode,omitempty" cbor:"14,keyasint,omitempty"` // 802.3ad, active-backup ...
	Bus          string `json:"bus,omitempty" cbor:"15,keyasint,omitempty"`       // address of the device: 0000:00:03.0
	Firmware     string `json:"firmware,omitempty" cbor:"16,keyasint,omitempty"`  // of the card, as its driver says
	Alias        string `json:"alias,omitempty" cbor:"17,keyasint,omitempty"`     // what an administrator wrote about it
}

// Key implements Row.
func (r *InterfaceRow) Key() string { return r.Name }

// AddressRow is an address of an interface.
type AddressRow struct {
	Interface string `json:"interface" cbor:"1,keyasint"`
	Address   string `json:"address" cbor:"2,keyasint" store:"own"`
	Prefix    int    `json:"prefix" cbor:"3,keyasint"`                    // length in bits
	Family    string `json:"family" cbor:"4,keyasint"`                    // inet, inet6
	Scope     string `json:"scope,omitempty" cbor:"5,keyasint,omitempty"` // global, link, host
	Broadcast string `json:"broadcast,omitempty" cbor:"6,keyasint,omitempty"`
	Dynamic   bool   `json:"dynamic,omitempty" cbor:"7,keyasint,omitempty"` // has a lifetime: from DHCP or router advertisements
	Peer      string `json:"peer,omitempty" cbor:"8,keyasint,omitempty"`    // other end of a point-to-point link
}

// Key implements Row.
func (r *AddressRow) Key() string { return key(r.Interface, r.Address, strconv.Itoa(r.Prefix)) }

// RouteRow is a route; one for each next hop.
type RouteRow struct {
	Destination string `json:"destination" cbor:"1,keyasint"` // prefix, "default" for all
	Gateway     string `json:"gateway,omitempty" cbor:"2,keyasint,omitempty" store:"own"`
	Interface   string `json:"interface,omitempty" cbor:"3,keyasint,omitempty"`
	Metric      int    `json:"metric,omitempty" cbor:"4,keyasint,omitempty"`
	Family      string `json:"family" cbor:"5,keyasint"`                       // inet, inet6
	Protocol    string `json:"protocol,omitempty" cbor:"6,keyasint,omitempty"` // who made it: kernel, boot, static, dhcp, ra, bird ...
	Source      string `json:"source,omitempty" cbor:"7,keyasint,omitempty"`   // address that is preferred for what takes it
	Table       int    `json:"table,omitempty" cbor:"8,keyasint,omitempty"`    // number of the table where it is not the main one
	Type        string `json:"type,omitempty" cbor:"9,keyasint,omitempty"`     // blackhole, unreachable, prohibit, throw; absent: an ordinary one
}

// Key implements Row.
func (r *RouteRow) Key() string {
	if r.Table != 0 {
		return key(r.Family, r.Destination, r.Interface, r.Gateway, strconv.Itoa(r.Metric), strconv.Itoa(r.Table))
	}
	return key(r.Family, r.Destination, r.Interface, r.Gateway, strconv.Itoa(r.Metric))
}

// ListeningSocketRow is a socket that waits for peers, with the process that holds it.
type ListeningSocketRow struct {
	Protocol string `json:"protocol" cbor:"1,keyasint"` // tcp, tcp6, udp, udp6
	Address  string `json:"address" cbor:"2,keyasint"`
	Port     int    `json:"port" cbor:"3,keyasint"`
	Process  string `json:"process,omitempty" cbor:"4,keyasint,omitempty"` // its name; absent when the rights do not suffice
	PID      int    `json:"pid,omitempty" cbor:"5,keyasint,omitempty" store:"host"`
	UID      int    `json:"uid" cbor:"6,keyasint"`
	Exe      string `json:"exe,omitempty" cbor:"7,keyasint,omitempty"`
	Unit     string `json:"unit,omitempty" cbor:"8,keyasint,omitempty"` // service of the process, named as in services; from its cgroup
	// Container is the container of the process, as in the section containers.
	Container string `json:"container,omitempty" cbor:"9,keyasint,omitempty"`
	// Namespace is the network namespace where it is not the agent's: its name, or that
	// of the container, service or process that has it.
	Namespace string `json:"namespace,omitempty" cbor:"10,keyasint,omitempty"`
}

// Key implements Row. The process id is in the key only through the process name:
// a restarted server is a changed row, not another one.
func (r *ListeningSocketRow) Key() string {
	if r.Namespace != "" {
		return key(r.Protocol, r.Address, strconv.Itoa(r.Port), r.Process, r.Namespace)
	}
	return key(r.Protocol, r.Address, strconv.Itoa(r.Port), r.Process)
}

// PackageRow is an installed package.
type PackageRow struct {
	Name          string `json:"name" cbor:"1,keyasint"`
	Version       string `json:"version" cbor:"2,keyasint"` // complete, epoch and release in: 1:2.3-4
	Arch          string `json:"arch,omitempty" cbor:"3,keyasint,omitempty"`
	Source        string `json:"source" cbor:"4,keyasint"` // package system: dpkg, rpm, apk, pacman ...
	SourcePackage string `json:"source_package,omitempty" cbor:"5,keyasint,omitempty"`
	SourceVersion string `json:"source_version,omitempty" cbor:"6,keyasint,omitempty"` // where it differs from Version; of a snap whose version is not known, its revision
	Vendor        string `json:"vendor,omitempty" cbor:"7,keyasint,omitempty"`         // vendor or maintainer
	SizeBytes     int64  `json:"size_bytes,omitempty" cbor:"8,keyasint,omitempty"`
	InstalledAt   Time   `json:"installed_at,omitempty,omitzero" cbor:"9,keyasint,omitempty" store:"host"`
	Category      string `json:"category,omitempty" cbor:"10,keyasint,omitempty"` // deb section, rpm group
	Held          bool   `json:"held,omitempty" cbor:"11,keyasint,omitempty"`     // an administrator forbade changing it
	Auto          bool   `json:"auto,omitempty" cbor:"12,keyasint,omitempty"`     // installed as a dependency
	State         string `json:"state,omitempty" cbor:"13,keyasint,omitempty"`    // absent when installed; else half-installed, unpacked, disabled (snap) ...
	Module        string `json:"module,omitempty" cbor:"14,keyasint,omitempty"`   // rpm: the module (stream) that it was built in
	// Locations are where the packages of languages, and flatpaks of people, lie; the same version
	// may lie in several places of a host.
	Locations []string `json:"locations,omitempty" cbor:"15,keyasint,omitempty"`
}

// Key implements Row. Some systems install several versions side by side (kernels in
// rpm, languages in several places): there the version is part of the key.
func (r *PackageRow) Key() string {
	switch r.Source {
	case "dpkg", "apk", "pacman":
		return key(r.Source, r.Name, r.Arch)
	default:
		return key(r.Source, r.Name, r.Arch, r.Version)
	}
}

// PatchRow is an update that the indexes offer for an installed package, or a new
// package that such an update needs (Installed is then absent).
type PatchRow struct {
	Name      string `json:"name" cbor:"1,keyasint"`
	Arch      string `json:"arch,omitempty" cbor:"2,keyasint,omitempty"`
	Installed string `json:"installed,omitempty" cbor:"3,keyasint,omitempty"`
	Candidate string `json:"candidate" cbor:"4,keyasint"`
	Origin    string `json:"origin,omitempty" cbor:"5,keyasint,omitempty"` // "Debian:12/stable-security"
	Security  bool   `json:"security" cbor:"6,keyasint"`
	State     string `json:"state" cbor:"7,keyasint"`                         // pending, held, phased, pinned
	Source    string `json:"source" cbor:"8,keyasint"`                        // package system
	Reason    string `json:"reason,omitempty" cbor:"9,keyasint,omitempty"`    // why held, phased or pinned; which version before the candidate has the fix
	Advisory  string `json:"advisory,omitempty" cbor:"10,keyasint,omitempty"` // ids of the notices about it, those for security first
	Severity  string `json:"severity,omitempty" cbor:"11,keyasint,omitempty"` // the worst of its security notices: low, moderate, important, critical
	CVEs      int    `json:"cves,omitempty" cbor:"12,keyasint,omitempty"`     // distinct ones that its notices name
}

// Key implements Row.
func (r *PatchRow) Key() string { return key(r.Source, r.Name, r.Arch) }

// The patch verdicts.
const (
	VerdictCurrent     = "current"     // nothing to do, and the index is fresh enough to say so
	VerdictPending     = "pending"     // updates wait
	VerdictUnknown     = "unknown"     // the proof does not suffice; Reason says why
	VerdictUnsupported = "unsupported" // no package system that we can judge
)

// PatchStateRow is the verdict over the patches and what it rests on. The age of
// the index is IndexTime seen from the reader's clock.
type PatchStateRow struct {
	Verdict            string   `json:"verdict" cbor:"1,keyasint"`
	Reason             string   `json:"reason,omitempty" cbor:"2,keyasint,omitempty" store:"own"`
	IndexTime          Time     `json:"index_time,omitempty,omitzero" cbor:"3,keyasint,omitempty"` // when the oldest needed index was fetched or confirmed
	IndexMaxAgeSeconds int64    `json:"index_max_age_seconds,omitempty" cbor:"4,keyasint,omitempty"`
	RebootRequired     *bool    `json:"reboot_required,omitempty" cbor:"5,keyasint,omitempty"` // absent: not known
	RebootReasons      []string `json:"reboot_reasons,omitempty" cbor:"6,keyasint,omitempty"`
	Pending            int      `json:"pending" cbor:"7,keyasint"`
	Security           int      `json:"security" cbor:"8,keyasint"` // of those pending
}

// Key implements Row: there is one.
func (*PatchStateRow) Key() string { return "patch_state" }

// ServiceRow is a service of the init system.
type ServiceRow struct {
	Name        string `json:"name" cbor:"1,keyasint"` // unit name without its type where that is .service
	Description string `json:"description,omitempty" cbor:"2,keyasint,omitempty"`
	Enabled     string `json:"enabled,omitempty" cbor:"3,keyasint,omitempty"` // enabled, disabled, static, masked, alias, indirect ...
	State       string `json:"state,omitempty" cbor:"4,keyasint,omitempty"`   // running, exited, stopped, failed, starting; absent when it cannot be told
	Exec        string `json:"exec,omitempty" cbor:"5,keyasint,omitempty"`    // program it starts, without arguments
	User        string `json:"user,omitempty" cbor:"6,keyasint,omitempty"`
	Path        string `json:"path,omitempty" cbor:"7,keyasint,omitempty"`     // of the unit file
	Manager     string `json:"manager" cbor:"8,keyasint"`                      // systemd, sysvinit, openrc, runit, launchd, scm
	Type        string `json:"type,omitempty" cbor:"9,keyasint,omitempty"`     // simple, forking, oneshot, notify ...
	Restart     string `json:"restart,omitempty" cbor:"10,keyasint,omitempty"` // always, on-failure ...; absent: never
	Preset      string `json:"preset,omitempty" cbor:"11,keyasint,omitempty"`  // enabled, disabled: what the vendor means it to be
}

// Key implements Row.
func (r *ServiceRow) Key() string { return key(r.Manager, r.Name) }

// UserRow is a local account. Password hashes are never read.
type UserRow struct {
	Name  string `json:"name" cbor:"1,keyasint"`
	UID   int64  `json:"uid" cbor:"2,keyasint"`
	GID   int64  `json:"gid" cbor:"3,keyasint"`
	Gecos string `json:"gecos,omitempty" cbor:"4,keyasint,omitempty"`
	Home  string `json:"home,omitempty" cbor:"5,keyasint,omitempty"`
	Shell string `json:"shell,omitempty" cbor:"6,keyasint,omitempty"`
	// Password is set, locked (none fits), none (logs in without) or expired; absent when
	// shadow(5) cannot be read.
	Password        string `json:"password,omitempty" cbor:"7,keyasint,omitempty"`
	PasswordChanged Time   `json:"password_changed,omitempty,omitzero" cbor:"8,keyasint,omitempty"` // a day
	PasswordMaxDays int    `json:"password_max_days,omitempty" cbor:"9,keyasint,omitempty"`         // absent: it does not age
	AccountExpires  Time   `json:"account_expires,omitempty,omitzero" cbor:"10,keyasint,omitempty"` // a day
	Login           bool   `json:"login" cbor:"11,keyasint,omitempty"`                              // the shell is one to log in with and the account has not expired
	System          bool   `json:"system" cbor:"12,keyasint,omitempty"`                             // of the system, not of a person, by its uid (login.defs)
}

// Key implements Row.
func (r *UserRow) Key() string { return r.Name }

// GroupRow is a local group.
type GroupRow struct {
	Name    string   `json:"name" cbor:"1,keyasint"`
	GID     int64    `json:"gid" cbor:"2,keyasint"`
	Members []string `json:"members,omitempty" cbor:"3,keyasint,omitempty"` // sorted
	System  bool     `json:"system" cbor:"4,keyasint,omitempty"`            // by its gid (login.defs)
}

// Key implements Row.
func (r *GroupRow) Key() string { return r.Name }
