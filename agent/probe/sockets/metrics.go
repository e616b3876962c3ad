package sockets

import (
	"atalaya/agent/probe"
	"atalaya/shared/metric"
)

// Probes returns the metric probe "tcpstat": how many TCP sockets of the agent's network
// namespace are in which state.
func Probes() []probe.Probe {
	return []probe.Probe{probe.Gather(probe.Info{Name: "tcpstat", MaxBytes: maxTable}, &metric.TCPStates, collectStates)}
}

// maxTable bounds what is read of /proc/net/tcp: 200,000 lines.
const maxTable = 32 << 20

// tcpStateNames are the states of <net/tcp_states.h>, as node_exporter calls them.
var tcpStateNames = [...]string{
	stateEstablished: "established", 2: "syn_sent", 3: "syn_recv", 4: "fin_wait1", 5: "fin_wait2", 6: "time_wait",
	stateClosed: "close", 8: "close_wait", 9: "last_ack", stateListen: "listen", 11: "closing",
}

// newSynRecv is the state of half-open connections since Linux 4.4, where the kernel
// tells it at all; they are counted with syn_recv.
const newSynRecv = 12

// stateCounts are the sockets by state, and what waits in their queues.
type stateCounts struct {
	sockets            [len(tcpStateNames)]int
	receiving, sending uint64
}

func (c *stateCounts) take(e *endpoint) {
	state := int(e.state)
	if state == newSynRecv {
		state = 3
	}
	if state < len(c.sockets) {
		c.sockets[state]++
	}
	c.receiving += uint64(e.receiving)
	c.sending += uint64(e.sending)
}

func collectStates(g *probe.Gathering) error {
	if err := filesTell(g.Host); err != nil {
		return err
	}
	var c stateCounts
	if diagnose(g.Host, nil, []inquiry{{"tcp", tcpRequest(^uint32(0))}}, c.take) != nil {
		c = stateCounts{}
		files := 0
		for _, protocol := range []string{"tcp", "tcp6"} {
			name := "/proc/net/" + protocol
			if b := g.Bytes(name); len(b) > 0 {
				if err := tableForm.Damage(name, b); err != nil {
					return err // nothing is added: how many there are is not known
				}
				parseTable(protocol, b, c.take)
				files++
			}
		}
		if files == 0 {
			return nil // nothing is added: it is not known
		}
	}
	for state, name := range tcpStateNames {
		if name != "" {
			g.Add("connection_states", float64(c.sockets[state]), "state", name)
		}
	}
	g.Add("connection_states", float64(c.receiving), "state", "rx_queued_bytes")
	g.Add("connection_states", float64(c.sending), "state", "tx_queued_bytes")
	return nil
}
