package storage

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
)

// SuperblockTask is the Task of a helper that reads the beginning of a block device,
// where udev's database does not say what is on it. SuperblockAnswer is what the helper
// does for it; the answer has the form of that database.
const SuperblockTask = "superblock"

// superblockBytes reaches to the end of the superblock of btrfs, which is the last.
const superblockBytes = 68 << 10

// maxPartitions bounds what is told of a table of partitions; GPT has 128 by custom.
const maxPartitions = 128

// describe writes what the beginning of a device tells, as lines of udev's database.
func describe(r io.ReaderAt) ([]byte, error) {
	b := make([]byte, superblockBytes)
	n, err := r.ReadAt(b, 0)
	if n < 512 && err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	clear(b[n:])
	out := description{device: r}
	if !out.content(b) {
		out.table(b)
	}
	return out.text.Bytes(), nil
}

type description struct {
	device io.ReaderAt
	text   bytes.Buffer
}

func (d *description) set(name, value string) {
	value = strings.Trim(strings.ToValidUTF8(value, "\uFFFD"), " \x00")
	value = strings.Map(func(r rune) rune {
		if r < ' ' {
			return '_'
		}
		return r
	}, value)
	if value != "" && d.text.Len()+len(name)+len(value) < 12<<10 {
		fmt.Fprintf(&d.text, "E:%s=%s\n", name, value)
	}
}

func (d *description) fs(kind, uuid, label, version string) {
	d.set("ID_FS_TYPE", kind)
	d.set("ID_FS_UUID", uuid)
	d.set("ID_FS_LABEL_ENC", strings.ReplaceAll(label, `\x`, `\x5cx`))
	d.set("ID_FS_VERSION", version)
}

// magic are file systems whose superblock says enough at fixed places: the mark, the 16
// bytes of the UUID, the label.
var magics = []struct {
	at    int
	mark  string
	kind  string
	uuid  int
	label int
	size  int // of the label
}{
	{0, "XFSB", "xfs", 32, 108, 12},
	{0x10040, "_BHRfS_M", "btrfs", 0x10020, 0x1012B, 256},
	{1024, "\xE2\xE1\xF5\xE0", "erofs", 1024 + 48, 1024 + 64, 16},
	{4086, "SWAPSPACE2", "swap", 1024 + 12, 1024 + 28, 16},
	{4096, "\xFC\x4E\x2B\xA9", "linux_raid_member", 4096 + 16, 4096 + 32, 32},
	{0, "\xFC\x4E\x2B\xA9", "linux_raid_member", 16, 32, 32},
}

// content recognises what lies on the device as a whole.
func (d *description) content(b []byte) bool {
	for _, m := range magics {
		if string(b[m.at:m.at+len(m.mark)]) != m.mark {
			continue
		}
		d.fs(m.kind, uuidText(b[m.uuid:]), cText(b[m.label:m.label+m.size]), "")
		return true
	}
	switch {
	case binary.LittleEndian.Uint16(b[1024+56:]) == 0xEF53:
		d.ext(b[1024:])
	case string(b[:6]) == "LUKS\xBA\xBE":
		d.luks(b)
	case string(b[3:11]) == "-FVE-FS-":
		d.fs("BitLocker", "", "", "")
	case string(b[3:11]) == "NTFS    ":
		d.fs("ntfs", fmt.Sprintf("%016X", binary.LittleEndian.Uint64(b[0x48:])), d.ntfsLabel(b), "")
	case string(b[3:11]) == "EXFAT   ":
		d.fs("exfat", serial(b[100:]), d.exfatLabel(b), fmt.Sprintf("%d.%d", b[105], b[104]))
	case string(b[:4]) == "hsqs":
		d.fs("squashfs", "", "", fmt.Sprintf("%d.%d", binary.LittleEndian.Uint16(b[28:]), binary.LittleEndian.Uint16(b[30:])))
	case string(b[1024:1028]) == "\x10\x20\xF5\xF2":
		d.fs("f2fs", uuidText(b[1024+0x6C:]), utf16Text(b[1024+0x7C:1024+0x47C]),
			fmt.Sprintf("%d.%d", binary.LittleEndian.Uint16(b[1028:]), binary.LittleEndian.Uint16(b[1030:])))
	case string(b[82:87]) == "FAT32":
		d.fs("vfat", serial(b[67:]), fatLabel(b[71:82]), "FAT32")
	case string(b[54:59]) == "FAT16" || string(b[54:59]) == "FAT12":
		d.fs("vfat", serial(b[39:]), fatLabel(b[43:54]), string(b[54:59]))
	case string(b[0x8001:0x8006]) == "CD001":
		d.iso(b)
	default:
		return d.lvm(b)
	}
	return true
}

