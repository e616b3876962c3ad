package netinfo

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

const netFolder = "/sys/class/net"

// vlanConfig lists the VLANs: name | number | interface below.
const vlanConfig = "/proc/net/vlan/config"

// collectInterfaces adds a row for each interface and returns their names by index.
func collectInterfaces(h *probe.Host, r *probe.Report) (map[int]string, error) {
	rows, err := sysInterfaces(h, r)
	if h.Live() {
		if own, ok := ownInterfaces(h, rows); ok {
			rows, err = own, nil
			r.Remark(facts.Interfaces, "kinds, speeds and drivers are not known: /sys is of another network namespace")
		}
	}
	names := make(map[int]string, len(rows))
	for _, row := range rows {
		names[row.Index] = row.Name
		r.Add(facts.Interfaces, row)
	}
	return names, err
}

// sysInterfaces reads /sys/class/net.
func sysInterfaces(h *probe.Host, r *probe.Report) ([]*facts.InterfaceRow, error) {
	entries, err := h.ReadDir(netFolder)
	if err != nil {
		return nil, absent(err, "no /sys/class/net on this machine")
	}
	var rows []*facts.InterfaceRow
	vlans := parseVLANs(h.ReadString(vlanConfig)) // without the module there are none
	for _, e := range entries {
		i := iface{host: h, name: e.Name(), dir: path.Join(netFolder, e.Name())}
		index := atoi(i.text("ifindex"))
		if index <= 0 { // bonding_masters is a file there; or the interface vanished
			if _, err := h.Stat(i.dir + "/ifindex"); errors.Is(err, fs.ErrPermission) {
				r.Problem(facts.Interfaces, err)
			}
			continue
		}
		row := i.row(index)
		row.VLAN = vlans[i.name]
		rows = append(rows, row)
	}
	if len(entries) > 0 && len(rows) == 0 {
		return nil, fmt.Errorf("%s names %d interfaces, none of which tells its number", netFolder, len(entries))
	}
	return rows, nil
}

// ownInterfaces asks the kernel for the interfaces of the network namespace that the agent
// is in, and returns them where they are not those of rows: a container that shares /sys
// with its host, or none, sees those of the namespace in which /sys was mounted. One that
// came or went meanwhile is no sign of that.
func ownInterfaces(h *probe.Host, rows []*facts.InterfaceRow) (own []*facts.InterfaceRow, ok bool) {
	list, err := net.Interfaces()
	if err != nil || len(list) == 0 || !foreign(rows, list, func(name string) bool {
		_, err := h.Stat(path.Join(netFolder, name))
		return err == nil
	}) {
		return nil, false
	}
	for _, i := range list {
		own = append(own, portableRow(i))
	}
	return own, true
}

// foreign reports whether rows, read before list, are of another network namespace: one is
// still there that list lacks or has by another address, or there is none for one of list.
func foreign(rows []*facts.InterfaceRow, list []net.Interface, still func(name string) bool) bool {
	for _, row := range rows {
		i := slices.IndexFunc(list, func(i net.Interface) bool { return i.Index == row.Index && i.Name == row.Name })
		if i < 0 && still(row.Name) || i >= 0 && row.MAC != "" && len(list[i].HardwareAddr) == 6 && list[i].HardwareAddr.String() != row.MAC {
			return true
		}
	}
	return slices.ContainsFunc(list, func(i net.Interface) bool { return !still(i.Name) })
}

// atoi gives 0 for what is no number.
func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}

// iface is one folder of /sys/class/net (Documentation/ABI/testing/sysfs-class-net).
type iface struct {
	host *probe.Host
	name string
	dir  string
}

func (i iface) text(file string) string { return i.host.ReadString(i.dir + "/" + file) }

func (i iface) has(file string) bool {
	_, err := i.host.Stat(i.dir + "/" + file)
	return err == nil
}

// link is the last part of where a link leads; "" when there is none.
func (i iface) link(file string) string {
	target, err := i.host.Readlink(i.dir + "/" + file)
	if err != nil {
		return ""
	}
	return path.Base(target)
}

