// Package netinfo reads how a host is connected: the sections interfaces, addresses,
// routes and neighbours.
//
// On Linux interfaces come from /sys/class/net; addresses, routes and neighbours come
// by netlink from the running kernel (rtnetlink(7)), and below a root from /proc/net,
// which tells less: the main tables only, and of neighbours those of IPv4. Other systems answer through package net, which
// knows no routes. Only the network namespace of the agent is read: where /sys is of
// another one, interfaces come by netlink, too, with what it tells.
package netinfo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// New returns the probe of the sections interfaces, addresses, routes and neighbours.
func New() probe.Probe { return &netProbe{} }

type netProbe struct {
	gateways map[gateway]string // hardware addresses that gateways had
}

// Info implements probe.Probe.
func (*netProbe) Info() probe.Info {
	return probe.Info{
		Name:     "netinfo",
		Sections: []facts.ID{facts.Interfaces, facts.Addresses, facts.Routes, facts.Neighbours},
		Timeout:  5 * time.Second,
		MaxItems: maxRows,
		MaxBytes: 16 << 20,
	}
}

// absentError says that a machine has no such source; it is errors.ErrUnsupported
// without the words of that error.
type absentError string

func (e absentError) Error() string        { return string(e) }
func (e absentError) Is(target error) bool { return target == errors.ErrUnsupported }

// absent turns "no such file" into an error that names what the machine has not.
func absent(err error, what string) error {
	if errors.Is(err, fs.ErrNotExist) {
		return absentError(what)
	}
	return err
}

// Collect implements probe.Probe.
func (p *netProbe) Collect(_ context.Context, h *probe.Host, r *probe.Report) error {
	if err := filesTell(h); err != nil {
		r.Problem(facts.Routes, err)
		r.Problem(facts.Neighbours, err)
		return collectPortable(r)
	}
	names, err := collectInterfaces(h.For(facts.Interfaces), r)
	if err != nil {
		r.Problem(facts.Interfaces, err)
	}
	if err := collectAddresses(h, r, names); err != nil {
		r.Problem(facts.Addresses, err)
	}
	gateways, err := collectRoutes(h, r, names)
	if err != nil {
		r.Problem(facts.Routes, err)
		if !errors.Is(err, errors.ErrUnsupported) {
			r.Problem(facts.Neighbours, fmt.Errorf("which are gateways: %w", err))
		}
	}
	if err := p.collectNeighbours(h, r, names, gateways); err != nil {
		r.Problem(facts.Neighbours, err)
	}
	return nil
}

// collectPortable reads interfaces and addresses through package net.
func collectPortable(r *probe.Report) error {
	list, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range list {
		r.Add(facts.Interfaces, portableRow(i))
		addrs, err := i.Addrs()
		if err != nil {
			r.Problem(facts.Addresses, err)
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				r.Add(facts.Addresses, portableAddress(i.Name, n))
			}
		}
	}
	return nil
}

func portableRow(i net.Interface) *facts.InterfaceRow {
	row := &facts.InterfaceRow{Name: i.Name, Index: i.Index, MTU: i.MTU, MAC: i.HardwareAddr.String(), State: "down"}
	if i.Flags&net.FlagRunning != 0 {
		row.State = "up"
	}
	switch {
	case i.Flags&net.FlagLoopback != 0:
		row.Type = "loopback"
	case i.Flags&net.FlagPointToPoint != 0:
		row.Type = "tunnel"
	case len(i.HardwareAddr) == 6:
		row.Type = "ethernet"
	}
	return row
}

func portableAddress(name string, n *net.IPNet) *facts.AddressRow {
	ip, _ := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	ip = ip.Unmap()
	return &facts.AddressRow{
		Interface: name, Address: ip.String(), Prefix: ones, Family: family(ip), Scope: scopeOf(ip),
	}
}

func family(ip netip.Addr) string {
	if ip.Is4() {
		return "inet"
	}
	return "inet6"
}

// scopeOf is the scope that an address has by its form, where the system does not
// tell the configured one.
func scopeOf(ip netip.Addr) string {
	switch {
	case ip.IsLoopback():
		return "host"
	case ip.Is6() && ip.IsLinkLocalUnicast():
		return "link"
	}
	return "global"
}
