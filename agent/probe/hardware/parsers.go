package hardware

import (
	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// Parsers returns the formats that this package reads.
func Parsers() []probe.Parser {
	return []probe.Parser{
		{Kind: "cpuinfo", Help: "/proc/cpuinfo: processors, and what each line says", Parse: parseCPUFiles},
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
