package sockets

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strconv"
)

// parseTable visits the sockets of /proc/net/tcp and its like (proc_net(5)). The
// columns are number, local and remote address, state, queues, timer, retransmits,
// uid, timeout, inode. Malformed lines are skipped. What is visited must not be kept.
func parseTable(protocol string, b []byte, visit func(*endpoint)) {
	var columns [10][]byte
	var e endpoint
	for len(b) > 0 {
		var line []byte
		line, b = cutLine(b)
		if !fields(line, columns[:]) || len(columns[3]) != 2 {
			continue
		}
		state, errState := strconv.ParseUint(string(columns[3]), 16, 8)
		local, port, ok := parseEndpoint(columns[1])
		remote, remotePort, okRemote := parseEndpoint(columns[2])
		uid, errUID := strconv.ParseUint(string(columns[7]), 10, 32)
		inode, errInode := strconv.ParseUint(string(columns[9]), 10, 64)
		var sending, receiving uint32
		if state != stateListen {
			sending, receiving = parseQueues(columns[4])
		}
		if !ok || !okRemote || errState != nil || errUID != nil || errInode != nil {
			continue
		}
		e = endpoint{byte(state), protocol, local, remote, port, remotePort, int(uid), inode, receiving, sending}
		visit(&e)
	}
}

// parseQueues reads "00000000:00000010", the bytes to be sent and to be read; 0 is also
// what cannot be understood.
func parseQueues(b []byte) (sending, receiving uint32) {
	left, right, _ := bytes.Cut(b, []byte(":"))
	tx, _ := strconv.ParseUint(string(left), 16, 32)
	rx, _ := strconv.ParseUint(string(right), 16, 32)
	return uint32(tx), uint32(rx)
}

func cutLine(b []byte) (line, rest []byte) {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return b[:i], b[i+1:]
	}
	return b, nil
}

// fields splits off the first len(out) fields of a line; false when there are fewer.
func fields(line []byte, out [][]byte) bool {
	for i := range out {
		line = bytes.TrimLeft(line, " ")
		end := bytes.IndexByte(line, ' ')
		if end < 0 {
			end = len(line)
		}
		if end == 0 {
			return false
		}
		out[i], line = line[:end], line[end:]
	}
	return true
}

// parseEndpoint reads "0100007F:1F90": the address as the kernel prints its words of
// 32 bits from memory in network order, which on little-endian machines turns the
// bytes of each word round; then the port.
func parseEndpoint(b []byte) (netip.Addr, uint16, bool) {
	hex, portHex, ok := bytes.Cut(b, []byte(":"))
	port, err := strconv.ParseUint(string(portHex), 16, 16)
	if !ok || err != nil || len(hex) != 8 && len(hex) != 32 {
		return netip.Addr{}, 0, false
	}
	var raw [16]byte
	for i := 0; i < len(hex)/8; i++ {
		word, err := strconv.ParseUint(string(hex[8*i:8*i+8]), 16, 32)
		if err != nil {
			return netip.Addr{}, 0, false
		}
		binary.LittleEndian.PutUint32(raw[4*i:], uint32(word))
	}
	address, _ := netip.AddrFromSlice(raw[:len(hex)/2])
	return address, uint16(port), true
}
