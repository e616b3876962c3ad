package agent

import (
	"atalaya/agent/probe"
	"atalaya/agent/probe/cpu"
	"atalaya/agent/probe/disk"
	"atalaya/agent/probe/filesystem"
	"atalaya/agent/probe/memory"
	"atalaya/agent/probe/network"
	"atalaya/agent/probe/system"
)

// NodeProbes returns the metric probes whose readings node_exporter has too.
func NodeProbes() []probe.Probe {
	return []probe.Probe{
		cpu.New(),
		memory.New(),
		system.New(),
		disk.New(),
		filesystem.New(),
		network.New(),
	}
}
