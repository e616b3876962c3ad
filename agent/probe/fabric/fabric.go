// Package fabric reads the counters of a Linux host's InfiniBand and Fibre Channel
// ports, and the links of its PCI devices.
//
// Sources: Linux Documentation/ABI/stable/sysfs-class-infiniband,
// Documentation/ABI/testing/sysfs-class-fc, ABI/testing/sysfs-bus-pci.
package fabric

import (
	"path"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/metric"
)

// Probes returns the metric probes of the family.
func Probes() []probe.Probe {
	return []probe.Probe{
		probe.Gather(probe.Info{Name: "infiniband"}, &metric.InfiniBand, collectInfiniBand),
		probe.Gather(probe.Info{Name: "fibrechannel"}, &metric.FibreChannel, collectFibreChannel),
		probe.Gather(probe.Info{Name: "pcidevice"}, &metric.PCIDevice, collectPCI),
	}
}

// ibCounters are the families of a port's counters, by folder and file. Data counters
// are in units of 4 bytes.
var ibCounters = [...]struct {
	dir, file, key string
	scale          float64
}{
	{"counters", "excessive_buffer_overrun_errors", "excessive_buffer_overrun_errors_total", 1},
	{"counters", "link_downed", "link_downed_total", 1},
	{"counters", "link_error_recovery", "link_error_recovery_total", 1},
	{"counters", "local_link_integrity_errors", "local_link_integrity_errors_total", 1},
	{"counters", "multicast_rcv_packets", "multicast_packets_received_total", 1},
	{"counters", "multicast_xmit_packets", "multicast_packets_transmitted_total", 1},
	{"counters", "port_rcv_constraint_errors", "port_constraint_errors_received_total", 1},
	{"counters", "port_xmit_constraint_errors", "port_constraint_errors_transmitted_total", 1},
	{"counters", "port_rcv_data", "port_data_received_bytes_total", 4},
	{"counters", "port_xmit_data", "port_data_transmitted_bytes_total", 4},
	{"counters", "port_rcv_discards", "port_discards_received_total", 1},
	{"counters", "port_xmit_discards", "port_discards_transmitted_total", 1},
	{"counters", "port_rcv_errors", "port_errors_received_total", 1},
	{"counters", "port_rcv_packets", "port_packets_received_total", 1},
	{"counters", "port_xmit_packets", "port_packets_transmitted_total", 1},
	{"counters", "port_rcv_remote_physical_errors", "port_receive_remote_physical_errors_total", 1},
	{"counters", "port_rcv_switch_relay_errors", "port_receive_switch_relay_errors_total", 1},
	{"counters", "port_xmit_wait", "port_transmit_wait_total", 1},
	{"counters", "symbol_error", "symbol_error_total", 1},
	{"counters", "unicast_rcv_packets", "unicast_packets_received_total", 1},
	{"counters", "unicast_xmit_packets", "unicast_packets_transmitted_total", 1},
	{"counters", "VL15_dropped", "vl15_dropped_total", 1},
	{"counters_ext", "port_multicast_rcv_packets", "legacy_multicast_packets_received_total", 1},
	{"counters_ext", "port_multicast_xmit_packets", "legacy_multicast_packets_transmitted_total", 1},
	{"counters_ext", "port_rcv_data_64", "legacy_data_received_bytes_total", 4},
	{"counters_ext", "port_xmit_data_64", "legacy_data_transmitted_bytes_total", 4},
	{"counters_ext", "port_rcv_packets_64", "legacy_packets_received_total", 1},
	{"counters_ext", "port_xmit_packets_64", "legacy_packets_transmitted_total", 1},
	{"counters_ext", "port_unicast_rcv_packets", "legacy_unicast_packets_received_total", 1},
	{"counters_ext", "port_unicast_xmit_packets", "legacy_unicast_packets_transmitted_total", 1},
}

func collectInfiniBand(g *probe.Gathering) error {
	const class = "/sys/class/infiniband"
	for _, device := range g.Entries(class) {
		dir := path.Join(class, device)
		g.Add("info", 1, "board_id", g.Text(path.Join(dir, "board_id")), "device", device,
			"firmware_version", g.Text(path.Join(dir, "fw_ver")), "hca_type", g.Text(path.Join(dir, "hca_type")))
		for _, port := range g.Entries(path.Join(dir, "ports")) {
			ibPort(g, path.Join(dir, "ports", port), device, port)
		}
	}
	return nil
}

