package hardware

import (
	"errors"
	"fmt"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// Parsers returns the formats that this package reads.
func Parsers() []probe.Parser {
	return []probe.Parser{
		{Kind: "cpuinfo", Help: "/proc/cpuinfo: processors, and what each line says", Parse: parseCPUFiles},
		{Kind: "smbios", Help: "/sys/firmware/dmi/tables/DMI, or a dump of dmidecode: what the firmware tells", Parse: parseSMBIOSFiles},
	}
}

// cpuFile is what `parse cpuinfo` shows.
type cpuFile struct {
	CPUs    []*facts.CPURow     `json:"cpus"`
	Machine *facts.SystemRow    `json:"machine,omitempty"`
	Blocks  []map[string]string `json:"blocks"`
}

func parseCPUFiles(files []probe.Input) (any, error) {
	out := cpuFile{CPUs: []*facts.CPURow{}, Blocks: []map[string]string{}}
	for _, f := range files {
		text := string(f.Data)
		processors := parseCPUInfo(text)
		placeApart(processors)
		for _, s := range countSockets(processors) {
			row := s.row()
			row.MaxHz = ratedHz(s.details)
			out.CPUs = append(out.CPUs, row)
		}
		if row := cpuSystem(text); row != nil {
			out.Machine = row
		}
		out.Blocks = append(out.Blocks, cpuBlocks(text)...)
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

func parseSMBIOSFiles(files []probe.Input) (any, error) {
	out := []smbiosFile{}
	var problems error
	for _, f := range files {
		raw, version, err := splitDump(f.Data)
		fw := &firmware{}
		if err == nil {
			fw, err = decodeFirmware(raw, version)
		}
		if err != nil {
			problems = errors.Join(problems, fmt.Errorf("%s: %w", f.Name, err))
		}
		shown := smbiosFile{
			System: fw.system, Boards: fw.boards, BIOS: fw.bios, Chassis: fw.chassis, Arrays: fw.arrays, Modules: fw.modules,
			Slots: fw.slots, Power: fw.power, Battery: fw.battery, TPM: fw.tpm,
		}
		if version != 0 {
			shown.Version = fmt.Sprintf("%d.%d", version>>8, version&0xff)
		}
		for i, s := range fw.sockets {
			row := &facts.CPURow{Socket: i, Vendor: s.vendor, Model: s.model, Cores: s.cores, Threads: s.threads}
			s.describe(row)
			shown.CPUs = append(shown.CPUs, row)
		}
		out = append(out, shown)
	}
	return out, problems
}
