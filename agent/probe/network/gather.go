package network

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"path"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/metric"
)

// Probes returns the metric probes of what is read less often than at every tick.
func Probes() []probe.Probe {
	return []probe.Probe{
		protocols(),
		probe.Gather(probe.Info{Name: "netstat"}, &metric.Netstat, collectNetstat),
		probe.Gather(probe.Info{Name: "sockstat"}, &metric.Sockstat, collectSockstat),
		probe.Gather(probe.Info{Name: "softnet"}, &metric.Softnet, collectSoftnet),
		probe.Gather(probe.Info{Name: "netdev"}, &metric.NetDev, collectDev),
		probe.Gather(probe.Info{Name: "netclass"}, &metric.NetClass, collectClass),
		probe.Gather(probe.Info{Name: "netclass_settings"}, &metric.NetSettings, collectSettings),
		probe.Gather(probe.Info{Name: "bonding"}, &metric.Bonding, collectBonding),
		probe.Gather(probe.Info{Name: "arp"}, &metric.ARP, collectARP),
		probe.Gather(probe.Info{Name: "lnstat"}, &metric.Lnstat, collectLnstat),
		probe.Gather(probe.Info{Name: "conntrack"}, &metric.Conntrack, collectConntrack),
		probe.Gather(probe.Info{Name: "conntrack_stats"}, &metric.ConntrackStats, collectConntrackStats),
		probe.Gather(probe.Info{Name: "xfrm"}, &metric.Xfrm, collectXfrm),
		probe.Gather(probe.Info{Name: "udp_queues"}, &metric.UDPQueues, collectUDPQueues),
		probe.Gather(probe.Info{Name: "ipvs"}, &metric.IPVS, collectIPVS),
	}
}

func lines(b []byte) []string {
	return strings.FieldsFunc(string(b), func(r rune) bool { return r == '\n' || r == '\r' })
}

// netstatFields are the counters that node_exporter's dashboards use, by protocol; a
// star at the end of one stands for any ending. Those that protocols
// reads are not among them.
var netstatFields = map[string]string{
	"Ip": "Forwarding", "Ip6": "InOctets OutOctets", "IpExt": "InOctets OutOctets",
	"Icmp": "InMsgs OutMsgs InErrors", "Icmp6": "InMsgs OutMsgs InErrors",
	"TcpExt":  "Listen* Syncookies* TCPSynRetrans TCPTimeouts TCPOFOQueue TCPRcvQDrop",
	"UdpLite": "InErrors", "UdpLite6": "InErrors", "Udp6": "InDatagrams OutDatagrams NoPorts InErrors RcvbufErrors SndbufErrors",
}

func wanted(protocol, name string) bool {
	for field := range strings.FieldsSeq(netstatFields[protocol]) {
		if stem, any := strings.CutSuffix(field, "*"); field == name || any && strings.HasPrefix(name, stem) {
			return true
		}
	}
	return false
}

// collectNetstat reads the files with pairs of lines, and snmp6, whose lines are a
// name that begins with the protocol, and a number.
func collectNetstat(g *probe.Gathering) error {
	for _, file := range []string{"/proc/net/netstat", "/proc/net/snmp"} {
		head := []string(nil)
		for _, line := range lines(g.Bytes(file)) {
			f := strings.Fields(line)
			if len(f) == 0 {
				continue
			}
			if head == nil || head[0] != f[0] {
				head = f
				continue
			}
			protocol := strings.TrimSuffix(f[0], ":")
			for i := 1; i < min(len(f), len(head)); i++ {
				if v, ok := probe.ParseNumber(f[i]); ok && wanted(protocol, head[i]) {
					g.Add(protocol+"_"+head[i], v)
				}
			}
			head = nil
		}
	}
	for _, line := range lines(g.Bytes("/proc/net/snmp6")) {
		f := strings.Fields(line)
		if len(f) != 2 {
			continue
		}
		at := strings.IndexByte(f[0], '6') + 1
		if v, ok := probe.ParseNumber(f[1]); ok && at > 0 && wanted(f[0][:at], f[0][at:]) {
			g.Add(f[0][:at]+"_"+f[0][at:], v)
		}
	}
	return nil
}

