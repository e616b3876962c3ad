package facts

import "strconv"

// ConnectionRow says that a program of this host and a peer are connected, or were in
// the last day. It tells the port of the one that serves: LocalPort when the peer came
// to us, RemotePort when we went to it. How many connections there are is no fact.
type ConnectionRow struct {
	Direction     string `json:"direction" cbor:"1,keyasint"` // in: the peer is the client; out: we are
	Protocol      string `json:"protocol" cbor:"2,keyasint"`  // tcp, udp; of IPv4 and IPv6
	RemoteAddress string `json:"remote_address" cbor:"3,keyasint" store:"own"`
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

// CertificateRow is an X.509 certificate in a file, or a bundle of authorities told as a
// whole. Private keys are never read.
type CertificateRow struct {
	Path string `json:"path" cbor:"1,keyasint"`
	// Position is the place in a file with several, from 0; the first is usually that of the server.
	Position  int      `json:"position" cbor:"2,keyasint"`
	Role      string   `json:"role" cbor:"3,keyasint"`                        // found; anchor: an authority that an administrator made this host trust; bundle: all that are trusted
	Subject   string   `json:"subject,omitempty" cbor:"4,keyasint,omitempty"` // RFC 2253; absent with all else when the certificate is malformed
	Issuer    string   `json:"issuer,omitempty" cbor:"5,keyasint,omitempty"`  // RFC 2253
	Serial    string   `json:"serial,omitempty" cbor:"6,keyasint,omitempty"`  // hexadecimal
	SHA256    string   `json:"sha256" cbor:"7,keyasint"`                      // of the certificate; of a bundle: of the sorted fingerprints of what is in it
	NotBefore Time     `json:"not_before,omitempty,omitzero" cbor:"8,keyasint,omitempty"`
	NotAfter  Time     `json:"not_after,omitempty,omitzero" cbor:"9,keyasint,omitempty"`
	KeyType   string   `json:"key_type,omitempty" cbor:"10,keyasint,omitempty"` // rsa, ecdsa, ed25519, dsa
	KeyBits   int      `json:"key_bits,omitempty" cbor:"11,keyasint,omitempty"`
	Signature string   `json:"signature,omitempty" cbor:"12,keyasint,omitempty"` // algorithm: SHA256-RSA ...
	Names     []string `json:"names,omitempty" cbor:"13,keyasint,omitempty"`     // alternative names of the subject: DNS, addresses, mail, URI
	CA        bool     `json:"ca,omitempty" cbor:"14,keyasint,omitempty"`
	// SelfSigned says that subject and issuer are the same, by name and by key.
	SelfSigned bool     `json:"self_signed,omitempty" cbor:"15,keyasint,omitempty"`
	UsedBy     []string `json:"used_by,omitempty" cbor:"16,keyasint,omitempty"` // services whose configuration or command line names the file
	Count      int      `json:"count,omitempty" cbor:"17,keyasint,omitempty"`   // of a bundle: how many are in it
}

// Key implements Row: a renewed certificate is a changed row.
func (r *CertificateRow) Key() string { return key(r.Path, strconv.Itoa(r.Position)) }

// DNSRow is one setting of how names are resolved.
type DNSRow struct {
	Type      string `json:"type" cbor:"1,keyasint"` // nameserver, search, option, sortlist; lookup: the order of sources; manager: who writes the file
	Value     string `json:"value" cbor:"2,keyasint"`
	Source    string `json:"source" cbor:"3,keyasint"`                        // resolv.conf, systemd-resolved, systemd-networkd, nsswitch.conf
	Position  int    `json:"position,omitempty" cbor:"4,keyasint,omitempty"`  // of nameservers and search domains, from 1
	Interface string `json:"interface,omitempty" cbor:"5,keyasint,omitempty"` // the setting is of this interface alone
}

// Key implements Row.
func (r *DNSRow) Key() string { return key(r.Source, r.Type, r.Value, r.Interface) }

// HostsFileRow is a line of hosts(5).
type HostsFileRow struct {
	Address string   `json:"address" cbor:"1,keyasint"`
	Names   []string `json:"names" cbor:"2,keyasint"` // the canonical name first, then aliases
}

// Key implements Row.
func (r *HostsFileRow) Key() string {
	if len(r.Names) == 0 {
		return r.Address
	}
	return key(r.Address, r.Names[0])
}

// NeighbourRow is a machine on the same link that matters: a gateway of a route, or one
// that an administrator entered. Others come and go and are no facts.
type NeighbourRow struct {
	Address   string `json:"address" cbor:"1,keyasint"`
	Interface string `json:"interface" cbor:"2,keyasint"`
	MAC       string `json:"mac" cbor:"3,keyasint" store:"own"`
	Gateway   bool   `json:"gateway,omitempty" cbor:"4,keyasint,omitempty"`
	Permanent bool   `json:"permanent,omitempty" cbor:"5,keyasint,omitempty"` // entered by hand or by a program such as a network overlay
}

// Key implements Row.
func (r *NeighbourRow) Key() string { return key(r.Interface, r.Address) }

// FirewallRow is a packet filter, or a program that manages one.
type FirewallRow struct {
	Name     string   `json:"name" cbor:"1,keyasint"`                         // nftables, iptables, ip6tables (the older interface), ufw, firewalld, saved
	Active   *bool    `json:"active,omitempty" cbor:"2,keyasint,omitempty"`   // rules are loaded, or the program is switched on; absent: not known
	Tables   []string `json:"tables,omitempty" cbor:"3,keyasint,omitempty"`   // of nftables with their family: "inet filter"
	Chains   int      `json:"chains,omitempty" cbor:"4,keyasint,omitempty"`   // without those of programs in Dynamic
	Rules    int      `json:"rules,omitempty" cbor:"5,keyasint,omitempty"`    // without those of programs in Dynamic
	Policies []string `json:"policies,omitempty" cbor:"6,keyasint,omitempty"` // what happens to packets that no rule matches: "inet filter input drop"
	Dynamic  []string `json:"dynamic,omitempty" cbor:"7,keyasint,omitempty"`  // programs that change rules by themselves: docker, kube-proxy, fail2ban ...
	Zone     string   `json:"zone,omitempty" cbor:"8,keyasint,omitempty"`     // firewalld's default zone
	Path     string   `json:"path,omitempty" cbor:"9,keyasint,omitempty"`     // of the configuration
}

// Key implements Row.
func (r *FirewallRow) Key() string { return key(r.Name, r.Path) }

// TimeSyncRow is a program that sets the clock, or the kernel's view of the clock. The
// offset is a metric.
type TimeSyncRow struct {
	Name         string   `json:"name" cbor:"1,keyasint"`                             // chrony, ntp, ntpsec, openntpd, systemd-timesyncd, ptp4l; kernel
	Running      *bool    `json:"running,omitempty" cbor:"2,keyasint,omitempty"`      // of a program; absent: not known
	Servers      []string `json:"servers,omitempty" cbor:"3,keyasint,omitempty"`      // configured servers, pools and clocks
	Synchronised *bool    `json:"synchronised,omitempty" cbor:"4,keyasint,omitempty"` // of the kernel: some program keeps the clock right
	Path         string   `json:"path,omitempty" cbor:"5,keyasint,omitempty"`         // of the configuration
}

// Key implements Row.
func (r *TimeSyncRow) Key() string { return r.Name }