func ibPort(g *probe.Gathering, dir, device, port string) {
	for _, c := range ibCounters { // those of a port without a counting unit say "N/A"
		g.AddFile(c.key, path.Join(dir, c.dir, c.file), c.scale, "device", device, "port", port)
	}
	for file, key := range map[string]string{"state": "state_id", "phys_state": "physical_state_id"} {
		number, _, _ := strings.Cut(g.Text(path.Join(dir, file)), ":") // "4: ACTIVE"
		if v, ok := probe.ParseNumber(number); ok {
			g.Add(key, v, "device", device, "port", port)
		}
	}
	rate, unit, _ := strings.Cut(g.Text(path.Join(dir, "rate")), " ") // "40 Gb/sec (4X QDR)"
	if v, ok := probe.ParseNumber(rate); ok && strings.HasPrefix(unit, "Gb/sec") {
		g.Add("rate_bytes_per_second", v*1e9/8, "device", device, "port", port)
	}
}

// fcCounters are the statistics whose family is not called as the file.
var fcCounters = map[string]string{
	"dumped_frames": "", "error_frames": "", "fcp_packet_aborts": "", "loss_of_signal_count": "loss_of_signal", "loss_of_sync_count": "loss_of_sync",
	"invalid_crc_count": "invalid_crc", "invalid_tx_word_count": "invalid_tx_words", "link_failure_count": "link_failure", "nos_count": "nos",
	"rx_frames": "", "rx_words": "", "seconds_since_last_reset": "", "tx_frames": "", "tx_words": "",
}

// fcUnknown is what a driver says that does not count.
const fcUnknown = "0xffffffffffffffff"

func collectFibreChannel(g *probe.Gathering) error {
	const class = "/sys/class/fc_host"
	for _, host := range g.Entries(class) {
		dir := path.Join(class, host)
		text := func(file string) string { return g.Text(path.Join(dir, file)) }
		hex := func(file string) string { return strings.TrimPrefix(text(file), "0x") }
		g.Add("info", 1, "dev_loss_tmo", text("dev_loss_tmo"), "fabric_name", hex("fabric_name"), "fc_host", host,
			"port_id", hex("port_id"), "port_name", hex("port_name"), "port_state", text("port_state"), "port_type", text("port_type"),
			"speed", text("speed"), "supported_classes", text("supported_classes"), "supported_speeds", text("supported_speeds"),
			"symbolic_name", text("symbolic_name"))
		for file, key := range fcCounters {
			if key == "" {
				key = file
			}
			value := text("statistics/" + file)
			if v, ok := probe.ParseNumber(value); ok && value != fcUnknown {
				g.Add(key+"_total", v, "fc_host", host)
			}
		}
	}
	return nil
}

// pciNumbers are the attributes of a PCI device that are numbers.
var pciNumbers = [...]struct{ file, key string }{
	{"current_link_width", "current_link_width"}, {"max_link_width", "max_link_width"}, {"numa_node", "numa_node"},
	{"d3cold_allowed", "d3cold_allowed"}, {"sriov_drivers_autoprobe", "sriov_drivers_autoprobe"}, {"sriov_numvfs", "sriov_numvfs"},
	{"sriov_offset", "sriov_offset"}, {"sriov_stride", "sriov_stride"}, {"sriov_totalvfs", "sriov_totalvfs"},
	{"sriov_vf_device", "sriov_vf_device"}, {"sriov_vf_total_msix", "sriov_vf_total_msix"},
}

func collectPCI(g *probe.Gathering) error {
	const dir = "/sys/bus/pci/devices"
	for _, name := range g.Entries(dir) {
		segment, bus, device, function, ok := pciAddress(name)
		if !ok {
			continue
		}
		at := path.Join(dir, name)
		labels := []string{"bus", bus, "device", device, "function", function, "segment", segment}
		for _, n := range pciNumbers {
			if v, ok := g.Number(path.Join(at, n.file)); ok && v >= 0 { // -1: it has no node
				g.Add(n.key, v, labels...)
			}
		}
		for _, which := range []string{"current", "max"} {
			speed, _, _ := strings.Cut(g.Text(path.Join(at, which+"_link_speed")), " ") // "8.0 GT/s PCIe"
			if v, ok := probe.ParseNumber(speed); ok {
				g.Add(which+"_link_transfers_per_second", v*1e9, labels...)
			}
		}
		if g.Done() {
			return nil
		}
	}
	return nil
}

// pciAddress splits "0000:00:02.1".
func pciAddress(s string) (segment, bus, device, function string, ok bool) {
	parts := strings.FieldsFunc(s, func(r rune) bool { return r == ':' || r == '.' })
	if len(parts) != 4 {
		return
	}
	for _, p := range parts {
		if _, err := strconv.ParseUint(p, 16, 32); err != nil {
			return
		}
	}
	return parts[0], parts[1], parts[2], parts[3], true
}
