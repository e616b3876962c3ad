package hardware

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"strconv"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// firmware is what the SMBIOS tables tell, decoded.
type firmware struct {
	system   *facts.SystemRow
	boards   []*facts.BoardRow
	bios     *facts.BIOSRow // how this system was booted is not known here
	chassis  *facts.ChassisRow
	modules  []*facts.MemoryModuleRow
	arrays   []*facts.MemoryArrayRow
	slots    []*facts.SlotRow
	power    []*facts.PowerSupplyRow
	battery  []*facts.BatteryRow
	sockets  []cpuSocket
	tpm      *facts.TPMRow
	capacity int64 // of the modules in system memory, in bytes
}

func decodeFirmware(raw []byte, version uint16) (*firmware, error) {
	t, err := decodeTable(raw, version)
	fw := &firmware{
		system: t.systemRow(), boards: t.boardRows(), bios: t.biosRow(), chassis: t.chassisRow(), modules: t.memoryRows(),
		arrays: t.arrayRows(), slots: t.slotRows(), power: t.supplyRows(), battery: t.batteryRows(), sockets: t.cpuSockets(), tpm: t.tpmRow(),
	}
	for _, m := range fw.modules {
		fw.capacity += m.SizeBytes
	}
	return fw, err
}

// report adds the rows that come from the tables alone.
func (fw *firmware) report(h *probe.Host, r *probe.Report) {
	if fw.system != nil {
		r.Add(facts.System, fw.system)
	}
	add(r, facts.Board, fw.boards)
	if fw.bios != nil {
		row := *fw.bios
		row.UEFI = bootedByUEFI(h)
		r.Add(facts.BIOS, &row)
	}
	if fw.chassis != nil {
		r.Add(facts.Chassis, fw.chassis)
	}
	add(r, facts.MemoryModules, fw.modules)
	add(r, facts.Slots, fw.slots)
}

func add[R facts.Row](r *probe.Report, id facts.ID, rows []R) {
	for _, row := range rows {
		r.Add(id, row)
	}
}

// keptFirmware keeps the tables decoded: they do not change while the system runs.
type keptFirmware struct {
	stamp probe.Stamp
	fw    *firmware
}

// read returns the decoded tables. With an error they hold what was before the damage;
// they are nil when there are none that could be read.
func (k *keptFirmware) read(h *probe.Host) (*firmware, error) {
	stamp := h.Stamp(tableFile)
	if k.fw != nil && stamp == k.stamp && stamp != (probe.Stamp{}) {
		return k.fw, nil
	}
	k.fw = nil
	raw, err := h.ReadFile(tableFile)
	if err != nil {
		return nil, err
	}
	var version uint16
	if entry, err := h.ReadFile(entryPointFile); err == nil {
		version = decodeEntryPoint(entry)
	}
	fw, err := decodeFirmware(raw, version)
	if err == nil {
		k.fw, k.stamp = fw, stamp
	}
	return fw, err
}

const memoryFolder = "/sys/devices/system/memory"

// keptMemory keeps how much memory the kernel's blocks hold, of which large machines
// have thousands, while what is usable stays the same.
type keptMemory struct{ usable, blocks int64 }

// rows is the row of the machine, from the modules or, where none are known, the memory
// blocks of the kernel; then those of the arrays.
func (k *keptMemory) rows(h *probe.Host, r *probe.Report, fw *firmware) []facts.Row {
	whole := &facts.MemoryArrayRow{InstalledBytes: fw.capacity, UsableBytes: memTotal(h)}
	for _, m := range fw.modules {
		whole.Slots++
		if m.SizeBytes > 0 {
			whole.Populated++
		}
	}
	if whole.InstalledBytes == 0 {
		if k.usable == 0 || k.usable != whole.UsableBytes {
			k.usable, k.blocks = whole.UsableBytes, blockBytes(h)
		}
		whole.InstalledBytes = k.blocks
	}
	var rows []facts.Row
	if *whole != (facts.MemoryArrayRow{}) {
		rows = append(rows, whole)
	}
	for _, a := range fw.arrays {
		rows = append(rows, a)
	}
	if len(rows) == 0 {
		r.Problem(facts.MemoryArrays, withoutMemory(h))
	}
	return rows
}

// withoutMemory says why nothing tells of the memory.
func withoutMemory(h *probe.Host) error {
	b, err := h.ReadFile("/proc/meminfo")
	switch {
	case err != nil && !probe.Absent(err):
		return err
	case err == nil && len(b) > 0:
		return fmt.Errorf("/proc/meminfo: %w", probe.NotUnderstood(b))
	}
	return errNoMemory
}

// blockBytes is the memory that the kernel manages in blocks (memory hot plug), of
// which block_size_bytes is hexadecimal.
func blockBytes(h *probe.Host) int64 {
	size, err := strconv.ParseInt(h.ReadString(memoryFolder+"/block_size_bytes"), 16, 64)
	if err != nil || size <= 0 || size > 1<<40 {
		return 0
	}
	entries, _ := h.ReadDir(memoryFolder) // what could be read
	var n int64
	for _, e := range entries {
		if ok, _ := path.Match("memory[0-9]*", e.Name()); ok {
			n++
		}
	}
	return n * size
}

// memTotal is the first line of /proc/meminfo, in bytes.
func memTotal(h *probe.Host) int64 {
	b, err := h.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := []byte(nil); len(b) > 0; {
		line, b = probe.NextLine(b)
		if rest, ok := bytes.CutPrefix(line, []byte("MemTotal:")); ok {
			number, _ := probe.NextField(rest)
			if n, ok := probe.ParseUint(number); ok && n < 1<<52 {
				return int64(n) << 10
			}
		}
	}
	return 0
}

var errDump = errors.New("dump of dmidecode has no table where it says")

// splitDump takes the table and its version out of a file: the table alone, as the
// kernel shows it, or what dmidecode --dump-bin writes: an entry point, and the table at
// the address that it holds.
func splitDump(b []byte) (raw []byte, version uint16, err error) {
	if !bytes.HasPrefix(b, []byte("_SM")) {
		return b, 0, nil
	}
	var at, size uint64
	switch version = decodeEntryPoint(b); {
	case bytes.HasPrefix(b, []byte("_SM3_")) && len(b) >= 0x18:
		at, size = binary.LittleEndian.Uint64(b[0x10:]), uint64(binary.LittleEndian.Uint32(b[0x0c:]))
	case len(b) >= 0x1f:
		at, size = uint64(binary.LittleEndian.Uint32(b[0x18:])), uint64(binary.LittleEndian.Uint16(b[0x16:]))
	}
	if at == 0 || at > uint64(len(b)) {
		return nil, 0, errDump
	}
	return b[at:min(at+min(size, uint64(len(b))), uint64(len(b)))], version, nil
}
