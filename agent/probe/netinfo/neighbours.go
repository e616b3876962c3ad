package netinfo

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// gateway is the next hop of a route.
type gateway struct{ device, address string }

// neighbour is an entry of the kernel's table.
type neighbour struct {
	gateway
	mac       string
	permanent bool
}

// collectNeighbours adds the gateways of the routes and what was entered for good. Other
// neighbours come and go with what is talked about, and would be a change at each
// reading. A gateway whose entry is being renewed just now keeps the address that it
// had: p.gateways remembers, for as long as the agent runs.
func (p *netProbe) collectNeighbours(h *probe.Host, r *probe.Report, names map[int]string, gateways []gateway) error {
	list, problem := readNeighbours(h, names)
	if problem != nil && len(list) == 0 {
		return problem
	}
	rows := make(map[gateway]*facts.NeighbourRow)
	for _, n := range list {
		if n.permanent {
			rows[n.gateway] = &facts.NeighbourRow{Address: n.address, Interface: n.device, MAC: n.mac, Permanent: true}
		}
	}
	known := make(map[gateway]string)
	for _, g := range gateways {
		known[g] = p.gateways[g]
		for _, n := range list {
			if n.gateway == g {
				known[g] = n.mac
			}
		}
		if known[g] == "" {
			delete(known, g)
			continue
		}
		if rows[g] == nil {
			rows[g] = &facts.NeighbourRow{Address: g.address, Interface: g.device, MAC: known[g]}
		}
		rows[g].Gateway = true
	}
	p.gateways = known
	for _, row := range rows {
		r.Add(facts.Neighbours, row)
	}
	return problem
}

func readNeighbours(h *probe.Host, names map[int]string) ([]neighbour, error) {
	if h.Live() {
		l := neighbourList(names)
		if err := l.read(h); !errors.Is(err, probe.ErrNetlinkRefused) { // else a sandbox forbids it
			return l.rows, err
		}
	}
	text, err := readTable(h, "/proc/net/arp", formARP)
	return parseARP(text), absent(err, "no table of neighbours in /proc/net")
}

func neighbourList(names map[int]string) list[neighbour] {
	return list[neighbour]{kind: rtmNewNeighbour, parse: func(body []byte) ([]neighbour, error) {
		return parseNeighbourMessage(body, names)
	}}
}

// parseNeighbourMessage reads struct ndmsg (family, index, state, flags, type) and its
// attributes. Entries without a hardware address are left out, and so are those that the
// kernel makes for broadcast and its like.
func parseNeighbourMessage(b []byte, names map[int]string) ([]neighbour, error) {
	if len(b) < ndMessageLen {
		return nil, probe.ErrNetlink
	}
	fam, state := b[0], binary.NativeEndian.Uint16(b[8:])
	n := neighbour{gateway: gateway{device: nameOf(names, b[4:])}, permanent: state&nudPermanent != 0}
	err := probe.NetlinkAttributes(b[ndMessageLen:], func(kind uint16, v []byte) {
		switch kind {
		case ndaDst:
			n.address = address(v)
		case ndaLLAddr:
			n.mac = hardwareAddress(v)
		}
	})
	if err != nil || n.address == "" || n.mac == "" || state&nudNoARP != 0 || fam != familyInet && fam != familyInet6 {
		return nil, err
	}
	return []neighbour{n}, nil
}

// hardwareAddress is "" for none and for the addresses of tunnels.
func hardwareAddress(b []byte) string {
	if len(b) != 6 && len(b) != 8 && len(b) != 20 {
		return ""
	}
	mac := net.HardwareAddr(b).String()
	if strings.Trim(mac, "0:") == "" {
		return ""
	}
	return mac
}

// parseARP reads /proc/net/arp (proc_net(5)): address, type, flags, hardware address,
// mask, device.
func parseARP(text string) []neighbour {
	const complete, permanent = 0x2, 0x4 // ATF_COM, ATF_PERM of <linux/if_arp.h>
	var out []neighbour
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 6 {
			continue
		}
		ip, errIP := netip.ParseAddr(f[0])
		flags, errFlags := strconv.ParseUint(strings.TrimPrefix(f[2], "0x"), 16, 16)
		mac, errMAC := net.ParseMAC(f[3])
		if errIP != nil || errFlags != nil || errMAC != nil || flags&complete == 0 {
			continue
		}
		if m := hardwareAddress(mac); m != "" {
			out = append(out, neighbour{gateway{f[5], ip.String()}, m, flags&permanent != 0})
		}
	}
	return out
}
