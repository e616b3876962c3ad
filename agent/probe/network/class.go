package network

import (
	"path"
	"strings"

	"atalaya/agent/probe"
)

const classDir = "/sys/class/net"

// attribute is one that is a number, with its family.
type attribute struct{ file, key string }

// classNumbers are the attributes of an interface that tell its state, and
// settingNumbers those that seldom change.
var (
	classNumbers = []attribute{
		{"carrier", "carrier"}, {"carrier_changes", "carrier_changes_total"}, {"mtu", "mtu_bytes"},
	}
	settingNumbers = []attribute{
		{"addr_assign_type", "address_assign_type"}, {"carrier_up_count", "carrier_up_changes_total"},
		{"carrier_down_count", "carrier_down_changes_total"}, {"dev_id", "device_id"}, {"dormant", "dormant"}, {"flags", "flags"},
		{"ifindex", "iface_id"}, {"iflink", "iface_link"}, {"link_mode", "iface_link_mode"}, {"name_assign_type", "name_assign_type"},
		{"netdev_group", "net_dev_group"}, {"type", "protocol_type"}, {"tx_queue_len", "transmit_queue_length"},
	}
)

// eachInterface calls take for each interface, with its folder and state. The virtual
// ones of containers, which come and go, are left out.
func eachInterface(g *probe.Gathering, numbers []attribute, take func(device, dir, state string)) {
	for _, device := range g.Entries(classDir) {
		dir := path.Join(classDir, device)
		state := g.Text(path.Join(dir, "operstate"))
		if state == "" || strings.HasPrefix(device, "veth") { // a file such as bonding_masters
			continue
		}
		for _, n := range numbers {
			g.AddFile(n.key, path.Join(dir, n.file), 1, "device", device)
		}
		take(device, dir, state)
		if g.Done() {
			return
		}
	}
}

func collectClass(g *probe.Gathering) error {
	eachInterface(g, classNumbers, func(device, dir, state string) {
		if v, ok := g.Number(path.Join(dir, "speed")); ok && v > 0 { // Mbit/s; -1 when there is no link
			g.Add("speed_bytes", v*1e6/8, "device", device)
		}
		running := 0.0
		if state == "up" {
			running = 1
		}
		g.Add("up", running, "device", device)
	})
	return nil
}

// up is IFF_UP (netdevice(7)).
const up = 1

func collectSettings(g *probe.Gathering) error {
	eachInterface(g, settingNumbers, func(device, dir, state string) {
		admin := "down"
		if flags, ok := g.Number(path.Join(dir, "flags")); ok && uint64(flags)&up != 0 {
			admin = "up"
		}
		text := func(file string) string { return g.Text(path.Join(dir, file)) }
		g.Add("info", 1, "address", text("address"), "adminstate", admin, "broadcast", text("broadcast"), "device", device,
			"duplex", text("duplex"), "ifalias", text("ifalias"), "operstate", state)
	})
	return nil
}

// collectBonding counts the interfaces below each bond, and those whose link is up.
func collectBonding(g *probe.Gathering) error {
	for master := range strings.FieldsSeq(g.Text(path.Join(classDir, "bonding_masters"))) {
		slaves, active := 0, 0
		for slave := range strings.FieldsSeq(g.Text(path.Join(classDir, master, "bonding/slaves"))) {
			slaves++
			status := g.Text(path.Join(classDir, master, "lower_"+slave, "bonding_slave/mii_status"))
			if status == "" { // before Linux 3.13
				status = g.Text(path.Join(classDir, master, "slave_"+slave, "bonding_slave/mii_status"))
			}
			if status == "up" {
				active++
			}
		}
		g.Add("slaves", float64(slaves), "master", master)
		g.Add("active", float64(active), "master", master)
	}
	return nil
}
