package storage

import (
	"fmt"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// CrypttabEntry is a line of crypttab(5). Which file holds a key is not part of it.
type CrypttabEntry struct {
	Name    string `json:"name"`
	Device  string `json:"device"`
	Unlock  string `json:"unlock"` // passphrase, file, random, tpm2, fido2, pkcs11
	Options string `json:"options,omitempty"`
}

// ParseCrypttab reads crypttab(5): name, device, key file, options.
func ParseCrypttab(b []byte) ([]CrypttabEntry, error) {
	entries := []CrypttabEntry{}
	var bad []byte
	for line, rest := probe.NextLine(b); line != nil; line, rest = probe.NextLine(rest) {
		f := strings.Fields(strings.ToValidUTF8(string(line), "\uFFFD"))
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		if len(f) < 2 {
			bad = line
			continue
		}
		f = append(f, "", "")
		entries = append(entries, CrypttabEntry{Name: probe.Unescape(f[0]), Device: probe.Unescape(f[1]), Unlock: unlock(f[2], f[3]), Options: maskPaths(f[3])})
	}
	return entries, probe.BadLine(bad)
}

// unlock says how a volume is opened.
func unlock(key, options string) string {
	for o := range strings.SplitSeq(options, ",") {
		switch name, _, _ := strings.Cut(o, "="); name {
		case "tpm2-device":
			return "tpm2"
		case "fido2-device":
			return "fido2"
		case "pkcs11-uri":
			return "pkcs11"
		}
	}
	switch key {
	case "", "none", "-":
		return "passphrase"
	case "/dev/random", "/dev/urandom", "/dev/hw_random", "/dev/hwrng":
		return "random"
	}
	return "file"
}

// maskPaths keeps the options of crypttab but for the values that lead to keys.
func maskPaths(options string) string {
	list := strings.Split(options, ",")
	for i, o := range list {
		name, value, ok := strings.Cut(o, "=")
		if ok && (strings.ContainsAny(value, "/:") || hasPrefix(o, secret) || name == "keyscript") {
			list[i] = name + "=" + probe.Masked
		}
	}
	return strings.Join(list, ",")
}

// cryptName splits the device mapper's UUID of an encrypted volume, CRYPT-LUKS2-(32
// digits)-name: the kind, and the UUID of the header where there is one.
func cryptName(uuid string) (kind, header string, ok bool) {
	rest, ok := strings.CutPrefix(uuid, "CRYPT-")
	if !ok {
		return "", "", false
	}
	kind, rest, _ = strings.Cut(rest, "-")
	if kind == "" {
		return "", "", false
	}
	if id, _, _ := strings.Cut(rest, "-"); len(id) == 32 && strings.Trim(id, "0123456789abcdef") == "" {
		header = id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]
	}
	return strings.ToLower(kind), header, true
}

// encrypted adds open volumes, closed ones whose header is known, and what crypttab
// would open.
func (s *survey) encrypted() {
	b, err := s.host.ReadFile("/etc/crypttab")
	var entries []CrypttabEntry
	if err == nil {
		if entries, err = ParseCrypttab(b); err == nil {
			err = probe.Intact(b)
		}
	}
	if err != nil && !gone(err) {
		s.report.Problem(facts.EncryptedVolumes, fmt.Errorf("/etc/crypttab: %w", err))
	}
	rows := s.openVolumes()
	open := make(map[string]bool)
	for _, r := range rows {
		open[r.Device] = true
	}
	for _, d := range s.rows {
		if (d.FSType == "crypto_LUKS" || d.FSType == "BitLocker") && !open[d.Name] {
			rows = append(rows, &facts.EncryptedVolumeRow{Name: d.Name, Device: d.Name, UUID: d.UUID, Type: headerKind(d)})
		}
	}
	for _, e := range entries {
		rows = s.listed(rows, e)
	}
	for _, r := range rows {
		s.report.Add(facts.EncryptedVolumes, r)
	}
}

func headerKind(d *facts.BlockDeviceRow) string {
	switch {
	case d.FSType == "BitLocker":
		return "bitlk"
	case d.FSVersion == "1" || d.FSVersion == "2":
		return "luks" + d.FSVersion
	}
	return "luks"
}

func (s *survey) openVolumes() []*facts.EncryptedVolumeRow {
	var rows []*facts.EncryptedVolumeRow
	for _, d := range s.devices {
		if kind, header, ok := cryptName(d.mapperUUID); ok {
			rows = append(rows, &facts.EncryptedVolumeRow{Name: d.mapperName, Type: kind, Device: d.names("slaves"), UUID: header, Open: true, Mapped: d.name})
		}
	}
	return rows
}

// listed enters a line of crypttab: in the row of its volume, be it open or closed, else
// in one of its own.
func (s *survey) listed(rows []*facts.EncryptedVolumeRow, e CrypttabEntry) []*facts.EncryptedVolumeRow {
	device := s.resolve(e.Device)
	for _, r := range rows {
		if r.Open && r.Name == e.Name || !r.Open && r.Device == device {
			r.Name, r.Listed, r.Unlock, r.Options = e.Name, true, e.Unlock, e.Options
			return rows
		}
	}
	kind := "luks"
	if e.Unlock == "random" {
		kind = "plain" // a header would be of no use with a key that is new each time
	}
	for _, o := range []string{"plain", "bitlk", "tcrypt"} {
		if hasOption(e.Options, o) {
			kind = o
		}
	}
	return append(rows, &facts.EncryptedVolumeRow{Name: e.Name, Type: kind, Device: device, Listed: true, Unlock: e.Unlock, Options: e.Options})
}

// resolve finds the kernel name of a device as fstab and crypttab write it: a path,
// UUID=, LABEL=, PARTUUID= or PARTLABEL=. What is not found stays as it is written.
func (s *survey) resolve(spec string) string {
	tag, value, tagged := strings.Cut(spec, "=")
	value = strings.Trim(value, `"`)
	if !tagged {
		tag, value = "", strings.TrimPrefix(spec, "/dev/")
		for folder, t := range map[string]string{"disk/by-uuid/": "UUID", "disk/by-label/": "LABEL", "disk/by-partuuid/": "PARTUUID", "disk/by-partlabel/": "PARTLABEL"} {
			if v, ok := strings.CutPrefix(value, folder); ok {
				tag, value = t, unhex(v)
			}
		}
	}
	for _, d := range s.rows {
		var have string
		switch tag {
		case "":
			have = d.Name
			if name, ok := strings.CutPrefix(value, "mapper/"); ok && name == d.MapperName && name != "" {
				return d.Name
			}
		case "UUID":
			have = d.UUID
		case "LABEL":
			have = d.Label
		case "PARTUUID":
			have = d.PartUUID
		case "PARTLABEL":
			have = d.PartName
		}
		if have != "" && strings.EqualFold(have, value) {
			return d.Name
		}
	}
	return spec
}
