package sockets

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// The kernel's sock_diag interface lists sockets by state. It is used on the live
// machine because /proc/net/tcp walks the table of all connections, which is sized by
// the memory of the machine, line by line: 5 ms of CPU with 24 GB and no connection
// at all, where sock_diag takes 0.3. sock_diag(7), <linux/inet_diag.h>.
const (
	nlHeaderLen      = 16
	nlError          = 2
	nlDone           = 3
	tcpDiagGetSock   = 18 // both families in one walk of the table
	sockDiagByFamily = 20
	diagMessageLen   = 72 // struct inet_diag_msg
	familyInet       = 2
	familyInet6      = 10
)

var errDiag = errors.New("sock_diag answer is cut off or malformed")

// The sockets that are asked for: those that wait for peers or have one.
const (
	tcpStates = 1<<stateEstablished | 1<<stateListen
	udpStates = 1<<stateEstablished | 1<<stateClosed
)

// tcpRequest asks for the TCP sockets of both families that are in one of these states:
// struct nlmsghdr and struct inet_diag_req, whose states follow 4 bytes and struct
// inet_diag_sockid.
func tcpRequest(states uint32) []byte {
	b := diagHeader(tcpDiagGetSock, nlHeaderLen+60)
	b[nlHeaderLen] = familyInet // the kernel takes it for any
	binary.NativeEndian.PutUint32(b[nlHeaderLen+52:], states)
	return b
}

// udpRequest asks for the UDP sockets of a family: struct nlmsghdr and struct
// inet_diag_req_v2.
func udpRequest(family byte) []byte {
	const udp = 17
	b := diagHeader(sockDiagByFamily, nlHeaderLen+56)
	b[nlHeaderLen], b[nlHeaderLen+1] = family, udp
	binary.NativeEndian.PutUint32(b[nlHeaderLen+4:], udpStates)
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

func diagHeader(kind uint16, size uint32) []byte {
	const request, dump = 0x1, 0x300 // NLM_F_REQUEST, NLM_F_DUMP
	b := make([]byte, size)
	binary.NativeEndian.PutUint32(b, size)
	binary.NativeEndian.PutUint16(b[4:], kind)
	binary.NativeEndian.PutUint16(b[6:], request|dump)
	return b
}

// parseDiag visits the sockets of one datagram of the answer, of protocol "tcp" or
// "udp"; done when it was the last one. What is visited must not be kept.
func parseDiag(protocol string, b []byte, visit func(*endpoint)) (done bool, err error) {
	var e endpoint
	for len(b) >= nlHeaderLen {
		size := int(binary.NativeEndian.Uint32(b))
		if size < nlHeaderLen || size > len(b) {
			return false, errDiag
		}
		switch binary.NativeEndian.Uint16(b[4:]) {
		case nlDone:
			return true, nil
		case nlError:
			return false, errDiag
		case sockDiagByFamily, tcpDiagGetSock:
			if !parseDiagMessage(b[nlHeaderLen:size], protocol, &e) {
				return false, errDiag
			}
			visit(&e)
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	if len(b) > 0 {
		return false, errDiag
	}
	return false, nil
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
