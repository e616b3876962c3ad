package agent

import (
	"slices"

	"atalaya/agent/probe"
	"atalaya/agent/probe/cpu"
	"atalaya/agent/probe/disk"
	"atalaya/agent/probe/fabric"
	"atalaya/agent/probe/filesystem"
	"atalaya/agent/probe/memory"
	"atalaya/agent/probe/network"
	"atalaya/agent/probe/process"
	"atalaya/agent/probe/sensor"
	"atalaya/agent/probe/services"
	"atalaya/agent/probe/sockets"
	"atalaya/agent/probe/system"
	"atalaya/agent/probe/volume"
)

// NodeProbes returns the metric probes whose readings node_exporter has too.
func NodeProbes(c Config) []probe.Probe {
	processes := process.New(process.Config{Top: c.Processes.Top, Period: c.Processes.Interval})
	return slices.Concat(
		[]probe.Probe{cpu.New(), memory.New(), system.New(), disk.New(), filesystem.New(), network.New(), processes},
		cpu.Probes(), memory.Probes(), system.Probes(), disk.Probes(), network.Probes(), sensor.Probes(), volume.Probes(), fabric.Probes(), services.Probes(), sockets.Probes(),
	)
}
