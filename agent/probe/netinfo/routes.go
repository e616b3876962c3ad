package netinfo

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// Flags of <linux/route.h> and <linux/ipv6_route.h>.
const (
	routeUp      = 0x0001
	routeReject  = 0x0200
	routeAnycast = 0x00100000
	routeCache   = 0x01000000
	routeLocal   = 0x80000000
)

// collectRoutes adds the routes: of the main tables, and live those of the others that
// administrators made. It returns the gateways with their interfaces.
func collectRoutes(h *probe.Host, r *probe.Report, names map[int]string) ([]gateway, error) {
	rows, err := readRoutes(h, names)
	var gateways []gateway
	for _, row := range rows {
		r.Add(facts.Routes, row)
		if row.Gateway != "" {
			gateways = append(gateways, gateway{row.Interface, row.Gateway})
		}
	}
	return gateways, err
}

func readRoutes(h *probe.Host, names map[int]string) ([]*facts.RouteRow, error) {
	if h.Live() {
		l := routeList(names)
		if err := l.read(h); !errors.Is(err, probe.ErrNetlinkRefused) { // else a sandbox forbids it
			return l.rows, err
		}
	}
	var rows []*facts.RouteRow
	text4, err4 := readTable(h, "/proc/net/route", formRoute4)
	for _, rt := range parseRoutes4(text4) {
		rows = append(rows, rt.row("inet"))
	}
	text6, err6 := readTable(h, "/proc/net/ipv6_route", formRoute6)
	for _, rt := range parseRoutes6(text6) {
		rows = append(rows, rt.row("inet6"))
	}
	if probe.Absent(err6) {
		err6 = nil // IPv6 is switched off
	}
	if probe.Absent(err4) && err6 == nil {
		return rows, absent(err4, "no routes in /proc/net")
	}
	if probe.Absent(err4) {
		err4 = nil
	}
	return rows, errors.Join(err4, err6)
}

// routeProtocols are the values of rtm_protocol: who made the route.
var routeProtocols = map[byte]string{
	1: "redirect", 2: "kernel", 3: "boot", 4: "static", 8: "gated", 9: "ra", 11: "zebra", 12: "bird", 16: "dhcp",
	18: "keepalived", 42: "babel", 186: "bgp", 187: "isis", 188: "ospf", 189: "rip", 192: "eigrp",
}

// routeTypes are the values of rtm_type that are told; ordinary ones ("unicast") need
// no word, and those of the addresses of this host are left out.
var routeTypes = map[byte]string{1: "", 6: "blackhole", 7: "unreachable", 8: "prohibit", 9: "throw", 10: "nat"}

func routeList(names map[int]string) list[*facts.RouteRow] {
	return list[*facts.RouteRow]{kind: rtmNewRoute, parse: func(body []byte) ([]*facts.RouteRow, error) {
		return parseRouteMessage(body, names)
	}}
}

// parseRouteMessage reads struct rtmsg (family, lengths of destination and source, tos,
// table, protocol, scope, type, flags) and its attributes: a row for each next hop.
func parseRouteMessage(b []byte, names map[int]string) ([]*facts.RouteRow, error) {
	if len(b) < rtMessageLen {
		return nil, probe.ErrNetlink
	}
	kind, told := routeTypes[b[7]]
	table := uint32(b[4])
	row := facts.RouteRow{Destination: "default", Family: "inet", Protocol: routeProtocols[b[5]], Type: kind}
	if b[0] == familyInet6 {
		row.Family = "inet6"
	} else if b[0] != familyInet {
		return nil, nil
	}
	cached := binary.NativeEndian.Uint32(b[8:])&rtmCloned != 0
	bits := int(b[1])
	var hops []byte
	problem := probe.NetlinkAttributes(b[rtMessageLen:], func(kind uint16, v []byte) {
		switch kind {
		case rtaDst:
			if ip, ok := netip.AddrFromSlice(v); ok {
				row.Destination = netip.PrefixFrom(ip, bits).String()
			}
		case rtaOif:
			row.Interface = nameOf(names, v)
		case rtaPriority:
			row.Metric = number(v)
		case rtaPrefSrc:
			row.Source = address(v)
		case rtaTable:
			table = uint32(number(v))
		case rtaMultipath:
			hops = v
		case rtaGateway, rtaVia:
			row.Gateway = gatewayOf(kind, v)
		}
	})
	const lastResort = 0xffffffff // the kernel's own, "unreachable" for what has no route
	if problem != nil || cached || !told || table == tableLocal || uint32(row.Metric) == lastResort || multicast(row.Destination) {
		return nil, problem
	}
	if table != tableMain {
		row.Table = int(table)
	}
	if kind != "" {
		row.Interface = "" // lo stands there for IPv6
	}
	return nextHops(row, hops, names)
}

// nextHops reads struct rtnexthop (length, flags, hops, interface) and its attributes,
// several times.
func nextHops(row facts.RouteRow, b []byte, names map[int]string) ([]*facts.RouteRow, error) {
	const hopLen = 8
	if len(b) < hopLen {
		return []*facts.RouteRow{&row}, nil
	}
	var rows []*facts.RouteRow
	for len(b) >= hopLen {
		size := int(binary.NativeEndian.Uint16(b))
		if size < hopLen || size > len(b) {
			return rows, probe.ErrNetlink
		}
		hop := row
		hop.Interface = nameOf(names, b[4:])
		err := probe.NetlinkAttributes(b[hopLen:size], func(kind uint16, v []byte) {
			if kind == rtaGateway || kind == rtaVia {
				hop.Gateway = gatewayOf(kind, v)
			}
		})
		if err != nil {
			return rows, err
		}
		rows = append(rows, &hop)
		b = b[min((size+3)&^3, len(b)):]
	}
	return rows, nil
}

