package storage

import (
	"bytes"
	"encoding/binary"
	"errors"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// Parsers returns the formats of storage that this package reads.
func Parsers() []probe.Parser {
	return []probe.Parser{
		{Kind: "fstab", Help: "/etc/fstab: what is to be mounted", Parse: probe.OfBytes(ParseFstab), Form: probe.Form{
			Want: "lines SOURCE TARGET TYPE [OPTIONS [DUMP [PASS]]]", Empty: true,
			Line: `^\s*\S+\s+(/\S*|none|swap|ignore)\s+[\w.,:+-]+(\s+[^\s#]\S*(\s+\d+(\s+\d+)?)?)?\s*(#.*)?$`}},
		{Kind: "crypttab", Help: "/etc/crypttab: encrypted volumes, without their key files", Parse: probe.OfBytes(ParseCrypttab), Form: probe.Form{
			Want: "lines NAME DEVICE [KEY [OPTIONS]]", Empty: true, Line: `^\s*[\w.+:@\\-]+\s+(/|\w+=)\S+(\s+\S+){0,2}\s*$`}},
		{Kind: "mounts", MaxBytes: 16 << 20, Help: "/proc/mounts: what is mounted", Parse: mountRows(parseMounts), Form: probe.Form{
			Want: "lines SOURCE TARGET TYPE OPTIONS 0 0", Ended: true, Line: `^[^ ]* /[^ ]* [^ ]+ [^ ]+ \d+ \d+$`}},
		{Kind: "mountinfo", MaxBytes: 16 << 20, Help: "/proc/self/mountinfo: what is mounted", Parse: mountRows(parseMountInfo), Form: probe.Form{
			Want: "lines ID PARENT MAJOR:MINOR ROOT TARGET OPTIONS ... - TYPE SOURCE OPTIONS", Ended: true, Line: `^\d+ \d+ \d+:\d+ [^ ]+ /[^ ]* [^ ]+ .*- [^ ]+ [^ ]* `}},
		{Kind: "swaps", Help: "/proc/swaps: swap areas", Parse: probe.OfBytes(ParseSwaps), Form: probe.Form{
			Want: "lines NAME TYPE SIZE USED PRIORITY", Ended: true, Line: `^Filename\s+Type|\s(partition|file)\s+\d+\s+\d+\s+-?\d+$`}},
		{Kind: "mdstat", Help: "/proc/mdstat: arrays of the kernel's software RAID", Parse: probe.OfBytes(ParseMDStat), Form: probe.Form{
			Want: "Personalities, and lines mdN : active LEVEL ...", Ended: true, Some: `^Personalities|^md\S* : |^unused devices`}},
		{Kind: "lvm", Help: "/etc/lvm/backup/GROUP: a volume group with its volumes", Parse: probe.OfBytes(ParseLVM), Form: probe.Form{Want: "GROUP { id = ... }"}},
		{Kind: "superblock", Head: superblockBytes, Help: "first 68 KiB of a device: what is on it", Parse: probe.OfBytes(parseSuperblock), Form: probe.Form{
			Want: "a file system, swap area, volume or partition table", Binary: true}},
		{Kind: "ata-identify", Help: "page of IDENTIFY DEVICE, 512 bytes: the disk", Parse: probe.OfBytes(parseIdentity), Form: probe.Form{
			Want: "256 words of IDENTIFY DEVICE (ACS-4)", Binary: true}},
		{Kind: "ata-smart", Help: "page of SMART READ DATA, then that of the thresholds: attributes", Parse: probe.OfBytes(parseSMART), Form: probe.Form{
			Want: "512 bytes of SMART READ DATA with their checksum", Binary: true}},
		{Kind: "nvme-smart", Help: "NVMe log page 02h, 512 bytes: health", Parse: probe.OfBytes(parseHealth), Form: probe.Form{
			Want: "512 bytes of log page 02h", Binary: true}},
	}
}

// parseIdentity takes a page for what it is only when its text is text and, where the page
// has a checksum (ACS-4, 9.11), that is right. Any bytes give an identity otherwise.
func parseIdentity(b []byte) ([]ATAIdentity, error) {
	id, err := ParseATAIdentity(b)
	if err != nil {
		return nil, err
	}
	var sum byte
	for _, c := range b[:ataPage] {
		sum += c
	}
	unprintable := func(r rune) bool { return (r < ' ' || r > '~') && r != 0 }
	switch {
	case b[510] == 0xA5 && sum != 0:
		return nil, errors.New("its checksum is wrong")
	case bytes.IndexFunc(b[20:40], unprintable) >= 0 || bytes.IndexFunc(b[46:94], unprintable) >= 0:
		return nil, errors.New("serial or model is no text")
	case bytes.Count(b[:ataPage], []byte{0}) < ataPage/8: // most words are reserved
		return nil, errors.New("it has no unused words")
	}
	return []ATAIdentity{id}, nil
}

func parseSMART(b []byte) ([]ATAAttribute, error) {
	got, err := ParseATASMART(b, b[min(len(b), ataPage):])
	if err != nil { // any bytes give attributes
		return nil, err
	}
	return got, nil
}

// parseHealth refuses what no controller tells: shares above all there is, no temperature,
// something in reserved bytes (NVM Express base specification 1.4, figure 196).
func parseHealth(b []byte) ([]NVMeHealth, error) {
	h, err := ParseNVMeHealth(b)
	if err != nil {
		return nil, err
	}
	kelvin := binary.LittleEndian.Uint16(b[1:])
	if h.SparePercent > 100 || h.SpareThreshold > 100 || kelvin == 0 || kelvin > 500 || b[0]&0xC0 != 0 || len(bytes.Trim(b[7:32], "\x00")) > 0 {
		return nil, errors.New("impossible values or something in reserved bytes")
	}
	return []NVMeHealth{h}, nil
}

func mountRows(parse func(string) []mount) func(probe.Input) (any, error) {
	return func(in probe.Input) (any, error) {
		var rows []facts.Row
		for _, m := range parse(string(in.Data)) {
			row := &facts.MountRow{Target: m.point, Source: m.source, Type: m.kind, Options: m.options, Mounted: new(true)}
			if m.root != "/" {
				row.Root = m.root
			}
			rows = append(rows, row)
		}
		return rows, nil
	}
}

// parseSuperblock gives what the beginning of a device tells, by udev's names.
func parseSuperblock(b []byte) ([]map[string]string, error) {
	answer, err := describe(bytes.NewReader(b))
	return []map[string]string{probe.ParseUdev(string(answer))}, err
}
