package agent

import (
	"os"
	"slices"

	"atalaya/agent/probe"
	"atalaya/agent/probe/accounts"
	"atalaya/agent/probe/certificates"
	"atalaya/agent/probe/containers"
	"atalaya/agent/probe/devices"
	"atalaya/agent/probe/environment"
	"atalaya/agent/probe/firewall"
	"atalaya/agent/probe/hardware"
	"atalaya/agent/probe/kernelconf"
	"atalaya/agent/probe/names"
	"atalaya/agent/probe/netinfo"
	"atalaya/agent/probe/osinfo"
	"atalaya/agent/probe/packages"
	"atalaya/agent/probe/patches"
	"atalaya/agent/probe/patches/restart"
	"atalaya/agent/probe/process"
	"atalaya/agent/probe/schedule"
	"atalaya/agent/probe/security"
	"atalaya/agent/probe/self"
	"atalaya/agent/probe/services"
	"atalaya/agent/probe/sockets"
	"atalaya/agent/probe/storage"
	"atalaya/agent/probe/textfile"
	"atalaya/agent/probe/timesync"
	"atalaya/shared/facts"
)

// InventoryProbes returns the probes that fill the given sections, all of them when
// none is given.
func InventoryProbes(c Config, sections ...facts.ID) []probe.Probe {
	all := []probe.Probe{
		osinfo.New(),
		hardware.New(),
		devices.New(),
		storage.New(),
		netinfo.New(),
		names.New(),
		sockets.New(os.Getpid()),
		certificates.New(),
		containers.New(),
		firewall.New(),
		timesync.New(),
		packages.New(),
		packages.NewContainers(),
		patches.New(patches.Config{IndexMaxAge: c.IndexMaxAge, InstalledRPMs: installedRPMs()}),
		restart.New(),
		services.New(),
		accounts.New(),
		schedule.New(),
		process.NewInventory(),
		kernelconf.New(),
		security.New(),
		environment.New(),
	}
	if len(sections) == 0 {
		return all
	}
	return slices.DeleteFunc(all, func(p probe.Probe) bool {
		return !slices.ContainsFunc(p.Info().Sections, func(id facts.ID) bool { return slices.Contains(sections, id) })
	})
}

// MetricProbes returns the metric probes that a configuration wants: those of
// node_exporter's readings and the agent's own.
func MetricProbes(c Config, version string) []probe.Probe {
	wanted := slices.DeleteFunc(NodeProbes(c), func(p probe.Probe) bool {
		info := p.Info()
		return slices.Contains(c.DisabledMetrics, info.Name) || info.Optional && !slices.Contains(c.EnabledMetrics, info.Name)
	})
	wanted = append(wanted, self.New(version))
	if c.TextfileDir != "" {
		wanted = append(wanted, textfile.New(c.TextfileDir))
	}
	return wanted
}

// HelperTasks is what the agent's helper process does: readings that may never return.
func HelperTasks() map[string]probe.Task {
	return map[string]probe.Task{
		probe.StatFSTask:       probe.StatFSAnswer,
		probe.ListTask:         probe.ListAnswer,
		probe.FileTask:         probe.FileAnswer,
		storage.HealthTask:     storage.HealthAnswer,
		storage.SuperblockTask: storage.SuperblockAnswer,
	}
}
