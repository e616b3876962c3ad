// Package network reads the traffic of a Linux host: counters of its interfaces, of
// its sockets and of the protocols above them, as the agent's network namespace sees
// them.
//
// Sources: proc_net(5) for dev, sockstat and snmp; RFC 1213 and Linux
// Documentation/networking/snmp_counter.rst for what the protocol counters mean.
package network

import (
	"bytes"
	"os"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/metric"
)

// New returns the metric probe "network".
func New() probe.Probe {
	var d dev
	return probe.Files("network",
		probe.Source{Path: "/proc/net/dev", Parse: d.parse},
	)
}

// protocolsPeriod lies between two readings of the protocols' counters, which take the
// kernel as long as all that is read at every tick of this package.
const protocolsPeriod = 30 * time.Second

func protocols() probe.Probe {
	return probe.Every(protocolsPeriod, "protocols",
		probe.Source{Path: "/proc/net/sockstat", Optional: true, Parse: parseSockstat},
		probe.Source{Path: "/proc/net/sockstat6", Optional: true, Parse: parseSockstat},
		probe.Source{Path: "/proc/net/snmp", Optional: true, Parse: parseProtocols},
	)
}

// columns are the fields of /proc/net/dev after the name of the interface; nil is
// one that we leave out.
var columns = [...]*metric.Desc{
	&metric.NetworkReceiveBytes, &metric.NetworkReceivePackets, &metric.NetworkReceiveErrors, &metric.NetworkReceiveDrops,
	nil, nil, nil, nil, // fifo, frame, compressed, multicast
	&metric.NetworkTransmitBytes, &metric.NetworkTransmitPackets, &metric.NetworkTransmitErrors, &metric.NetworkTransmitDrops,
}

// dev parses /proc/net/dev.
type dev struct{ names probe.Names }

func (d *dev) parse(r *probe.Report, b []byte) error {
	var bad []byte
	for line, rest := probe.NextLine(b); line != nil; line, rest = probe.NextLine(rest) {
		// An interface may have a colon in its name (an alias), the numbers have none.
		at := bytes.LastIndexByte(line, ':')
		if at < 0 {
			if bytes.IndexByte(line, '|') < 0 { // not one of the two header lines
				bad = line
			}
			continue
		}
		if !d.device(r, bytes.TrimLeft(line[:at], " "), line[at+1:]) {
			bad = line
		}
	}
	return probe.BadLine(bad)
}

func (d *dev) device(r *probe.Report, device, fields []byte) bool {
	if len(device) == 0 {
		return false
	}
	name := d.names.Of(device)
	for _, desc := range columns {
		var field []byte
		field, fields = probe.NextField(fields)
		n, ok := probe.ParseUint(field)
		if !ok {
			return false
		}
		if desc != nil {
			r.Sample(desc, float64(n), name)
		}
	}
	return true
}

// pageBytes is the unit of the "mem" columns of sockstat. Files of another machine
// are read as if it had pages of the same size.
var pageBytes = float64(os.Getpagesize())

// parseSockstat parses lines such as "TCP: inuse 1 orphan 0 tw 0 alloc 1 mem 66".
func parseSockstat(r *probe.Report, b []byte) error {
	var bad []byte
	for line, rest := probe.NextLine(b); line != nil; line, rest = probe.NextLine(rest) {
		protocol, values := probe.NextField(line)
		for {
			var name, value []byte
			if name, values = probe.NextField(values); len(name) == 0 {
				break
			}
			value, values = probe.NextField(values)
			n, ok := probe.ParseUint(value)
			if !ok {
				bad = line
				break
			}
			if desc, unit := sockstatDesc(protocol, name); desc != nil {
				r.Sample(desc, float64(n)*unit)
			}
		}
	}
	return probe.BadLine(bad)
}

func sockstatDesc(protocol, name []byte) (desc *metric.Desc, unit float64) {
	switch string(protocol) {
	case "sockets:":
		if string(name) == "used" {
			return &metric.SocketsUsed, 1
		}
	case "TCP:":
		switch string(name) {
		case "inuse":
			return &metric.TCPInUse, 1
		case "orphan":
			return &metric.TCPOrphan, 1
		case "tw":
			return &metric.TCPTimeWait, 1
		case "alloc":
			return &metric.TCPAlloc, 1
		case "mem":
			return &metric.TCPMem, pageBytes
		}
	case "UDP:":
		switch string(name) {
		case "inuse":
			return &metric.UDPInUse, 1
		case "mem":
			return &metric.UDPMem, pageBytes
		}
	case "TCP6:":
		if string(name) == "inuse" {
			return &metric.TCP6InUse, 1
		}
	case "UDP6:":
		if string(name) == "inuse" {
			return &metric.UDP6InUse, 1
		}
	}
	return nil, 0
}

// protocolFields are the counters that we take from /proc/net/snmp, by the first word
// of their lines. /proc/net/netstat has the same form, but reading it takes the kernel
// as long as all other files of this package together.
var protocolFields = map[string]map[string]*metric.Desc{
	"Tcp:": {
		"ActiveOpens": &metric.TCPActiveOpens, "PassiveOpens": &metric.TCPPassiveOpens,
		"CurrEstab": &metric.TCPEstablished, "InSegs": &metric.TCPInSegments, "OutSegs": &metric.TCPOutSegments,
		"RetransSegs": &metric.TCPRetransmits, "InErrs": &metric.TCPInErrors, "OutRsts": &metric.TCPOutResets,
	},
	"Udp:": {
		"InDatagrams": &metric.UDPInDatagrams, "OutDatagrams": &metric.UDPOutDatagrams,
		"NoPorts": &metric.UDPNoPorts, "InErrors": &metric.UDPInErrors,
		"RcvbufErrors": &metric.UDPReceiveBufferErrors, "SndbufErrors": &metric.UDPSendBufferErrors,
	},
}

// parseProtocols parses pairs of lines: "Tcp: RtoAlgorithm RtoMin ..." gives the
// names, the next line that begins with the same word the values.
func parseProtocols(r *probe.Report, b []byte) error {
	var bad []byte
	for head, rest := probe.NextLine(b); head != nil; head, rest = probe.NextLine(rest) {
		var line []byte
		line, rest = probe.NextLine(rest)
		protocol, names := probe.NextField(head)
		again, values := probe.NextField(line)
		if !bytes.Equal(protocol, again) {
			bad = head
			continue
		}
		fields := protocolFields[string(protocol)]
		if fields != nil && !protocolValues(r, fields, names, values) {
			bad = line
		}
	}
	return probe.BadLine(bad)
}

func protocolValues(r *probe.Report, fields map[string]*metric.Desc, names, values []byte) bool {
	for {
		var name, value []byte
		name, names = probe.NextField(names)
		value, values = probe.NextField(values)
		if len(name) == 0 || len(value) == 0 {
			return len(name) == len(value) // both at their end
		}
		desc := fields[string(name)]
		if desc == nil {
			continue // some of these are negative (MaxConn)
		}
		n, ok := probe.ParseUint(value)
		if !ok {
			return false
		}
		r.Sample(desc, float64(n))
	}
}
