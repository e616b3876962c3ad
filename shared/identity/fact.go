package identity

import (
	"fmt"
	"strings"
)

// FactKind says what a fact of a machine's identity is. The numbers are on the wire
// and in the collector's state.
type FactKind uint8

// The kinds of facts.
const (
	FactSystemUUID    FactKind = 1 // of the firmware
	FactSystemSerial  FactKind = 2
	FactBoardSerial   FactKind = 3
	FactChassisSerial FactKind = 4
	FactMAC           FactKind = 5 // permanent, of a network card that stays in the machine
	FactDisk          FactKind = 6 // WWN or serial number of a disk that stays in the machine
	FactInstance      FactKind = 7 // as the cloud numbers it
	FactMachineID     FactKind = 8 // hash of machine-id(5): of the installation, not the machine
)

var factNames = [...]string{"", "system uuid", "system serial", "board serial", "chassis serial", "network card", "disk", "cloud instance", "machine-id"}

// String returns the kind for people.
func (k FactKind) String() string {
	if int(k) < len(factNames) && k > 0 {
		return factNames[k]
	}
	return fmt.Sprintf("fact %d", uint8(k))
}

// Fact is one value by which a machine may be known again. Values are as CleanFact
// gives them.
type Fact struct {
	Kind  FactKind `json:"kind" cbor:"1,keyasint"`
	Value string   `json:"value" cbor:"2,keyasint"`
}

// CleanFact gives a value the form in which values are compared.
func CleanFact(value string) string {
	return strings.ToLower(strings.Join(strings.Fields(value), " "))
}

// fillIns are whole values that makers leave where they filled nothing in, between
// bars. They come from DMI reports of many vendors, virtual disks, and cloud-init.
const fillIns = "|default string|to be filled by o.e.m.|not specified|none|unknown|n/a|na|not available|not applicable|not present|empty|null|invalid" +
	"|system serial number|base board serial number|board serial number|chassis serial number|serial number|no serial number|sernum0|oem|o.e.m." +
	"|not set|tbd|undefined|not defined|0x00000000|bsn12345678901234567|ssn12345678901234567|mb-1234567890|sys-1234567890|chassis-1234567890|type2 - board serial number" +
	"|nocloud|iid-datasource-none|i-00000000" +
	"|03000200-0400-0500-0006-000700080009|00020003-0004-0005-0006-000700080009|12345678-1234-5678-90ab-cddeefaabbcc" +
	"|4c4c4544-0000-2010-8020-80c04f202020|11111111-2222-3333-4444-555555555555|"

// Junk says why a value tells nothing of a machine; "" when it may.
func (f Fact) Junk() string {
	v := f.Value
	switch {
	case v == "":
		return "empty"
	case strings.Contains(fillIns, "|"+v+"|"), strings.HasPrefix(v, "to be filled"), strings.Contains(v, "fill by oem"):
		return "a maker's fill-in"
	case f.Kind == FactMAC:
		return junkMAC(v)
	case strings.Contains(v, "0123456789"), strings.Contains(v, "123456789"):
		return "a maker's fill-in"
	case f.Kind == FactDisk && (strings.HasPrefix(v, "qm0000") || strings.HasPrefix(v, "drive-") || strings.Contains(v, "qemu harddisk qm0000")):
		return "what every virtual disk of QEMU has"
	case !strings.ContainsAny(v, "0123456789"):
		return "a name, no number"
	case distinct(v) <= 2:
		return "one character again and again"
	case len(v) < 4:
		return "too short"
	}
	return ""
}

// distinct counts the letters and digits that a value is made of, up to 3.
func distinct(v string) int {
	seen := ""
	for _, r := range v {
		if ('0' <= r && r <= '9' || 'a' <= r && r <= 'z') && !strings.ContainsRune(seen, r) {
			if seen += string(r); len(seen) == 3 {
				break
			}
		}
	}
	return len(seen)
}

// junkMAC knows addresses that no maker gave: IEEE 802, bits 0 (group) and 1 (locally
// administered) of the first byte. QEMU's own 52:54:00 has the latter, and is as good
// as any for telling virtual machines apart.
func junkMAC(v string) string {
	if len(v) != len("00:00:00:00:00:00") || distinct(v) == 1 {
		return "no address of a card"
	}
	switch second := strings.IndexByte("0123456789abcdef", v[1]); {
	case second < 0 || second&1 != 0:
		return "no address of a card"
	case second&2 != 0 && !strings.HasPrefix(v, "52:54:00"):
		return "made up by software (locally administered)"
	}
	return ""
}
