package storage

import (
	"bytes"
	"errors"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// Parsers returns the formats of storage that this package reads.
func Parsers() []probe.Parser {
	return []probe.Parser{
		{Kind: "fstab", Help: "/etc/fstab: what is to be mounted", Parse: each(ParseFstab)},
		{Kind: "crypttab", Help: "/etc/crypttab: encrypted volumes, without their key files", Parse: each(ParseCrypttab)},
		{Kind: "mounts", Help: "/proc/mounts: what is mounted", Parse: each(mountRows(parseMounts))},
		{Kind: "mountinfo", Help: "/proc/self/mountinfo: what is mounted", Parse: each(mountRows(parseMountInfo))},
		{Kind: "swaps", Help: "/proc/swaps: swap areas", Parse: each(ParseSwaps)},
		{Kind: "mdstat", Help: "/proc/mdstat: arrays of the kernel's software RAID", Parse: each(ParseMDStat)},
		{Kind: "lvm", Help: "/etc/lvm/backup/GROUP: a volume group with its volumes", Parse: each(ParseLVM)},
		{Kind: "superblock", Help: "first 68 KiB of a device: what is on it", Parse: each(parseSuperblock)},
		{Kind: "ata-identify", Help: "page of IDENTIFY DEVICE, 512 bytes: the disk", Parse: each(one(ParseATAIdentity))},
		{Kind: "ata-smart", Help: "page of SMART READ DATA, then that of the thresholds: attributes", Parse: each(parseSMART)},
		{Kind: "nvme-smart", Help: "NVMe log page 02h, 512 bytes: health", Parse: each(one(ParseNVMeHealth))},
	}
}

// each applies the parser of one file to several and joins what they give.
func each[T any](parse func([]byte) ([]T, error)) func([]probe.Input) (any, error) {
	return func(files []probe.Input) (any, error) {
		all := []T{}
		var problems error
		for _, f := range files {
			got, err := parse(f.Data)
			all = append(all, got...)
			problems = errors.Join(problems, err)
		}
		return all, problems
	}
}

// one makes a list of what a parser gives that finds one thing in a file.
func one[T any](parse func([]byte) (T, error)) func([]byte) ([]T, error) {
	return func(b []byte) ([]T, error) {
		got, err := parse(b)
		if errors.Is(err, errShort) {
			return nil, err
		}
		return []T{got}, err
	}
}

func parseSMART(b []byte) ([]ATAAttribute, error) {
	return ParseATASMART(b, b[min(len(b), ataPage):])
}

func mountRows(parse func(string) []mount) func([]byte) ([]facts.Row, error) {
	return func(b []byte) ([]facts.Row, error) {
		var rows []facts.Row
		for _, m := range parse(string(b)) {
			row := &facts.MountRow{Target: m.point, Source: m.source, Type: m.kind, Options: m.options, Mounted: true}
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
