package agent

import (
	"slices"

	"atalaya/agent/probe"
	"atalaya/agent/probe/accounts"
	"atalaya/agent/probe/certificates"
	"atalaya/agent/probe/containers"
	"atalaya/agent/probe/devices"
	"atalaya/agent/probe/firewall"
	"atalaya/agent/probe/hardware"
	"atalaya/agent/probe/kernelconf"
	"atalaya/agent/probe/names"
	"atalaya/agent/probe/netinfo"
	"atalaya/agent/probe/osinfo"
	"atalaya/agent/probe/packages"
	"atalaya/agent/probe/patches"
	"atalaya/agent/probe/schedule"
	"atalaya/agent/probe/services"
	"atalaya/agent/probe/sockets"
	"atalaya/agent/probe/storage"
	"atalaya/agent/probe/timesync"
)

// Parsers returns the formats that `atalaya-agent parse` knows, on every system.
func Parsers() []probe.Parser {
	return slices.Concat(
		accounts.Parsers(),
		certificates.Parsers(),
		containers.Parsers(),
		devices.Parsers(),
		firewall.Parsers(),
		hardware.Parsers(),
		names.Parsers(),
		kernelconf.Parsers(),
		netinfo.Parsers(),
		osinfo.Parsers(),
		packages.Parsers(),
		timesync.Parsers(),
		schedule.Parsers(),
		services.Parsers(),
		sockets.Parsers(),
		storage.Parsers(),
		patches.Parsers(),
		procParsers(),
	)
}
