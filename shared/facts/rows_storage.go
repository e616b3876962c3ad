package facts

// LVMVolumeRow is a physical volume, a volume group or a logical volume of LVM.
type LVMVolumeRow struct {
	Kind      string `json:"kind" cbor:"1,keyasint"` // pv, vg, lv
	Group     string `json:"group,omitempty" cbor:"2,keyasint,omitempty"`
	Name      string `json:"name" cbor:"3,keyasint"` // a PV's is its device, or its UUID while that is not known
	UUID      string `json:"uuid,omitempty" cbor:"4,keyasint,omitempty" store:"own"`
	SizeBytes int64  `json:"size_bytes,omitempty" cbor:"5,keyasint,omitempty"`
	FreeBytes *int64 `json:"free_bytes,omitempty" cbor:"6,keyasint,omitempty"` // of a VG or PV, in extents that belong to no LV
	Type      string `json:"type,omitempty" cbor:"7,keyasint,omitempty"`       // of an LV: striped (also linear), thin-pool, thin, raid1, cache, snapshot ...
	Pool      string `json:"pool,omitempty" cbor:"8,keyasint,omitempty"`       // thin or cache pool of an LV
	Origin    string `json:"origin,omitempty" cbor:"9,keyasint,omitempty"`     // of a snapshot or cache
	Device    string `json:"device,omitempty" cbor:"10,keyasint,omitempty"`    // kernel name of an active LV: dm-3
	Devices   string `json:"devices,omitempty" cbor:"11,keyasint,omitempty"`   // that an LV lies on: PVs and hidden LVs, sorted, comma separated
	Status    string `json:"status,omitempty" cbor:"12,keyasint,omitempty"`    // flags of the metadata, lower case: read,write,visible
	Active    bool   `json:"active,omitempty" cbor:"13,keyasint,omitempty"`    // an LV that the kernel has
	CreatedAt Time   `json:"created_at,omitempty,omitzero" cbor:"14,keyasint,omitempty"`
	Tags      string `json:"tags,omitempty" cbor:"15,keyasint,omitempty"` // comma separated
}

// Key implements Row.
func (r *LVMVolumeRow) Key() string { return key(r.Kind, r.Group, r.Name) }

// RAIDArrayRow is an array of the kernel's software RAID (md). How far a rebuild has come
// is no fact.
type RAIDArrayRow struct {
	Name      string `json:"name" cbor:"1,keyasint"`                       // kernel name: md0
	Level     string `json:"level,omitempty" cbor:"2,keyasint,omitempty"`  // raid1, raid5, linear ...
	State     string `json:"state" cbor:"3,keyasint"`                      // clean, degraded, failed, inactive
	Action    string `json:"action,omitempty" cbor:"4,keyasint,omitempty"` // recover, resync, reshape, frozen; absent when none is under way
	Devices   int    `json:"devices" cbor:"5,keyasint"`                    // that the array should have
	Working   int    `json:"working" cbor:"6,keyasint"`                    // that take part
	Members   string `json:"members,omitempty" cbor:"7,keyasint,omitempty"`
	Failed    string `json:"failed,omitempty" cbor:"8,keyasint,omitempty"` // members, sorted, comma separated
	Spare     string `json:"spare,omitempty" cbor:"9,keyasint,omitempty"`  // members, sorted, comma separated
	SizeBytes int64  `json:"size_bytes,omitempty" cbor:"10,keyasint,omitempty"`
	Metadata  string `json:"metadata,omitempty" cbor:"11,keyasint,omitempty"` // version of the superblock: 1.2, 0.90, imsm
	Chunk     int64  `json:"chunk_bytes,omitempty" cbor:"12,keyasint,omitempty"`
	UUID      string `json:"uuid,omitempty" cbor:"13,keyasint,omitempty" store:"own"`
	Bitmap    bool   `json:"bitmap,omitempty" cbor:"14,keyasint,omitempty"` // write intentions are recorded
	ReadOnly  bool   `json:"read_only,omitempty" cbor:"15,keyasint,omitempty"`
}