// collectSockstat reports what protocols leaves out.
func collectSockstat(g *probe.Gathering) error {
	for _, file := range []string{"/proc/net/sockstat", "/proc/net/sockstat6"} {
		for _, line := range lines(g.Bytes(file)) {
			protocol, values, ok := strings.Cut(line, ":")
			f := strings.Fields(values)
			for i := 0; ok && i+1 < len(f); i += 2 {
				v, ok := probe.ParseNumber(f[i+1])
				if desc, _ := sockstatDesc([]byte(protocol+":"), []byte(f[i])); ok && (desc == nil || f[i] == "mem") {
					g.Add(protocol+"_"+f[i], v)
				}
			}
		}
	}
	return nil
}

// softnetColumns are the hexadecimal columns of /proc/net/softnet_stat
// (net/core/net-procfs.c); those left out are unused.
var softnetColumns = map[int]string{
	0: "processed_total", 1: "dropped_total", 2: "times_squeezed_total", 8: "cpu_collision_total",
	9: "received_rps_total", 10: "flow_limit_count_total", 11: "backlog_len",
}

func collectSoftnet(g *probe.Gathering) error {
	for row, line := range lines(g.Bytes("/proc/net/softnet_stat")) {
		f := strings.Fields(line)
		if len(f) < 9 { // the oldest kernels have nine
			continue
		}
		cpu := strconv.Itoa(row)
		if len(f) > 12 { // since Linux 5.10: processors that are off have no line
			if n, err := strconv.ParseUint(f[12], 16, 32); err == nil {
				cpu = strconv.FormatUint(n, 10)
			}
		}
		for i, key := range softnetColumns {
			if i < len(f) {
				if v, err := strconv.ParseUint(f[i], 16, 64); err == nil {
					g.Add(key, float64(v), "cpu", cpu)
				}
			}
		}
	}
	return nil
}

// devColumns are the columns of /proc/net/dev that the tick leaves out.
var devColumns = map[int]string{
	4: "receive_fifo_total", 5: "receive_frame_total", 6: "receive_compressed_total", 7: "receive_multicast_total",
	12: "transmit_fifo_total", 13: "transmit_colls_total", 14: "transmit_carrier_total", 15: "transmit_compressed_total",
}

func collectDev(g *probe.Gathering) error {
	for _, line := range lines(g.Bytes("/proc/net/dev")) {
		at := strings.LastIndexByte(line, ':')
		if at < 0 {
			continue
		}
		f := strings.Fields(line[at+1:])
		for i, key := range devColumns {
			if i < len(f) {
				if v, ok := probe.ParseNumber(f[i]); ok {
					g.Add(key, v, "device", strings.TrimSpace(line[:at]))
				}
			}
		}
	}
	for _, device := range g.Entries(classDir) { // what no protocol took has no column in the table
		g.AddFile("receive_nohandler_total", path.Join(classDir, device, "statistics/rx_nohandler"), 1, "device", device)
	}
	return nil
}

// collectARP counts the neighbours of each device.
func collectARP(g *probe.Gathering) error {
	counts := make(map[string]int)
	for _, line := range lines(g.Bytes("/proc/net/arp")) {
		if f := strings.Fields(line); len(f) == 6 && f[0] != "IP" {
			counts[f[5]]++
		}
	}
	for device, n := range counts {
		g.Add("entries", float64(n), "device", device)
	}
	return nil
}

// collectLnstat reads the hexadecimal tables of /proc/net/stat: a line of titles, and
// one for each processor.
func collectLnstat(g *probe.Gathering) error {
	const dir = "/proc/net/stat"
	for _, subsystem := range g.Entries(dir) {
		table(g.Bytes(path.Join(dir, subsystem)), func(row int, title string, v float64) {
			g.Add(title+"_total", v, "cpu", strconv.Itoa(row), "subsystem", subsystem)
		})
	}
	return nil
}

func table(b []byte, take func(row int, title string, v float64)) {
	all := lines(b)
	if len(all) == 0 {
		return
	}
	titles := strings.Fields(all[0])
	for row, line := range all[1:] {
		for i, field := range strings.Fields(line) {
			if v, err := strconv.ParseUint(field, 16, 64); err == nil && i < len(titles) {
				take(row, titles[i], float64(v))
			}
		}
	}
}

// conntrackSums are the counters that make sense summed over the processors.
const conntrackSums = " found invalid ignore insert insert_failed drop early_drop search_restart "

func collectConntrack(g *probe.Gathering) error {
	const dir = "/proc/sys/net/netfilter/nf_conntrack_"
	g.AddFile("entries", dir+"count", 1)
	g.AddFile("entries_limit", dir+"max", 1)
	return nil
}