// ext tells the generations of ext apart by their features, as blkid(8) does.
func (d *description) ext(s []byte) {
	feature := func(at int) uint32 { return binary.LittleEndian.Uint32(s[at:]) }
	const journal, journalDevice = 0x4, 0x8
	// Beyond these the older drivers do not mount.
	const knownIncompat, knownReadOnly = 0x2 | 0x4 | 0x10, 0x1 | 0x2 | 0x4
	kind := "ext2"
	switch {
	case feature(0x60)&journalDevice != 0:
		kind = "jbd"
	case feature(0x60)&^knownIncompat != 0 || feature(0x64)&^knownReadOnly != 0:
		kind = "ext4"
	case feature(0x5C)&journal != 0:
		kind = "ext3"
	}
	version := fmt.Sprintf("%d.%d", binary.LittleEndian.Uint32(s[0x4C:]), binary.LittleEndian.Uint16(s[0x3E:]))
	d.fs(kind, uuidText(s[0x68:]), cText(s[0x78:0x88]), version)
}

func (d *description) luks(b []byte) {
	version := binary.BigEndian.Uint16(b[6:])
	label := ""
	if version == 2 {
		label = cText(b[24:72])
	}
	d.fs("crypto_LUKS", cText(b[168:208]), label, fmt.Sprint(version))
}

// lvm finds the label of a physical volume in one of the first four sectors.
func (d *description) lvm(b []byte) bool {
	for at := 0; at < 4*512; at += 512 {
		s := b[at : at+512]
		header := int(binary.LittleEndian.Uint32(s[20:]))
		if string(s[:8]) != "LABELONE" || string(s[24:32]) != "LVM2 001" || header > 512-32 {
			continue
		}
		id := printable(string(s[header : header+32]))
		if len(id) == 32 {
			id = strings.Join([]string{id[:6], id[6:10], id[10:14], id[14:18], id[18:22], id[22:26], id[26:]}, "-")
		}
		d.fs("LVM2_member", id, "", "LVM2 001")
		return true
	}
	return false
}

// table reads a table of partitions: GPT (UEFI 2.10, 5.3) or the one of MS-DOS.
func (d *description) table(b []byte) {
	if b[510] != 0x55 || b[511] != 0xAA {
		return
	}
	for _, sector := range []int{512, 4096} {
		if string(b[sector:sector+8]) == "EFI PART" {
			d.gpt(b, sector)
			return
		}
	}
	id := fmt.Sprintf("%08x", binary.LittleEndian.Uint32(b[440:]))
	for i := range 4 {
		if boot := b[446+16*i]; boot != 0 && boot != 0x80 {
			return // no table: the boot sector of something else
		}
	}
	d.set("ID_PART_TABLE_TYPE", "dos")
	d.set("ID_PART_TABLE_UUID", id)
	for i := range 4 {
		if kind := b[446+16*i+4]; kind != 0 {
			d.set(fmt.Sprintf("PART%d_TYPE", i+1), fmt.Sprintf("0x%x", kind))
			d.set(fmt.Sprintf("PART%d_UUID", i+1), fmt.Sprintf("%s-%02x", id, i+1))
		}
	}
}

func (d *description) gpt(b []byte, sector int) {
	h := b[sector:]
	d.set("ID_PART_TABLE_TYPE", "gpt")
	d.set("ID_PART_TABLE_UUID", guidText(h[56:]))
	start, count, size := binary.LittleEndian.Uint64(h[72:]), binary.LittleEndian.Uint32(h[80:]), binary.LittleEndian.Uint32(h[84:])
	if start > 64 || size < 128 || size > 4096 {
		return
	}
	for i := range min(int(count), maxPartitions) {
		at := int(start)*sector + i*int(size)
		if at+128 > len(b) {
			return
		}
		e := b[at : at+128]
		if bytes.Equal(e[:16], make([]byte, 16)) {
			continue
		}
		d.set(fmt.Sprintf("PART%d_TYPE", i+1), guidText(e))
		d.set(fmt.Sprintf("PART%d_UUID", i+1), guidText(e[16:]))
		d.set(fmt.Sprintf("PART%d_NAME", i+1), utf16Text(e[56:128]))
	}
}

func cText(b []byte) string {
	text, _, _ := bytes.Cut(b, []byte{0})
	return string(text)
}

// fatLabel is the label of the boot sector; mkfs.fat writes NO NAME where there is none.
func fatLabel(b []byte) string {
	if label := strings.TrimSpace(cText(b)); label != "NO NAME" {
		return label
	}
	return ""
}

func uuidText(b []byte) string {
	if bytes.Equal(b[:16], make([]byte, 16)) {
		return ""
	}
	h := hex.EncodeToString(b[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// guidText is a UUID whose first three groups have their bytes swapped.
func guidText(b []byte) string {
	return uuidText([]byte{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]})
}

// serial is the short number of FAT.
func serial(b []byte) string {
	return fmt.Sprintf("%04X-%04X", binary.LittleEndian.Uint16(b[2:]), binary.LittleEndian.Uint16(b))
}

func utf16Text(b []byte) string {
	var out []uint16
	for i := 0; i+1 < len(b); i += 2 {
		c := binary.LittleEndian.Uint16(b[i:])
		if c == 0 {
			break
		}
		out = append(out, c)
	}
	return string(utf16.Decode(out))
}