// Key implements Row.
func (r *RAIDArrayRow) Key() string { return r.Name }

// MultipathRow is one path to a disk that several lead to.
type MultipathRow struct {
	Map       string `json:"map" cbor:"1,keyasint"`  // device mapper name
	Path      string `json:"path" cbor:"2,keyasint"` // kernel name of the disk at the end of this path
	Device    string `json:"device,omitempty" cbor:"3,keyasint,omitempty"`
	WWID      string `json:"wwid,omitempty" cbor:"4,keyasint,omitempty" store:"own"`
	State     string `json:"state,omitempty" cbor:"5,keyasint,omitempty"`     // of the SCSI device: running, offline, blocked, transport-offline
	Address   string `json:"address,omitempty" cbor:"6,keyasint,omitempty"`   // host:channel:target:lun, or the NVMe controller
	Transport string `json:"transport,omitempty" cbor:"7,keyasint,omitempty"` // fc, iscsi, sas, nvme ...
}

// Key implements Row.
func (r *MultipathRow) Key() string { return key(r.Map, r.Path) }

// The verdicts on a disk.
const (
	DiskPassed  = "passed"  // the disk says so itself
	DiskFailing = "failing" // the disk says so itself, or a value passed the limit its maker set
	DiskUnknown = "unknown" // it keeps no such books, or was asleep and never asked
)

// DiskHealthRow is what a disk says of its own health. Counters that move each day are
// metrics, or rounded.
type DiskHealthRow struct {
	Device        string  `json:"device" cbor:"1,keyasint"`   // kernel name
	Protocol      string  `json:"protocol" cbor:"2,keyasint"` // ata, nvme
	Verdict       string  `json:"verdict" cbor:"3,keyasint"`
	Reasons       string  `json:"reasons,omitempty" cbor:"4,keyasint,omitempty"` // of a failing disk, comma separated
	Reallocated   *uint64 `json:"reallocated_sectors,omitempty" cbor:"5,keyasint,omitempty"`
	Pending       *uint64 `json:"pending_sectors,omitempty" cbor:"6,keyasint,omitempty"`       // unreadable, waiting to be reallocated
	Uncorrectable *uint64 `json:"uncorrectable_sectors,omitempty" cbor:"7,keyasint,omitempty"` // found by the disk's own scan
	MediaErrors   *uint64 `json:"media_errors,omitempty" cbor:"8,keyasint,omitempty"`          // reads that could not be corrected
	CRCErrors     *uint64 `json:"crc_errors,omitempty" cbor:"9,keyasint,omitempty"`            // on the cable
	UsedPercent   *int    `json:"used_percent,omitempty" cbor:"10,keyasint,omitempty"`         // of the life its maker expects; may pass 100
	SparePercent  *int    `json:"spare_percent,omitempty" cbor:"11,keyasint,omitempty"`        // of the spare blocks that are left
	PowerOnHours  *uint64 `json:"power_on_hours,omitempty" cbor:"12,keyasint,omitempty"`       // rounded down to 1,000
	Model         string  `json:"model,omitempty" cbor:"13,keyasint,omitempty"`
	Serial        string  `json:"serial,omitempty" cbor:"14,keyasint,omitempty" store:"own"`
	Firmware      string  `json:"firmware,omitempty" cbor:"15,keyasint,omitempty"`
	RPM           int     `json:"rpm,omitempty" cbor:"16,keyasint,omitempty"` // rotations a minute; absent for disks that do not turn
	Warnings      string  `json:"warnings,omitempty" cbor:"17,keyasint,omitempty"`
}

// Key implements Row.
func (r *DiskHealthRow) Key() string { return r.Device }

