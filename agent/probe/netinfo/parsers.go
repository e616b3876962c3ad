package netinfo

import (
	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// What the tables of the kernel look like. By these a damaged one is told from one without rows.
var (
	formRoute4 = probe.Form{Ended: true, Want: "lines INTERFACE DESTINATION GATEWAY FLAGS ... MASK",
		Line: `^Iface\s|^\S+\s+[0-9A-F]{8}\s+[0-9A-F]{8}\s`}
	formRoute6 = probe.Form{Ended: true, Want: "lines DESTINATION PREFIX SOURCE PREFIX HOP METRIC ... INTERFACE",
		Line: `^[0-9a-f]{32} [0-9a-f]{2} [0-9a-f]{32} `}
	formARP = probe.Form{Ended: true, Want: "lines ADDRESS 0xTYPE 0xFLAGS MAC MASK INTERFACE",
		Line: `^IP address\s|^[0-9.]+\s+0x[0-9a-f]+\s+0x[0-9a-f]+\s`}
	formInet6 = probe.Form{Ended: true, Want: "lines ADDRESS INDEX PREFIX SCOPE FLAGS INTERFACE",
		Line: `^[0-9a-f]{32} [0-9a-f]{2} [0-9a-f]{2} `}
	formTrie = probe.Form{Ended: true, Line: `^\S.*:$|^\s+(\+--|\|--|/\d+) `}
)

// readTable reads a table of the kernel; what could be read of a damaged one comes with
// the error.
func readTable(h *probe.Host, name string, form probe.Form) (string, error) {
	b, err := h.ReadFile(name)
	if err == nil {
		err = form.Damage(name, b)
	}
	return string(b), err
}

// Parsers returns the formats that this package reads.
func Parsers() []probe.Parser {
	return []probe.Parser{
		{Kind: "route", MaxBytes: 16 << 20, Help: "/proc/net/route: IPv4 routes of the main table", Parse: probe.OfText(routeFile("inet", parseRoutes4)), Form: formRoute4},
		{Kind: "ipv6_route", MaxBytes: 16 << 20, Help: "/proc/net/ipv6_route: IPv6 routes of the main table", Parse: probe.OfText(routeFile("inet6", parseRoutes6)), Form: formRoute6},
		{Kind: "arp", Help: "/proc/net/arp: IPv4 neighbours", Parse: probe.OfText(arpFile), Form: formARP},
		{Kind: "if_inet6", Help: "/proc/net/if_inet6: IPv6 addresses", Parse: probe.OfText(func(text string) ([]*facts.AddressRow, error) {
			return parseInet6(text), nil
		}), Form: formInet6},
	}
}

func routeFile(family string, parse func(string) []route) func(string) ([]*facts.RouteRow, error) {
	return func(text string) ([]*facts.RouteRow, error) {
		rows := []*facts.RouteRow{}
		for _, r := range parse(text) {
			rows = append(rows, r.row(family))
		}
		return rows, nil
	}
}

func arpFile(text string) ([]*facts.NeighbourRow, error) {
	rows := []*facts.NeighbourRow{}
	for _, n := range parseARP(text) {
		rows = append(rows, &facts.NeighbourRow{Interface: n.device, Address: n.address, MAC: n.mac, Permanent: n.permanent})
	}
	return rows, nil
}