func collectConntrackStats(g *probe.Gathering) error {
	sums := make(map[string]float64)
	table(g.Bytes("/proc/net/stat/nf_conntrack"), func(_ int, title string, v float64) {
		if strings.Contains(conntrackSums, " "+title+" ") {
			sums[title] += v
		}
	})
	for title, v := range sums {
		g.Add("stat_"+title, v)
	}
	return nil
}

// collectXfrm reads lines such as "XfrmInNoStates 3" (Documentation/networking/xfrm_proc.rst).
func collectXfrm(g *probe.Gathering) error {
	for _, line := range lines(g.Bytes("/proc/net/xfrm_stat")) {
		f := strings.Fields(line)
		if len(f) != 2 || !strings.HasPrefix(f[0], "Xfrm") {
			continue
		}
		if v, ok := probe.ParseNumber(f[1]); ok {
			g.Add(snake(f[0][len("Xfrm"):])+"_packets_total", v)
		}
	}
	return nil
}

// snake turns InNoStates into in_no_states.
func snake(s string) string {
	var b strings.Builder
	for i, r := range s {
		if 'A' <= r && r <= 'Z' {
			if i > 0 {
				b.WriteByte('_')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// collectUDPQueues sums the bytes that wait in the queues of all UDP sockets.
func collectUDPQueues(g *probe.Gathering) error {
	for file, version := range map[string]string{"/proc/net/udp": "v4", "/proc/net/udp6": "v6"} {
		b := g.Bytes(file)
		if b == nil {
			continue
		}
		var tx, rx uint64
		for line := range bytes.Lines(b) {
			f := bytes.Fields(line)
			if len(f) < 5 || len(f[4]) != 17 { // "00000015:00000000"
				continue
			}
			t, errT := strconv.ParseUint(string(f[4][:8]), 16, 64)
			r, errR := strconv.ParseUint(string(f[4][9:]), 16, 64)
			if errT == nil && errR == nil {
				tx, rx = tx+t, rx+r
			}
		}
		g.Add("queues", float64(tx), "ip", version, "queue", "tx")
		g.Add("queues", float64(rx), "ip", version, "queue", "rx")
	}
	return nil
}

// collectIPVS reads the virtual servers of the kernel's load balancer and their
// back ends; all numbers of ip_vs_stats, and addresses and ports, are hexadecimal.
func collectIPVS(g *probe.Gathering) error {
	if all := lines(g.Bytes("/proc/net/ip_vs_stats")); len(all) > 2 {
		keys := [...]string{"connections_total", "incoming_packets_total", "outgoing_packets_total", "incoming_bytes_total", "outgoing_bytes_total"}
		for i, field := range strings.Fields(all[2]) {
			if v, err := strconv.ParseUint(field, 16, 64); err == nil && i < len(keys) {
				g.Add(keys[i], float64(v))
			}
		}
	}
	var protocol, address, port, mark string
	for _, line := range lines(g.Bytes("/proc/net/ip_vs")) {
		f := strings.Fields(line)
		switch {
		case len(f) < 2 || f[0] == "IP" || f[0] == "Prot" || strings.HasPrefix(f[1], "RemoteAddress"):
		case f[0] == "FWM":
			protocol, address, port, mark = f[0], "", "0", f[1]
		case f[0] == "->" && len(f) == 6:
			remote, remotePort := endpoint(f[1])
			labels := []string{"local_address", address, "local_mark", mark, "local_port", port, "proto", protocol,
				"remote_address", remote, "remote_port", remotePort}
			for i, key := range []string{"backend_weight", "backend_connections_active", "backend_connections_inactive"} {
				if v, ok := probe.ParseNumber(f[3+i]); ok {
					g.Add(key, v, labels...)
				}
			}
		default:
			protocol, mark = f[0], ""
			address, port = endpoint(f[1])
		}
	}
	return nil
}

// endpoint reads "C0A80016:0CEA" or "[2001:db8::1]:0CEA".
func endpoint(s string) (address, port string) {
	at := strings.LastIndexByte(s, ':')
	if at < 0 {
		return "", ""
	}
	if n, err := strconv.ParseUint(s[at+1:], 16, 16); err == nil {
		port = strconv.FormatUint(n, 10)
	}
	if b, err := hex.DecodeString(s[:at]); err == nil && len(b) == 4 {
		return netip.AddrFrom4([4]byte(b)).String(), port
	}
	return strings.Trim(s[:at], "[]"), port
}
