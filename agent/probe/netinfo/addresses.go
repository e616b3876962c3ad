package netinfo

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// collectAddresses adds a row for each address; names are the interfaces by index.
func collectAddresses(h *probe.Host, r *probe.Report, names map[int]string) error {
	if h.Live() {
		l := addressList(names)
		err := l.read(h)
		for _, row := range l.rows {
			r.Add(facts.Addresses, row)
		}
		return err
	}
	trie, err4 := readTable(h, "/proc/net/fib_trie", formTrie)
	connected, unplaced := connectedRoutes(h)
	if unplaced == nil { // else they would be rows of no interface
		for _, row := range addressesOfTrie(trie, connected) {
			r.Add(facts.Addresses, row)
		}
	} else if err4 == nil {
		err4 = unplaced
	}
	inet6, err6 := readTable(h, "/proc/net/if_inet6", formInet6)
	for _, row := range parseInet6(inet6) {
		r.Add(facts.Addresses, row)
	}
	if probe.Absent(err4) && probe.Absent(err6) {
		return absent(err4, "no addresses in /proc/net")
	}
	var problems error
	for _, err := range []error{err4, err6} {
		if !probe.Absent(err) {
			problems = errors.Join(problems, err)
		}
	}
	return problems
}

func addressList(names map[int]string) list[*facts.AddressRow] {
	return list[*facts.AddressRow]{kind: rtmNewAddr, parse: func(body []byte) ([]*facts.AddressRow, error) {
		return parseAddressMessage(body, names)
	}}
}

// parseAddressMessage reads struct ifaddrmsg and its attributes; none for families
// that are not IP.
func parseAddressMessage(b []byte, names map[int]string) ([]*facts.AddressRow, error) {
	if len(b) < ifaMessageLen {
		return nil, probe.ErrNetlink
	}
	fam, prefix, flags, scope := b[0], int(b[1]), uint32(b[2]), b[3]
	if fam != familyInet && fam != familyInet6 {
		return nil, nil
	}
	row := &facts.AddressRow{Interface: nameOf(names, b[4:]), Prefix: prefix, Scope: scopeName(scope)}
	var peer, local netip.Addr
	err := probe.NetlinkAttributes(b[ifaMessageLen:], func(kind uint16, value []byte) {
		ip, _ := netip.AddrFromSlice(value) // other attributes are no addresses
		switch kind {
		case ifaAddress:
			peer = ip
		case ifaLocal:
			local = ip
		case ifaBroadcast:
			row.Broadcast = ip.String()
		case ifaFlags:
			if len(value) == 4 {
				flags = binary.NativeEndian.Uint32(value)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	if !local.IsValid() { // IPv6 has the one attribute only; point-to-point links have both
		local = peer
	}
	if !local.IsValid() {
		return nil, probe.ErrNetlink
	}
	if peer.IsValid() && peer != local {
		row.Peer = peer.String()
	}
	row.Address, row.Family, row.Dynamic = local.String(), family(local), flags&ifaPermanent == 0
	return []*facts.AddressRow{row}, nil
}

// scopeName names the values of enum rt_scope_t.
func scopeName(scope byte) string {
	switch scope {
	case 0:
		return "global"
	case 200:
		return "site"
	case 253:
		return "link"
	case 254:
		return "host"
	}
	return ""
}

// parseInet6 reads /proc/net/if_inet6: address, interface index, prefix length,
// scope, flags (all hexadecimal) and name.
func parseInet6(text string) []*facts.AddressRow {
	var rows []*facts.AddressRow
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 6 {
			continue
		}
		ip, err := parseHex6(f[0])
		prefix, errPrefix := strconv.ParseUint(f[2], 16, 8)
		scope, errScope := strconv.ParseUint(f[3], 16, 8)
		if err != nil || errPrefix != nil || errScope != nil || prefix > 128 {
			continue
		}
		rows = append(rows, &facts.AddressRow{
			Interface: f[5], Address: ip.String(), Prefix: int(prefix), Family: "inet6", Scope: scopeName6(scope),
		})
	}
	return rows
}

// scopeName6 names the IPV6_ADDR scopes of <net/ipv6.h>.
func scopeName6(scope uint64) string {
	switch scope & 0xf0 {
	case 0x10:
		return "host"
	case 0x20:
		return "link"
	case 0x40:
		return "site"
	}
	return "global"
}

// addressesOfTrie finds the local IPv4 addresses in /proc/net/fib_trie, which lists
// the routing tables as trees: a leaf "|-- 192.0.2.2" and below it "/32 host LOCAL".
// Which interface and network they belong to is taken from the connected routes.
func addressesOfTrie(text string, connected []connectedRoute) []*facts.AddressRow {
	var rows []*facts.AddressRow
	broadcast := make(map[netip.Addr]bool)
	seen := make(map[netip.Addr]bool)
	var leaf netip.Addr
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if a, ok := strings.CutPrefix(line, "|-- "); ok {
			leaf, _ = netip.ParseAddr(a) // malformed: not valid, and skipped below
			continue
		}
		switch {
		case !leaf.Is4():
		case strings.HasPrefix(line, "/32 link BROADCAST"):
			broadcast[leaf] = true
		case strings.HasPrefix(line, "/32 host LOCAL") && !seen[leaf]: // tables may be listed twice
			seen[leaf] = true
			rows = append(rows, placeAddress(leaf, connected))
		}
	}
	for _, row := range rows {
		ip := netip.MustParseAddr(row.Address)
		if b := lastAddress(netip.PrefixFrom(ip, row.Prefix)); broadcast[b] && row.Scope != "host" {
			row.Broadcast = b.String()
		}
	}
	return rows
}

func placeAddress(ip netip.Addr, connected []connectedRoute) *facts.AddressRow {
	row := &facts.AddressRow{Address: ip.String(), Prefix: 32, Family: "inet", Scope: scopeOf(ip)}
	if ip.IsLoopback() { // the routes of lo are not in the main table
		row.Interface, row.Prefix = "lo", 8
		return row
	}
	best := -1
	for _, c := range connected {
		if c.prefix.Contains(ip) && c.prefix.Bits() > best {
			best = c.prefix.Bits()
			row.Interface, row.Prefix = c.device, best
		}
	}
	return row
}

// lastAddress is the address of an IPv4 network with all host bits set.
func lastAddress(p netip.Prefix) netip.Addr {
	a := p.Addr().As4()
	n := binary.BigEndian.Uint32(a[:]) | uint32(uint64(1)<<(32-p.Bits())-1)
	binary.BigEndian.PutUint32(a[:], n)
	return netip.AddrFrom4(a)
}
