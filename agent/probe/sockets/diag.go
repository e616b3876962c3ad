package sockets

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// The kernel's sock_diag interface lists sockets by state. It is used on the live
// machine because /proc/net/tcp walks the table of all connections, which is sized by
// the memory of the machine: 5 ms of CPU with 24 GB, with no connection at all. Both
// give the same sockets. sock_diag(7), <linux/inet_diag.h>.
const (
	nlHeaderLen      = 16
	nlError          = 2
	nlDone           = 3
	sockDiagByFamily = 20
	diagMessageLen   = 72 // struct inet_diag_msg
	familyInet6      = 10

	maskListen = 1 << 10 // TCP_LISTEN of <net/tcp_states.h>
	maskClosed = 1 << 7  // TCP_CLOSE: UDP without a peer
)

var errDiag = errors.New("sock_diag answer is cut off or malformed")

// diagRequest asks for the sockets of a family and protocol in the states of a mask:
// struct nlmsghdr and struct inet_diag_req_v2.
func diagRequest(family, protocol byte, states uint32) []byte {
	const requestLen = nlHeaderLen + 56
	const request, dump = 0x1, 0x300 // NLM_F_REQUEST, NLM_F_DUMP
	b := make([]byte, requestLen)
	binary.NativeEndian.PutUint32(b, requestLen)
	binary.NativeEndian.PutUint16(b[4:], sockDiagByFamily)
	binary.NativeEndian.PutUint16(b[6:], request|dump)
	b[16], b[17] = family, protocol
	binary.NativeEndian.PutUint32(b[20:], states)
	return b
}

// parseDiag appends the sockets of one datagram of the answer; done when it was the
// last one.
func parseDiag(list []socket, protocol string, b []byte) (_ []socket, done bool, err error) {
	for len(b) >= nlHeaderLen {
		size := int(binary.NativeEndian.Uint32(b))
		if size < nlHeaderLen || size > len(b) {
			return list, false, errDiag
		}
		switch binary.NativeEndian.Uint16(b[4:]) {
		case nlDone:
			return list, true, nil
		case nlError:
			return list, false, errDiag
		case sockDiagByFamily:
			s, ok := parseDiagMessage(b[nlHeaderLen:size], protocol)
			if !ok {
				return list, false, errDiag
			}
			if len(list) < maxSockets {
				list = append(list, s)
			}
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	if len(b) > 0 {
		return list, false, errDiag
	}
	return list, false, nil
}

// parseDiagMessage reads struct inet_diag_msg: family, state, timer and retransmits,
// then ports and addresses in network order, interface and cookie; expiry, queues,
// uid and inode end it.
func parseDiagMessage(b []byte, protocol string) (socket, bool) {
	if len(b) < diagMessageLen {
		return socket{}, false
	}
	raw := b[8:12]
	if b[0] == familyInet6 {
		raw = b[8:24]
	}
	address, _ := netip.AddrFromSlice(raw)
	return socket{
		protocol: protocol, address: address, port: int(binary.BigEndian.Uint16(b[4:])),
		uid: int(binary.NativeEndian.Uint32(b[64:])), inode: uint64(binary.NativeEndian.Uint32(b[68:])),
	}, true
}
