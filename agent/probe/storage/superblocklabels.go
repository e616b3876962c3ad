package storage

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// maxLabelRead bounds what is read to find a label that is not in the superblock.
const maxLabelRead = 32 << 10

// at reads a part of the device; nil where there is none.
func (d *description) at(offset uint64, size int) []byte {
	if offset > 1<<62 || size <= 0 {
		return nil
	}
	b := make([]byte, min(size, maxLabelRead))
	n, _ := d.device.ReadAt(b, int64(offset)) // what is not there has no label
	return b[:n]
}

// ntfsLabel is the attribute $VOLUME_NAME of the fourth record of the master file table
// (flatcap.github.io/linux-ntfs, "NTFS Documentation").
func (d *description) ntfsLabel(boot []byte) string {
	const recordOfVolume, volumeName = 3, 0x60
	cluster := uint64(binary.LittleEndian.Uint16(boot[11:])) * uint64(boot[13])
	size := int64(int8(boot[64])) * int64(cluster)
	if size < 0 || int8(boot[64]) < 0 {
		size = 1 << min(-int64(int8(boot[64])), 30)
	}
	record := d.at(binary.LittleEndian.Uint64(boot[48:])%(1<<40)*cluster+uint64(recordOfVolume*size), int(min(size, maxLabelRead)))
	if len(record) < 48 || string(record[:4]) != "FILE" {
		return ""
	}
	for at := int(binary.LittleEndian.Uint16(record[20:])); at+24 <= len(record); {
		a := record[at:]
		size, value, from := int64(binary.LittleEndian.Uint32(a[4:])), int64(binary.LittleEndian.Uint32(a[16:])), int64(binary.LittleEndian.Uint16(a[20:]))
		if size < 24 || size > int64(len(a)) {
			return ""
		}
		if binary.LittleEndian.Uint32(a) == volumeName && from+value <= size {
			return utf16Text(a[from : from+value])
		}
		at += int(size)
	}
	return ""
}

// exfatLabel is the entry of type 83h in the root folder (exFAT file system specification, 7.3).
func (d *description) exfatLabel(boot []byte) string {
	const entryBytes, volumeLabel = 32, 0x83
	sector, perCluster := boot[108], boot[109]
	root := uint64(binary.LittleEndian.Uint32(boot[96:]))
	if sector < 9 || sector > 12 || perCluster > 25-sector || root < 2 {
		return ""
	}
	heap := uint64(binary.LittleEndian.Uint32(boot[88:])) << sector
	folder := d.at(heap+(root-2)<<(sector+perCluster), 1<<(sector+perCluster))
	for ; len(folder) >= entryBytes && folder[0] != 0; folder = folder[entryBytes:] {
		if n := int(folder[1]); folder[0] == volumeLabel && n <= 11 {
			return utf16Text(folder[2 : 2+2*n])
		}
	}
	return ""
}

// iso reads the volume descriptors of ISO 9660 (ECMA-119, 8). The time of the last change is
// its number, and Joliet has the label as it was written, as far as its 16 letters go.
func (d *description) iso(b []byte) {
	const descriptor, labelAt, labelBytes = 0x800, 40, 32
	primary := b[0x8000 : 0x8000+descriptor]
	label, version := string(primary[labelAt:labelAt+labelBytes]), ""
	for at := 0x8000 + descriptor; at+descriptor <= len(b) && string(b[at+1:at+6]) == "CD001" && b[at] != 0xFF; at += descriptor {
		if escape := string(b[at+88 : at+91]); b[at] == 2 && (escape == "%/@" || escape == "%/C" || escape == "%/E") {
			label, version = jolietLabel(b[at+labelAt:at+labelAt+labelBytes], label), "Joliet Extension"
			break
		}
	}
	uuid := isoTime(primary[830:847])
	if uuid == "" {
		uuid = isoTime(primary[813:830])
	}
	d.fs("iso9660", uuid, label, version)
}

// jolietLabel goes on with what the older label has beyond, if it begins alike.
func jolietLabel(b []byte, older string) string {
	swapped := make([]byte, 0, len(b))
	for i := 0; i+1 < len(b); i += 2 {
		swapped = append(swapped, b[i+1], b[i])
	}
	label := utf16Text(swapped)
	if n := len(b) / 2; len(label) == n && strings.EqualFold(strings.ReplaceAll(label, " ", "_"), strings.ReplaceAll(older[:n], " ", "_")) {
		return label + older[n:]
	}
	return label
}

// isoTime is YYYYMMDDHHMMSSCC and a zone; all zeros where it is not set.
func isoTime(b []byte) string {
	t := string(b[:16])
	if strings.Trim(t, "0123456789") != "" || t == strings.Repeat("0", 16) && b[16] == 0 {
		return ""
	}
	parts := [][]byte{b[:4], b[4:6], b[6:8], b[8:10], b[10:12], b[12:14], b[14:16]}
	return string(bytes.Join(parts, []byte("-")))
}