// EncryptedVolumeRow is a volume that is encrypted, be it open or only configured.
type EncryptedVolumeRow struct {
	Name    string `json:"name" cbor:"1,keyasint"` // of the open volume; of the device where it has none
	Type    string `json:"type" cbor:"2,keyasint"` // luks1, luks2, plain, bitlk, tcrypt, verity, integrity; luks where the version is not known
	Device  string `json:"device,omitempty" cbor:"3,keyasint,omitempty"`
	UUID    string `json:"uuid,omitempty" cbor:"4,keyasint,omitempty" store:"own"`
	Open    bool   `json:"open" cbor:"5,keyasint"`
	Listed  bool   `json:"in_crypttab" cbor:"6,keyasint"`
	Unlock  string `json:"unlock,omitempty" cbor:"7,keyasint,omitempty"`  // how crypttab has it opened: passphrase, file, random, tpm2, fido2, pkcs11; never which file
	Options string `json:"options,omitempty" cbor:"8,keyasint,omitempty"` // of crypttab, values of secrets and paths masked
	Mapped  string `json:"mapped,omitempty" cbor:"9,keyasint,omitempty"`  // kernel name of the open volume: dm-0
}

// Key implements Row.
func (r *EncryptedVolumeRow) Key() string { return key(r.Name, r.Device) }

// MountRow is a mount point as the kernel or fstab(5) has it.
type MountRow struct {
	Target  string `json:"target" cbor:"1,keyasint"`
	Source  string `json:"source" cbor:"2,keyasint"` // as the kernel has it; as fstab has it while it is not mounted
	Type    string `json:"type" cbor:"3,keyasint"`
	Options string `json:"options,omitempty" cbor:"4,keyasint,omitempty"` // secrets masked
	Root    string `json:"root,omitempty" cbor:"5,keyasint,omitempty"`    // folder of the file system that is mounted, where it is not the whole
	Mounted *bool  `json:"mounted,omitempty" cbor:"6,keyasint,omitempty"` // absent where the table of the kernel is not there: the disk of a machine that is off
	InFstab bool   `json:"in_fstab" cbor:"7,keyasint"`
}

// Key implements Row.
func (r *MountRow) Key() string { return key(r.Target, r.Source, r.Type) }

// SwapRow is a swap area. How much of it is used is a metric.
type SwapRow struct {
	Name      string `json:"name" cbor:"1,keyasint"` // device or file
	Type      string `json:"type" cbor:"2,keyasint"` // partition, file, zram
	SizeBytes int64  `json:"size_bytes" cbor:"3,keyasint"`
	Priority  int    `json:"priority" cbor:"4,keyasint"`
}

// Key implements Row.
func (r *SwapRow) Key() string { return r.Name }

// PoolRow is a pool of disks that holds file systems: zfs, btrfs, bcache.
type PoolRow struct {
	Kind    string `json:"kind" cbor:"1,keyasint"` // zfs, btrfs, bcache
	Name    string `json:"name" cbor:"2,keyasint"` // its label, or its UUID where it has none
	UUID    string `json:"uuid,omitempty" cbor:"3,keyasint,omitempty"`
	State   string `json:"state,omitempty" cbor:"4,keyasint,omitempty"`      // zfs: online, degraded, faulted, suspended ...; btrfs: online, degraded; bcache: running, stopped
	Devices string `json:"devices,omitempty" cbor:"5,keyasint,omitempty"`    // kernel names, sorted, comma separated
	Missing int    `json:"missing,omitempty" cbor:"6,keyasint,omitempty"`    // devices that it should have
	Profile string `json:"profile,omitempty" cbor:"7,keyasint,omitempty"`    // btrfs: data, metadata: "raid1,raid1"; bcache: cache mode
	Size    int64  `json:"size_bytes,omitempty" cbor:"8,keyasint,omitempty"` // of its devices together
}

// Key implements Row.
func (r *PoolRow) Key() string { return key(r.Kind, r.Name) }
