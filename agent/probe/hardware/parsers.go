package hardware

import (
	"errors"
	"fmt"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// Parsers returns the formats that this package reads.
func Parsers() []probe.Parser {
	return []probe.Parser{
		{Kind: "cpuinfo", Help: "/proc/cpuinfo, or the text of dmidecode: processors, and what each line says", Parse: probe.OfText(parseCPUFile), Form: probe.Form{
			Want: "lines NAME : VALUE, with processor, cpu, model or vendor_id", Comment: ";#", Line: `^[^:]{1,60}:|^\s|^Handle 0x|^[A-Z][\w /,.()-]+$|^\d+ structures`,
			Some: `^(processor|Processor|cpu|CPU|CPUs|vendor_id|vendor|system type|machine|Machine|model|# processors|hart|core|Model|Hardware|type)\b[^:]*:|^Processor Information`}},
		{Kind: "smbios", Help: "/sys/firmware/dmi/tables/DMI, or a dump of dmidecode: what the firmware tells", Parse: probe.OfBytes(parseSMBIOSFile), Form: probe.Form{
			Want: "structures of SMBIOS", Binary: true}},
	}
}

// cpuFile is what `parse cpuinfo` shows.
type cpuFile struct {
	CPUs    []*facts.CPURow  `json:"cpus"`
	Machine *facts.SystemRow `json:"machine,omitempty"`
	Blocks  []cpuBlock       `json:"blocks"`
}

// cpuBlock is what the lines of one processor say, and what follows from them.
type cpuBlock struct {
	Arch  string            `json:"arch,omitempty"`
	MaxHz int64             `json:"max_hz,omitempty"`
	Lines map[string]string `json:"lines"`
}

// dmidecodeCPUs are the processors in what dmidecode(8) prints, which people keep beside
// cpuinfo: the lines of its sections "Processor Information".
func dmidecodeCPUs(text string) (cpuFile, error) {
	out := cpuFile{CPUs: []*facts.CPURow{}, Blocks: []cpuBlock{}}
	for section := range strings.SplitSeq(text, "\n\n") {
		_, lines, ok := strings.Cut(section, "\nProcessor Information\n")
		if !ok {
			continue
		}
		block := cpuBlock{Lines: make(map[string]string)}
		for line := range strings.Lines(lines) {
			if name, value, ok := strings.Cut(line, ":"); ok {
				block.Lines[strings.TrimSpace(name)] = strings.TrimSpace(value)
			}
		}
		out.Blocks = append(out.Blocks, block)
	}
	if len(out.Blocks) == 0 {
		return out, errors.New("no processor in it")
	}
	return out, nil
}

func parseCPUFile(text string) (cpuFile, error) {
	if strings.HasPrefix(text, "# dmidecode") {
		return dmidecodeCPUs(text)
	}
	out := cpuFile{CPUs: []*facts.CPURow{}, Machine: cpuSystem(text), Blocks: []cpuBlock{}}
	for _, lines := range cpuBlocks(text) {
		p := processor{details: make(map[string]string, len(lines))}
		for name, value := range lines {
			p.set(name, value)
		}
		out.Blocks = append(out.Blocks, cpuBlock{cpuArch(p.details), ratedHz(p.details), lines})
	}
	processors := parseCPUInfo(text)
	placeApart(processors)
	for _, s := range countSockets(processors) {
		row := s.row()
		row.MaxHz = ratedHz(s.details)
		out.CPUs = append(out.CPUs, row)
	}
	return out, nil
}

// placeApart gives processors that do not tell their place one socket and a core each.
func placeApart(list []processor) {
	for i := range list {
		list[i].socket = max(list[i].socket, 0)
		if list[i].core < 0 {
			list[i].core = list[i].number
		}
	}
}

// cpuSystem is the system row of a machine that only cpuinfo describes; nil if it does not.
func cpuSystem(text string) *facts.SystemRow {
	row := &facts.SystemRow{}
	row.Product, row.Version, row.Serial = cpuMachine(text)
	if *row == (facts.SystemRow{}) {
		return nil
	}
	return row
}

// smbiosFile is what `parse smbios` shows.
type smbiosFile struct {
	Version string                   `json:"version,omitempty"`
	System  *facts.SystemRow         `json:"system,omitempty"`
	Boards  []*facts.BoardRow        `json:"board,omitempty"`
	BIOS    *facts.BIOSRow           `json:"bios,omitempty"`
	Chassis *facts.ChassisRow        `json:"chassis,omitempty"`
	CPUs    []*facts.CPURow          `json:"cpus,omitempty"`
	Arrays  []*facts.MemoryArrayRow  `json:"memory_arrays,omitempty"`
	Modules []*facts.MemoryModuleRow `json:"memory_modules,omitempty"`
	Slots   []*facts.SlotRow         `json:"slots,omitempty"`
	Power   []*facts.PowerSupplyRow  `json:"power_supplies,omitempty"`
	Battery []*facts.BatteryRow      `json:"batteries,omitempty"`
	TPM     *facts.TPMRow            `json:"tpm,omitempty"`
}

func parseSMBIOSFile(data []byte) ([]smbiosFile, error) {
	raw, version, err := splitDump(data)
	fw := &firmware{}
	if err == nil {
		fw, err = decodeFirmware(raw, version)
	}
	shown := smbiosFile{
		System: fw.system, Boards: fw.boards, BIOS: fw.bios, Chassis: fw.chassis, Arrays: fw.arrays, Modules: fw.modules,
		Slots: fw.slots, Power: fw.power, Battery: fw.battery, TPM: fw.tpm,
	}
	for i, s := range fw.sockets {
		row := &facts.CPURow{Socket: i, Vendor: s.vendor, Model: s.model, Cores: s.cores, Threads: s.threads}
		s.describe(row)
		shown.CPUs = append(shown.CPUs, row)
	}
	if shown.empty() {
		return nil, err
	}
	if version != 0 {
		shown.Version = fmt.Sprintf("%d.%d", version>>8, version&0xff)
	}
	return []smbiosFile{shown}, err
}

// empty reports whether no structure told anything.
func (f *smbiosFile) empty() bool {
	return f.System == nil && f.BIOS == nil && f.Chassis == nil && f.TPM == nil &&
		len(f.Boards)+len(f.CPUs)+len(f.Arrays)+len(f.Modules)+len(f.Slots)+len(f.Power)+len(f.Battery) == 0
}
