package storage

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

const blockFolder = "/sys/block"

// sectorBytes is the unit of sizes in sysfs, whatever the device's own sector is
// (Documentation/ABI/stable/sysfs-block).
const sectorBytes = 512

// ramMajor is the major number of RAM disks, which lsblk does not list either.
const ramMajor = "1:"

// device is one folder of /sys/block, or of a partition in it.
type device struct {
	host   *probe.Host
	name   string
	dir    string
	number string // major:minor
	size   int64  // bytes
	known  bool   // it has a size, be it 0

	mapperName, mapperUUID string // of the device mapper
}

func openDevice(h *probe.Host, dir string) device {
	d := device{host: h, name: path.Base(dir), dir: dir}
	n, err := strconv.ParseInt(d.text("size"), 10, 64)
	d.known = err == nil && n >= 0 && n < 1<<53
	if d.known {
		d.size = n * sectorBytes
	}
	if d.size > 0 || !strings.HasPrefix(d.name, "loop") { // a host may have hundreds of empty loop devices
		d.number = d.text("dev")
	}
	if strings.HasPrefix(d.name, "dm-") {
		d.mapperName, d.mapperUUID = d.text("dm/name"), d.text("dm/uuid")
	}
	return d
}

func (d device) text(file string) string { return d.host.ReadString(d.dir + "/" + file) }

func (d device) flag(file string) bool { return d.text(file) == "1" }

// gone tells a device that vanished after its folder was listed, or whose files are damaged.
func (d device) gone() bool { return !d.known && d.number == "" }

// hidden tells what lsblk leaves out: RAM disks, loop devices without a file.
func (d device) hidden() bool {
	return strings.HasPrefix(d.number, ramMajor) ||
		strings.HasPrefix(d.name, "loop") && d.size == 0
}

// virtual are prefixes of devices that are made of software: they have no model.
var virtual = []string{"dm-", "md", "loop", "zram", "nbd", "rbd", "drbd", "zd"}

// row reads a whole device.
func (d device) row() *facts.BlockDeviceRow {
	sector, _ := strconv.ParseInt(d.text("queue/logical_block_size"), 10, 64)
	row := &facts.BlockDeviceRow{
		Name: strings.ReplaceAll(d.name, "!", "/"), // sysfs' way to write cciss/c0d0
		Type: d.kind(), SizeBytes: d.size, MajorMinor: d.number,
		Rotational: d.flag("queue/rotational"), Removable: d.flag("removable"), ReadOnly: d.flag("ro"),
		Holders: d.names("holders"), Slaves: d.names("slaves"), SectorBytes: sector,
	}
	row.PhysicalSectorBytes, _ = strconv.ParseInt(d.text("queue/physical_block_size"), 10, 64)
	if zoned := d.text("queue/zoned"); zoned != "none" {
		row.Zoned = zoned
	}
	switch {
	case strings.HasPrefix(d.name, "dm-"):
		row.MapperName = d.mapperName
		if d.flag("dm/suspended") {
			row.State = "suspended"
		}
	case strings.HasPrefix(d.name, "loop"):
		row.BackingFile = d.text("loop/backing_file")
	case !hasPrefix(d.name, virtual):
		link, _ := d.host.Readlink(d.dir) // a plain folder on kernels before 2.6.27 and in copies
		row.Transport = transport(d.name, link)
		row.Model, row.Vendor, row.Serial = d.model(), d.vendor(), d.serial()
		row.WWN, row.Firmware = d.wwn(), d.firmware()
		row.State, row.Address = d.text("device/state"), scsiAddress(link)
	}
	return row
}

// kind is the TYPE of lsblk.
func (d device) kind() string {
	switch {
	case strings.HasPrefix(d.name, "dm-"):
		return mapperKind(d.mapperUUID)
	case strings.HasPrefix(d.name, "loop"):
		return "loop"
	case strings.HasPrefix(d.name, "md"):
		if level := d.text("md/level"); level != "" {
			return level
		}
		return "md"
	case strings.HasPrefix(d.name, "sr"):
		return "rom"
	}
	if hasPrefix(d.name, virtual) {
		return "disk"
	}
	return scsiKind(d.text("device/type"))
}

// mapperKind is the prefix that each user of the device mapper puts before its UUID:
// LVM-, CRYPT-, mpath-, part1-mpath-.
func mapperKind(uuid string) string {
	prefix, _, ok := strings.Cut(uuid, "-")
	if !ok || prefix == "" {
		return "dm"
	}
	prefix = strings.ToLower(prefix)
	if strings.HasPrefix(prefix, "part") {
		return "part"
	}
	return prefix
}