func (i iface) row(index int) *facts.InterfaceRow {
	row := &facts.InterfaceRow{
		Name: i.name, Index: index, MTU: atoi(i.text("mtu")), State: i.text("operstate"), Type: i.kind(index),
		Duplex: i.text("duplex"), Driver: i.link("device/driver"), Master: i.link("master"),
	}
	if n := atoi(i.text("addr_len")); n == 6 || n == 20 { // 20: InfiniBand; tunnels have the 4 of their peer
		row.MAC = i.text("address")
	}
	if row.Duplex == "unknown" {
		row.Duplex = ""
	}
	if mbit := atoi(i.text("speed")); mbit > 0 && mbit < 1e9 { // -1, or its unsigned form: not known
		row.SpeedBits = int64(mbit) * 1e6
	}
	row.PermanentMAC = i.text("bonding_slave/perm_hwaddr")
	const permanent = "0" // NET_ADDR_PERM: the address in use is the one of the hardware
	if row.PermanentMAC == "" && i.text("addr_assign_type") == permanent && i.has("device") {
		row.PermanentMAC = row.MAC
	}
	row.Alias = i.text("ifalias")
	switch row.Type {
	case "bond":
		row.BondMode, _, _ = strings.Cut(i.text("bonding/mode"), " ") // "802.3ad 4"
	case "bridge": // its ports have it as their master
	default:
		row.Parent = i.below()
	}
	if i.has("device") {
		row.Bus = i.bus()
		if i.host.Live() {
			row.Firmware = told(firmware(i.name))
		}
	}
	return row
}

// below lists the interfaces that this one stands on.
func (i iface) below() string {
	entries, err := i.host.ReadDir(i.dir)
	if err != nil {
		return ""
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutPrefix(e.Name(), "lower_"); ok {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// bus is the address on the bus: of virtio cards that of the PCI device that they are.
func (i iface) bus() string {
	target, err := i.host.Readlink(i.dir + "/device")
	if err != nil {
		return ""
	}
	name := path.Base(target)
	if !strings.HasPrefix(name, "virtio") {
		return name
	}
	target, err = i.host.Readlink("/sys/bus/virtio/devices/" + name)
	if err != nil {
		return name
	}
	return path.Base(path.Dir(target))
}

// told drops what drivers say when they have nothing to say.
func told(s string) string {
	if s = strings.TrimSpace(s); s == "N/A" || s == "0" {
		return ""
	}
	return s
}

// parseVLANs reads /proc/net/vlan/config after its two lines of headings.
func parseVLANs(text string) map[string]int {
	vlans := make(map[string]int)
	for line := range strings.Lines(text) {
		f := strings.Split(line, "|")
		if len(f) != 3 {
			continue
		}
		if n := atoi(strings.TrimSpace(f[1])); n > 0 {
			vlans[strings.TrimSpace(f[0])] = n
		}
	}
	return vlans
}

// hardwareTypes are the ARPHRD numbers of <linux/if_arp.h> except for Ethernet.
var hardwareTypes = map[int]string{
	772: "loopback", 32: "infiniband", 512: "ppp", 768: "tunnel", 769: "tunnel", 776: "tunnel", 778: "tunnel",
	823: "tunnel", 280: "can", 24: "firewire", 801: "wireless", 802: "wireless", 803: "wireless", 804: "ieee802154",
	519: "rawip", 65534: "tunnel",
}

// deviceTypes are the words of DEVTYPE in uevent; others are taken as they are.
var deviceTypes = map[string]string{"wlan": "wireless", "wwan": "wwan", "gre": "tunnel", "geneve": "tunnel", "vxlan": "vxlan"}

// kind names what an interface is. Drivers say it in uevent; veth and other virtual
// ones do not, but have no device below them.
func (i iface) kind(index int) string {
	arphrd := atoi(i.text("type"))
	if devtype := uevent(i.text("uevent"), "DEVTYPE"); devtype != "" && arphrd != 772 {
		if t, ok := deviceTypes[devtype]; ok {
			return t
		}
		return devtype
	}
	const ether = 1
	if arphrd != ether {
		return hardwareTypes[arphrd]
	}
	for _, c := range []struct{ file, kind string }{
		{"bridge", "bridge"}, {"bonding", "bond"}, {"wireless", "wireless"}, {"phy80211", "wireless"}, {"tun_flags", "tap"},
		{"device", "ethernet"},
	} {
		if i.has(c.file) {
			return c.kind
		}
	}
	if link := atoi(i.text("iflink")); link == 0 || link == index {
		return "virtual"
	}
	return i.stacked()
}

// stacked names what leads elsewhere: a veth to its peer, the others to the interface below
// them. Of those that have its address an ipvlan is not told from a macvlan in passthru mode.
func (i iface) stacked() string {
	below := i.below()
	switch {
	case i.has("macvtap"):
		return "macvtap"
	case below == "":
		return "veth"
	case i.text("address") != i.host.ReadString(path.Join(path.Dir(i.dir), below, "address")):
		return "macvlan"
	}
	return "virtual"
}

// uevent returns one value of the lines NAME=value.
func uevent(text, name string) string {
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && k == name {
			return v
		}
	}
	return ""
}
