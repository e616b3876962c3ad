package sockets

import (
	"fmt"

	"atalaya/agent/probe"
)

// connection is what `parse` shows of a socket in a table of /proc/net.
type connection struct {
	Protocol string `json:"protocol"`
	State    string `json:"state"`
	Address  string `json:"address"`
	Port     int    `json:"port"`
	Peer     string `json:"peer"`
	PeerPort int    `json:"peer_port"`
	UID      int    `json:"uid"`
	Inode    uint64 `json:"inode"`
}

// stateNames are those of <net/tcp_states.h>.
var stateNames = [...]string{"", "established", "syn-sent", "syn-recv", "fin-wait-1", "fin-wait-2", "time-wait", "closed", "close-wait", "last-ack", "listen", "closing", "new-syn-recv"}

// tableForm is what the tables of sockets in /proc/net look like.
var tableForm = probe.Form{Ended: true, Want: "lines NUMBER: ADDRESS:PORT ADDRESS:PORT STATE ... UID ... INODE",
	Line: `^\s*sl\s|^\s*\d+: [0-9A-F]+:[0-9A-F]{4} `}

// Parsers returns the formats that this package reads.
func Parsers() []probe.Parser {
	var out []probe.Parser
	for _, protocol := range []string{"tcp", "tcp6", "udp", "udp6"} {
		out = append(out, probe.Parser{
			Kind: protocol, Help: "/proc/net/" + protocol + ": sockets",
			Form: tableForm, MaxBytes: maxTable,
			Parse: probe.OfBytes(func(b []byte) ([]connection, error) { return connections(protocol, b), nil }),
		})
	}
	return out
}

func connections(protocol string, b []byte) []connection {
	out := []connection{}
	parseTable(protocol, b, func(e *endpoint) {
		state := fmt.Sprint(e.state)
		if int(e.state) < len(stateNames) {
			state = stateNames[e.state]
		}
		out = append(out, connection{protocol, state, e.local.String(), int(e.port), e.remote.String(), int(e.remotePort), e.uid, e.inode})
	})
	return out
}
