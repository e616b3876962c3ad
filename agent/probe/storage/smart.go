package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"atalaya/shared/facts"
)

// ataPage is the size of what ATA disks tell at a time.
const ataPage = 512

// ATAIdentity is what a disk says of itself (ACS-4, IDENTIFY DEVICE).
type ATAIdentity struct {
	Model    string `json:"model"`
	Serial   string `json:"serial"`
	Firmware string `json:"firmware"`
	RPM      int    `json:"rpm,omitempty"` // 0: not told, or it does not turn
	SSD      bool   `json:"ssd"`
	// SMART says that the disk watches itself, and that this is switched on.
	SMARTSupported bool `json:"smart_supported"`
	SMARTEnabled   bool `json:"smart_enabled"`
	Logs           bool `json:"logs"` // it has general purpose logs
}

var errShort = errors.New("too short")

// ParseATAIdentity reads the page that IDENTIFY DEVICE returns: 256 words, text with its
// bytes swapped.
func ParseATAIdentity(b []byte) (ATAIdentity, error) {
	if len(b) < ataPage {
		return ATAIdentity{}, fmt.Errorf("identity of %d bytes: %w", len(b), errShort)
	}
	word := func(n int) uint16 { return binary.LittleEndian.Uint16(b[2*n:]) }
	id := ATAIdentity{
		Serial: ataText(b[20:40]), Firmware: ataText(b[46:54]), Model: ataText(b[54:94]),
		SSD: word(217) == 1, SMARTSupported: valid(word(83)) && word(82)&1 != 0, SMARTEnabled: valid(word(87)) && word(85)&1 != 0,
		Logs: valid(word(84)) && word(84)&(1<<5) != 0,
	}
	if rpm := word(217); rpm >= 0x401 && rpm < 0xFFFF {
		id.RPM = int(rpm)
	}
	if id.Model == "" {
		return id, errors.New("identity without a model")
	}
	return id, nil
}

// valid tells words whose group means something: bit 14 is set, bit 15 is not.
func valid(word uint16) bool { return word>>14 == 1 }

func ataText(b []byte) string {
	out := make([]byte, len(b))
	for i := 0; i+1 < len(b); i += 2 {
		out[i], out[i+1] = b[i+1], b[i]
	}
	return printable(string(out))
}

// ATAAttribute is one of the values that a disk keeps of itself. Their numbers and their
// raw values are the maker's business; those used here mean the same everywhere.
type ATAAttribute struct {
	ID        int    `json:"id"`
	Value     int    `json:"value"` // 1 to 253, less is worse
	Worst     int    `json:"worst"`
	Threshold int    `json:"threshold"` // 0: none
	Raw       uint64 `json:"raw"`
	// PreFailure says that the disk is about to fail once Value is not above Threshold;
	// of the others it has then passed its expected life.
	PreFailure bool `json:"pre_failure"`
}

func (a ATAAttribute) exceeded() bool {
	return a.Threshold > 0 && a.Value > 0 && a.Value <= a.Threshold
}

// maxAttributes is how many fit into the page (SFF-8035i).
const maxAttributes = 30

// ParseATASMART reads the pages that SMART READ DATA and SMART READ THRESHOLDS return;
// the second may be missing.
func ParseATASMART(data, thresholds []byte) ([]ATAAttribute, error) {
	if len(data) < ataPage {
		return nil, fmt.Errorf("SMART data of %d bytes: %w", len(data), errShort)
	}
	limits := make(map[byte]byte)
	if len(thresholds) >= ataPage {
		for i := range maxAttributes {
			e := thresholds[2+12*i:]
			limits[e[0]] = e[1]
		}
	}
	attributes := []ATAAttribute{}
	for i := range maxAttributes {
		e := data[2+12*i:]
		if e[0] == 0 {
			continue
		}
		var raw [8]byte
		copy(raw[:6], e[5:11])
		attributes = append(attributes, ATAAttribute{
			ID: int(e[0]), Value: int(e[3]), Worst: int(e[4]), Threshold: int(limits[e[0]]),
			Raw: binary.LittleEndian.Uint64(raw[:]), PreFailure: e[1]&1 != 0,
		})
	}
	var sum byte
	for _, c := range data[:ataPage] {
		sum += c
	}
	if sum != 0 {
		return attributes, errors.New("SMART data: checksum is wrong")
	}
	return attributes, nil
}

// ataEndurance reads the percentage used from page 7 of the device statistics (ACS-4,
// 9.5.8): a flag says that it is supported and one that it is valid.
func ataEndurance(page []byte) (percent int, ok bool) {
	if len(page) < 16 || page[2] != 7 {
		return 0, false
	}
	return int(page[8]), page[15]&0xC0 == 0xC0
}

// hoursStep is what the hours of a disk are rounded down to, so that they are a change
// once in six weeks.
const hoursStep = 1000

// countField is where the raw value of an attribute belongs that counts the same on
// disks of all makers.
func countField(row *facts.DiskHealthRow, id int) **uint64 {
	switch id {
	case 5:
		return &row.Reallocated
	case 187:
		return &row.MediaErrors
	case 197:
		return &row.Pending
	case 198:
		return &row.Uncorrectable
	case 199:
		return &row.CRCErrors
	}
	return nil
}

