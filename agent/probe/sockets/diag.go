package sockets

import (
	"encoding/binary"
	"net/netip"

	"atalaya/agent/probe"
)

// The kernel's sock_diag interface lists sockets by state. It is used on the live
// machine because /proc/net/tcp walks the table of all connections, which is sized by
// the memory of the machine, line by line: 5 ms of CPU with 24 GB and no connection
// at all, where sock_diag takes 0.3. sock_diag(7), <linux/inet_diag.h>.
const (
	netlinkSockDiag  = 4  // NETLINK_SOCK_DIAG
	tcpDiagGetSock   = 18 // both families in one walk of the table
	sockDiagByFamily = 20
	diagMessageLen   = 72 // struct inet_diag_msg
	familyInet       = 2
	familyInet6      = 10
)

// The sockets that are asked for: those that wait for peers or have one.
const (
	tcpStates = 1<<stateEstablished | 1<<stateListen
	udpStates = 1<<stateEstablished | 1<<stateClosed
)

// tcpRequest asks for the TCP sockets of both families that are in one of these states:
// struct inet_diag_req, whose states follow 4 bytes and struct inet_diag_sockid.
func tcpRequest(states uint32) []byte {
	b := probe.NetlinkRequest(tcpDiagGetSock, 60)
	body := b[probe.NetlinkHeader:]
	body[0] = familyInet // the kernel takes it for any
	binary.NativeEndian.PutUint32(body[52:], states)
	return b
}

// udpRequest asks for the UDP sockets of a family: struct inet_diag_req_v2.
func udpRequest(family byte) []byte {
	const udp = 17
	b := probe.NetlinkRequest(sockDiagByFamily, 56)
	body := b[probe.NetlinkHeader:]
	body[0], body[1] = family, udp
	binary.NativeEndian.PutUint32(body[4:], udpStates)
	return b
}

// inquiry is one question to the kernel.
type inquiry struct {
	protocol string
	request  []byte
}

// peers asks for the sockets that wait for peers or have one.
func peers() []inquiry {
	return []inquiry{{"tcp", tcpRequest(tcpStates)}, {"udp", udpRequest(familyInet)}, {"udp", udpRequest(familyInet6)}}
}

// diagnose visits the sockets of a network namespace, nil for that of the agent, that
// answer to the inquiries. What was visited before an error is to be forgotten.
func diagnose(h *probe.Host, space *namespace, inquiries []inquiry, visit func(*endpoint)) error {
	n, err := openDiag(h, space)
	if err != nil {
		return err
	}
	defer n.Close()
	for _, q := range inquiries {
		if err := n.Ask(probe.NetlinkDump{Request: q.request, Visit: diagVisitor(q.protocol, visit)}); err != nil {
			return err
		}
	}
	return nil
}

// diagVisitor visits the sockets in messages, of protocol "tcp" or "udp". What is visited
// must not be kept.
func diagVisitor(protocol string, visit func(*endpoint)) func(kind uint16, body []byte) error {
	var e endpoint
	return func(kind uint16, body []byte) error {
		if kind != sockDiagByFamily && kind != tcpDiagGetSock {
			return nil
		}
		if !parseDiagMessage(body, protocol, &e) {
			return probe.ErrNetlink
		}
		visit(&e)
		return nil
	}
}

// inet6Names are the protocols over IPv6, as /proc/net calls them.
var inet6Names = map[string]string{"tcp": "tcp6", "udp": "udp6"}

// parseDiagMessage reads struct inet_diag_msg: family, state, timer and retransmits,
// then ports and addresses in network order, interface and cookie; expiry, queues,
// uid and inode end it.
func parseDiagMessage(b []byte, protocol string, e *endpoint) bool {
	if len(b) < diagMessageLen {
		return false
	}
	size := 4
	if b[0] == familyInet6 {
		size, protocol = 16, inet6Names[protocol]
	}
	e.state, e.protocol = b[1], protocol
	e.local, _ = netip.AddrFromSlice(b[8 : 8+size])
	e.remote, _ = netip.AddrFromSlice(b[24 : 24+size])
	e.port, e.remotePort = binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:])
	e.receiving, e.sending = 0, 0
	if e.state != stateListen {
		e.receiving, e.sending = binary.NativeEndian.Uint32(b[56:]), binary.NativeEndian.Uint32(b[60:])
	}
	e.uid, e.inode = int(binary.NativeEndian.Uint32(b[64:])), uint64(binary.NativeEndian.Uint32(b[68:]))
	return true
}