// scsiKinds are peripheral device types of SCSI (SPC-4, table 175) as lsblk calls them.
var scsiKinds = map[string]string{
	"1": "tape", "2": "printer", "3": "processor", "4": "worm", "5": "rom", "6": "scanner", "7": "mo-disk",
	"8": "changer", "9": "comm", "12": "raid", "13": "enclosure", "14": "rbc", "17": "osd",
}

func scsiKind(t string) string {
	if k, ok := scsiKinds[t]; ok {
		return k
	}
	return "disk"
}

func (d device) model() string {
	if m := d.text("device/model"); m != "" {
		return m
	}
	if strings.HasPrefix(d.name, "mmcblk") {
		return d.text("device/name")
	}
	return ""
}

// vendor leaves out the number of virtio devices and the "ATA" that stands for every
// maker of such disks.
func (d device) vendor() string {
	v := d.text("device/vendor")
	if strings.HasPrefix(v, "0x") || v == "ATA" {
		return ""
	}
	return v
}

func (d device) serial() string {
	for _, f := range []string{"device/serial", "serial"} { // NVMe and MMC; virtio
		if s := d.text(f); s != "" {
			return s
		}
	}
	b, err := d.host.ReadFile(d.dir + "/device/vpd_pg80")
	if err != nil {
		return ""
	}
	return unitSerial(b)
}

// unitSerial reads the vital product data page 80h (SPC-4, 7.8.15): four bytes of
// header, of which the last two are the length, then the serial number.
func unitSerial(page []byte) string {
	if len(page) < 4 || page[1] != 0x80 {
		return ""
	}
	n := min(int(page[2])<<8|int(page[3]), len(page)-4)
	return printable(string(page[4 : 4+n]))
}

// printable keeps what is text.
func printable(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s))
}

// wwn is the world wide name: "naa.5000c500a0b1c2d3" of SCSI, "eui.0025388b01234567"
// of NVMe. Other forms of wwid repeat maker and serial number.
func (d device) wwn() string {
	for _, f := range []string{"wwid", "device/wwid"} {
		id := d.text(f)
		if hex, ok := strings.CutPrefix(id, "naa."); ok {
			return "0x" + hex
		}
		if strings.HasPrefix(id, "eui.") || strings.HasPrefix(id, "uuid.") {
			return id
		}
	}
	return ""
}

func (d device) firmware() string {
	for _, f := range []string{"device/firmware_rev", "device/rev", "device/fwrev"} { // NVMe, SCSI, MMC
		if s := d.text(f); s != "" {
			return s
		}
	}
	return ""
}

// names lists the folder holders or slaves.
func (d device) names(folder string) string {
	entries, _ := d.host.ReadDir(d.dir + "/" + folder) // absent in copies
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.ReplaceAll(e.Name(), "!", "/")
	}
	return list(names)
}

// transports are buses by a part of the device's path in sysfs; the first match decides.
var transports = []struct{ part, name string }{
	{"/usb", "usb"}, {"/nvme-fabrics/", "nvme"}, {"/nvme", "nvme"}, {"/mmc_host/", "mmc"}, {"/rport-", "fc"},
	{"/end_device-", "sas"}, {"/session", "iscsi"}, {"/ata", "sata"}, {"/virtio", "virtio"}, {"/vmbus", "vmbus"},
	{"/xen/", "xen"}, {"/vbd-", "xen"},
}

func transport(name, link string) string {
	if strings.HasPrefix(name, "nvme") {
		return "nvme"
	}
	for _, t := range transports {
		if strings.Contains(link, t.part) && !strings.Contains(link, "/virtual/") {
			return t.name
		}
	}
	return ""
}

// partitions reads the folders of a disk that hold a file "partition". They share
// what is true of the disk.
func (d device) partitions(disk *facts.BlockDeviceRow) []*facts.BlockDeviceRow {
	entries, _ := d.host.ReadDir(d.dir) // it vanished: no partitions
	var rows []*facts.BlockDeviceRow
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), d.name) || e.Type()&fs.ModeSymlink != 0 {
			continue
		}
		p := openDevice(d.host, path.Join(d.dir, e.Name()))
		if p.gone() {
			continue
		}
		row := &facts.BlockDeviceRow{
			Name: strings.ReplaceAll(e.Name(), "!", "/"), Parent: disk.Name, Type: "part", SizeBytes: p.size,
			MajorMinor: p.number, Rotational: disk.Rotational, Removable: disk.Removable, ReadOnly: p.flag("ro"),
			Holders: p.names("holders"), SectorBytes: disk.SectorBytes,
		}
		row.PartNumber, _ = strconv.Atoi(p.text("partition"))
		if start, err := strconv.ParseInt(p.text("start"), 10, 64); err == nil && start > 0 && start < 1<<53 {
			row.StartBytes = start * sectorBytes
		}
		v := parseUevent(p.text("uevent"))
		row.PartName, row.PartUUID = v["PARTNAME"], v["PARTUUID"]
		rows = append(rows, row)
	}
	return rows
}