// ataHealth concludes from what an ATA disk said. passed is its own verdict, nil where it
// gave none.
func ataHealth(row *facts.DiskHealthRow, id ATAIdentity, attributes []ATAAttribute, passed *bool) {
	row.Protocol, row.Model, row.Serial, row.Firmware, row.RPM = "ata", id.Model, id.Serial, id.Firmware, id.RPM
	row.Verdict = facts.DiskUnknown
	if !id.SMARTSupported || !id.SMARTEnabled {
		row.Reasons = "disk does not watch itself"
		if id.SMARTSupported {
			row.Reasons = "SMART is switched off"
		}
		return
	}
	var reasons, warnings []string
	if passed != nil {
		row.Verdict = facts.DiskPassed
		if !*passed {
			reasons = append(reasons, "disk expects to fail")
		}
	}
	for _, a := range attributes {
		if field := countField(row, a.ID); field != nil {
			n := a.Raw & 0xFFFFFFFF // the upper bytes hold other things on some disks
			*field = &n
		}
		if a.ID == 9 {
			n := a.Raw & 0xFFFFFF / hoursStep * hoursStep // some count minutes or seconds above
			row.PowerOnHours = &n
		}
		switch name := "attribute " + strconv.Itoa(a.ID); {
		case a.exceeded() && a.PreFailure:
			reasons = append(reasons, name)
		case a.exceeded():
			warnings = append(warnings, name)
		}
	}
	if len(reasons) > 0 {
		row.Verdict = facts.DiskFailing
	}
	row.Reasons, row.Warnings = strings.Join(reasons, ","), strings.Join(warnings, ",")
}

// NVMeHealth is the log page 02h of an NVMe controller (NVM Express 2.0, 5.16.1.3). What
// changes with each command is left out.
type NVMeHealth struct {
	Warnings       []string `json:"critical_warnings"`
	SparePercent   int      `json:"spare_percent"`
	SpareThreshold int      `json:"spare_threshold_percent"`
	UsedPercent    int      `json:"used_percent"`
	PowerOnHours   uint64   `json:"power_on_hours"`
	UnsafeStops    uint64   `json:"unsafe_shutdowns"`
	MediaErrors    uint64   `json:"media_errors"`
}

// nvmeWarnings are the bits of the first byte. The second bit is the temperature, which
// is no lasting thing.
var nvmeWarnings = []struct {
	bit  byte
	name string
}{
	{1 << 0, "spare blocks below threshold"}, {1 << 2, "reliability degraded"}, {1 << 3, "read only"},
	{1 << 4, "volatile memory backup failed"}, {1 << 5, "persistent memory unreliable"},
}

// ParseNVMeHealth reads the log page.
func ParseNVMeHealth(b []byte) (NVMeHealth, error) {
	if len(b) < ataPage {
		return NVMeHealth{}, fmt.Errorf("health log of %d bytes: %w", len(b), errShort)
	}
	h := NVMeHealth{
		Warnings: []string{}, SparePercent: int(b[3]), SpareThreshold: int(b[4]), UsedPercent: int(b[5]),
		PowerOnHours: wide(b[128:]), UnsafeStops: wide(b[144:]), MediaErrors: wide(b[160:]),
	}
	for _, w := range nvmeWarnings {
		if b[0]&w.bit != 0 {
			h.Warnings = append(h.Warnings, w.name)
		}
	}
	return h, nil
}

// wide reads a number of 16 bytes; what does not fit into eight is the largest that does.
func wide(b []byte) uint64 {
	if binary.LittleEndian.Uint64(b[8:]) != 0 {
		return 1<<64 - 1
	}
	return binary.LittleEndian.Uint64(b)
}

// nvmeHealth concludes from the identity of an NVMe controller and its health log.
func nvmeHealth(row *facts.DiskHealthRow, identity []byte, h NVMeHealth) {
	if len(identity) >= 72 {
		row.Serial, row.Model, row.Firmware = printable(string(identity[4:24])), printable(string(identity[24:64])), printable(string(identity[64:72]))
	}
	row.Protocol, row.Verdict, row.Reasons = "nvme", facts.DiskPassed, strings.Join(h.Warnings, ",")
	if len(h.Warnings) > 0 {
		row.Verdict = facts.DiskFailing
	}
	hours := h.PowerOnHours / hoursStep * hoursStep
	row.UsedPercent, row.SparePercent, row.MediaErrors, row.PowerOnHours = &h.UsedPercent, &h.SparePercent, &h.MediaErrors, &hours
}

// ataResult reads how a command ended, and the registers where it was told to leave them:
// in the sense data, of either format (SAT-4, 12.2.6 and 12.2.7).
func ataResult(hostStatus uint16, status byte, registers bool, sense []byte) (ataRegisters, error) {
	if hostStatus != 0 {
		return ataRegisters{}, fmt.Errorf("disk does not answer (host status %d)", hostStatus)
	}
	var state byte
	var left ataRegisters
	switch format := at(sense, 0) & 0x7F; {
	case format == 0x72 && len(sense) >= 22 && sense[8] == 0x09:
		d := sense[8:]
		state, left = d[13], ataRegisters{count: d[5], mid: d[9], high: d[11]}
	case format == 0x70 && at(sense, 12) == 0 && at(sense, 13) == 0x1D:
		state, left = sense[4], ataRegisters{count: sense[6], mid: sense[10], high: sense[11]}
	case status == 0 && !registers:
		return left, nil
	default:
		return left, fmt.Errorf("disk takes no such command: %w", errors.ErrUnsupported)
	}
	if state&1 != 0 { // error
		return ataRegisters{}, fmt.Errorf("disk refused the command: %w", errors.ErrUnsupported)
	}
	return left, nil
}

// at is a byte, 0 beyond the end.
func at(b []byte, i int) byte {
	if i >= len(b) {
		return 0
	}
	return b[i]
}

// ataRegisters are what a command leaves behind.
type ataRegisters struct{ count, mid, high byte }
