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

// collectRoutes adds the routes of the main tables.
func collectRoutes(h *probe.Host, r *probe.Report) error {
	b4, err4 := h.ReadFile("/proc/net/route")
	for _, rt := range parseRoutes4(string(b4)) {
		r.Add(facts.Routes, rt.row("inet"))
	}
	b6, err6 := h.ReadFile("/proc/net/ipv6_route")
	for _, rt := range parseRoutes6(string(b6)) {
		r.Add(facts.Routes, rt.row("inet6"))
	}
	if err4 != nil {
		return absent(err4, "no routes in /proc/net")
	}
	if err6 = absent(err6, "no IPv6"); errors.Is(err6, errors.ErrUnsupported) {
		return nil // IPv6 is switched off
	}
	return err6
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

func connectedRoutes(h *probe.Host) []connectedRoute {
	var out []connectedRoute
	b, _ := h.ReadFile("/proc/net/route") // without it no address can be placed
	for _, rt := range parseRoutes4(string(b)) {
		if !rt.gateway.IsValid() && rt.prefix.Bits() > 0 {
			out = append(out, connectedRoute{rt.prefix, rt.device})
		}
	}
	return out
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