// content is what is known, without reading them, of what is on the devices.
type content struct {
	host    *probe.Host
	mounted map[string]mount    // by device number and by path
	links   map[string][]string // by folder of /dev/disk: device name, link name, ...
}

func readContent(h *probe.Host, t mountTable) *content {
	c := &content{host: h, mounted: make(map[string]mount), links: make(map[string][]string)}
	for _, m := range t.mounts {
		if m.majorMinor != "" && !strings.HasPrefix(m.majorMinor, "0:") { // major 0: no device behind it
			c.mounted[m.majorMinor] = m
		}
		if strings.HasPrefix(m.source, "/dev/") {
			c.mounted[m.source] = m
		}
	}
	for _, folder := range []string{"by-uuid", "by-label", "by-partuuid"} {
		dir := "/dev/disk/" + folder
		entries, _ := h.ReadDir(dir) // made by udev, which containers and small systems have not
		for _, e := range entries {
			if target, err := h.Readlink(dir + "/" + e.Name()); err == nil {
				c.links[folder] = append(c.links[folder], path.Base(target), unhex(e.Name()))
			}
		}
	}
	return c
}

// fill completes a row from udev's database, which is best, then the links of
// /dev/disk, then the table of mounts.
func (c *content) fill(row *facts.BlockDeviceRow) {
	fillProperties(row, c.host.UdevProperties(row.MajorMinor))
	base := path.Base(row.Name)
	set(&row.UUID, c.link("by-uuid", base))
	set(&row.Label, c.link("by-label", base))
	set(&row.PartUUID, c.link("by-partuuid", base))
	for _, key := range []string{row.MajorMinor, "/dev/" + row.Name, "/dev/mapper/" + row.MapperName} {
		set(&row.FSType, c.mounted[key].kind)
	}
}

// fillProperties completes a row from udev's properties, or what has their form.
func fillProperties(row *facts.BlockDeviceRow, v map[string]string) {
	set(&row.FSType, v["ID_FS_TYPE"])
	set(&row.FSVersion, v["ID_FS_VERSION"])
	set(&row.UUID, v["ID_FS_UUID"])
	set(&row.Label, unhex(v["ID_FS_LABEL_ENC"]))
	if row.Type == "part" {
		set(&row.PartUUID, v["ID_PART_ENTRY_UUID"])
		set(&row.PartType, v["ID_PART_ENTRY_TYPE"])
		set(&row.PartName, unhex(v["ID_PART_ENTRY_NAME"]))
		return
	}
	set(&row.Table, v["ID_PART_TABLE_TYPE"])
	set(&row.TableUUID, v["ID_PART_TABLE_UUID"])
	set(&row.Model, strings.TrimSpace(unhex(v["ID_MODEL_ENC"])))
	set(&row.Serial, v["ID_SERIAL_SHORT"])
	set(&row.WWN, v["ID_WWN_WITH_EXTENSION"])
	set(&row.Firmware, v["ID_REVISION"])
}

// set fills a field that is not known yet.
func set(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

func (c *content) link(folder, device string) string {
	l := c.links[folder]
	for i := 0; i+1 < len(l); i += 2 {
		if l[i] == device {
			return l[i+1]
		}
	}
	return ""
}

// parseUevent reads a file uevent of sysfs: lines NAME=value.
func parseUevent(text string) map[string]string {
	m := make(map[string]string)
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimRight(line, "\n"), "=")
		m[name] = strings.ToValidUTF8(value, "\uFFFD")
	}
	return m
}

// unhex undoes udev's encoding of unsafe characters: \x20.
func unhex(s string) string {
	if !strings.Contains(s, `\x`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && s[i+1] == 'x' {
			var c byte
			if _, err := fmt.Sscanf(s[i+2:i+4], "%02x", &c); err == nil {
				b.WriteByte(c)
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return strings.ToValidUTF8(b.String(), "")
}
