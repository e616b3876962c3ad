package facts

import "strconv"

// ConnectionRow says that a program of this host and a peer are connected, or were in
// the last day. It tells the port of the one that serves: LocalPort when the peer came
// to us, RemotePort when we went to it. How many connections there are is no fact.
type ConnectionRow struct {
	Direction     string `json:"direction" cbor:"1,keyasint"` // in: the peer is the client; out: we are
	Protocol      string `json:"protocol" cbor:"2,keyasint"`  // tcp, udp; of IPv4 and IPv6
	RemoteAddress string `json:"remote_address" cbor:"3,keyasint"`
	RemotePort    int    `json:"remote_port,omitempty" cbor:"4,keyasint,omitempty"` // absent: several that look like ports of clients
	LocalPort     int    `json:"local_port,omitempty" cbor:"5,keyasint,omitempty"`
	Process       string `json:"process,omitempty" cbor:"6,keyasint,omitempty"` // its name; absent when of the kernel or when the rights do not suffice
	Exe           string `json:"exe,omitempty" cbor:"7,keyasint,omitempty"`
	Unit          string `json:"unit,omitempty" cbor:"8,keyasint,omitempty"`       // service of the process, named as in services
	Container     string `json:"container,omitempty" cbor:"9,keyasint,omitempty"`  // as in the section containers
	Namespace     string `json:"namespace,omitempty" cbor:"10,keyasint,omitempty"` // network namespace, see ListeningSocketRow
}

// Key implements Row.
func (r *ConnectionRow) Key() string {
	return key(r.Direction, r.Protocol, r.RemoteAddress, strconv.Itoa(r.RemotePort), strconv.Itoa(r.LocalPort),
		r.Process, r.Unit, r.Container, r.Namespace)
}