// gatewayOf reads the two forms of a gateway: RTA_VIA has the family before the address.
func gatewayOf(kind uint16, v []byte) string {
	if kind == rtaVia && len(v) > 2 {
		v = v[2:]
	}
	return address(v)
}

func address(b []byte) string {
	ip, ok := netip.AddrFromSlice(b)
	if !ok {
		return ""
	}
	return ip.String()
}

func number(b []byte) int {
	if len(b) < 4 {
		return 0
	}
	return int(binary.NativeEndian.Uint32(b))
}

func multicast(destination string) bool {
	p, err := netip.ParsePrefix(destination)
	return err == nil && p.Addr().Is6() && p.Addr().IsMulticast()
}

// route is one line of a routing table.
type route struct {
	prefix  netip.Prefix
	gateway netip.Addr // not valid: directly connected
	device  string     // "": unreachable or blackhole
	metric  int
}

func (rt route) row(family string) *facts.RouteRow {
	row := &facts.RouteRow{Destination: rt.prefix.String(), Interface: rt.device, Metric: rt.metric, Family: family}
	if rt.prefix.Bits() == 0 {
		row.Destination = "default"
	}
	if rt.gateway.IsValid() {
		row.Gateway = rt.gateway.String()
	}
	return row
}

// connectedRoute is a network that is reached without a gateway.
type connectedRoute struct {
	prefix netip.Prefix
	device string
}

// connectedRoutes comes without an error where there is no table: no address can be placed.
func connectedRoutes(h *probe.Host) ([]connectedRoute, error) {
	var out []connectedRoute
	text, err := readTable(h, "/proc/net/route", formRoute4)
	if probe.Absent(err) {
		err = nil
	}
	for _, rt := range parseRoutes4(text) {
		if !rt.gateway.IsValid() && rt.prefix.Bits() > 0 {
			out = append(out, connectedRoute{rt.prefix, rt.device})
		}
	}
	return out, err
}

// parseRoutes4 reads /proc/net/route, the main table: interface, destination, gateway,
// flags, two counters, metric, mask ... The addresses are words in the byte order of
// the machine that wrote them, printed in hexadecimal.
func parseRoutes4(text string) []route {
	var out []route
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 8 || f[0] == "Iface" {
			continue
		}
		dest, errDest := parseHex4(f[1])
		gateway, errGateway := parseHex4(f[2])
		mask, errMask := parseHex4(f[7])
		flags, errFlags := strconv.ParseUint(f[3], 16, 32)
		if errors.Join(errDest, errGateway, errMask, errFlags) != nil || flags&routeUp == 0 {
			continue
		}
		m := mask.As4()
		ones := bits.LeadingZeros32(^binary.BigEndian.Uint32(m[:]))
		rt := route{prefix: netip.PrefixFrom(dest, ones), device: f[0], metric: atoi(f[6])}
		if !gateway.IsUnspecified() {
			rt.gateway = gateway
		}
		if flags&routeReject != 0 || rt.device == "*" {
			rt.device = ""
		}
		out = append(out, rt)
	}
	return out
}

// parseHex4 reads an IPv4 address as the kernel prints a word of memory. The trees
// below a root are those of little-endian machines, as is every live one we build for.
func parseHex4(s string) (netip.Addr, error) {
	n, err := strconv.ParseUint(s, 16, 32)
	if err != nil {
		return netip.Addr{}, err
	}
	var a [4]byte
	binary.LittleEndian.PutUint32(a[:], uint32(n))
	return netip.AddrFrom4(a), nil
}

func parseHex6(s string) (netip.Addr, error) {
	var a [16]byte
	if len(s) != 32 {
		return netip.Addr{}, hex.ErrLength
	}
	if _, err := hex.Decode(a[:], []byte(s)); err != nil {
		return netip.Addr{}, err
	}
	return netip.AddrFrom16(a), nil
}

// parseRoutes6 reads /proc/net/ipv6_route, which holds all tables: destination and
// source with prefix lengths, next hop, metric, two counters, flags, interface. What
// is not of the main table is left out: local, anycast and multicast entries, cached
// ones, and the kernel's last resort with the highest metric.
func parseRoutes6(text string) []route {
	var out []route
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 10 {
			continue
		}
		dest, errDest := parseHex6(f[0])
		ones, errOnes := strconv.ParseUint(f[1], 16, 8)
		hop, errHop := parseHex6(f[4])
		metric, errMetric := strconv.ParseUint(f[5], 16, 32)
		flags, errFlags := strconv.ParseUint(f[8], 16, 32)
		if errors.Join(errDest, errOnes, errHop, errMetric, errFlags) != nil || ones > 128 {
			continue
		}
		const lastResort = 0xffffffff
		if flags&(routeLocal|routeAnycast|routeCache) != 0 || flags&(routeUp|routeReject) == 0 || dest.IsMulticast() || metric == lastResort {
			continue
		}
		rt := route{prefix: netip.PrefixFrom(dest, int(ones)), device: f[9], metric: int(metric)}
		if !hop.IsUnspecified() {
			rt.gateway = hop
		}
		if flags&routeReject != 0 {
			rt.device = ""
		}
		out = append(out, rt)
	}
	return out
}
