package volume

import (
	"bytes"
	"net"
	"strconv"
	"strings"

	"atalaya/agent/probe"
)

// The columns of /proc/self/mountstats (linux/nfs_iostat.h, net/sunrpc/xprtsock.c,
// net/sunrpc/stats.c); "" is one that we leave out.
var (
	nfsEvents = strings.Fields("inode_revalidate dnode_revalidate data_invalidate attribute_invalidate vfs_open vfs_lookup vfs_access " +
		"vfs_update_page vfs_read_page vfs_read_pages vfs_write_page vfs_write_pages vfs_getdents vfs_setattr vfs_flush vfs_fsync vfs_lock " +
		"vfs_file_release - truncation write_extension silly_rename short_read short_write jukebox_delay pnfs_read pnfs_write")
	nfsBytes = strings.Fields("read_bytes_total write_bytes_total direct_read_bytes_total direct_write_bytes_total " +
		"total_read_bytes_total total_write_bytes_total read_pages_total write_pages_total")
	transportTCP = strings.Fields("- bind_total connect_total connect_time_seconds_total idle_time_seconds sends_total receives_total " +
		"bad_transaction_ids_total - backlog_queue_total maximum_rpc_slots sending_queue_total pending_queue_total")
	transportUDP = strings.Fields("- bind_total sends_total receives_total bad_transaction_ids_total - backlog_queue_total " +
		"maximum_rpc_slots sending_queue_total pending_queue_total")
	// Times are in milliseconds.
	nfsOperations = strings.Fields("requests_total transmissions_total major_timeouts_total sent_bytes_total received_bytes_total " +
		"queue_time_seconds_total response_time_seconds_total request_time_seconds_total errors_total")
)

// nfsMount is one mount of a remote file system while its lines are read.
type nfsMount struct {
	labels     []string // export, mountaddr, protocol
	export     string
	address    string // the server's
	protocol   string
	age        float64
	transports int
	operations bool // its lines are at the operations
}

// collectMountstats reads each remote mount once: what is mounted twice counts the
// same, and what has another protocol is another client.
func collectMountstats(g *probe.Gathering) error {
	seen := make(map[string]bool)
	for _, block := range bytes.Split(g.Bytes("/proc/self/mountstats"), []byte("\ndevice ")) {
		m, ok := mountHead(block)
		if !ok || seen[m.export+"\x00"+m.address+"\x00"+m.protocol] {
			continue
		}
		seen[m.export+"\x00"+m.address+"\x00"+m.protocol] = true
		m.labels = []string{"export", m.export, "mountaddr", m.address, "protocol", m.protocol}
		g.Add("age_seconds_total", m.age, m.labels...)
		for _, line := range lines(block) {
			m.line(g, strings.TrimSpace(line))
		}
	}
	return nil
}

// mountHead finds what names a mount: "device SERVER:/export mounted on /mnt with
// fstype nfs4 statvers=1.1", its options, and its transport.
func mountHead(block []byte) (m nfsMount, ok bool) {
	head, _, _ := bytes.Cut(block, []byte("\n"))
	export, rest, _ := strings.Cut(strings.TrimPrefix(string(head), "device "), " mounted on ")
	_, kind, _ := strings.Cut(rest, " with fstype ")
	if kind != "nfs" && kind != "nfs4" && !strings.HasPrefix(kind, "nfs ") && !strings.HasPrefix(kind, "nfs4 ") {
		return m, false
	}
	m.export = export
	for _, line := range lines(block) {
		word, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		switch word {
		case "opts":
			m.address = option(value, "mountaddr")
		case "age":
			m.age, _ = probe.ParseNumber(value) // 0 for one just mounted
		case "xprt":
			if m.protocol == "" {
				m.protocol, _, _ = strings.Cut(value, " ")
			}
		}
	}
	if m.address == "" {
		m.address = hostOf(export)
	}
	return m, m.protocol != ""
}

// option returns the value of one of "rw,vers=4.0,addr=10.0.0.1".
func option(options, name string) string {
	for o := range strings.SplitSeq(options, ",") {
		if value, ok := strings.CutPrefix(o, name+"="); ok {
			return value
		}
	}
	return ""
}

// hostOf returns the server of "server:/export" or "[2001:db8::1]:/export".
func hostOf(export string) string {
	if host, _, err := net.SplitHostPort(export); err == nil {
		return host
	}
	host, _, _ := strings.Cut(export, ":")
	return host
}

func (m *nfsMount) line(g *probe.Gathering, line string) {
	word, rest, ok := strings.Cut(line, ":")
	f := strings.Fields(rest)
	switch {
	case line == "per-op statistics":
		m.operations = true
	case !ok:
	case m.operations:
		m.operation(g, word, f)
	case word == "events":
		m.columns(g, f, nfsEvents, "event_", "_total")
	case word == "bytes":
		m.columns(g, f, nfsBytes, "", "")
	case word == "xprt" && len(f) > 1:
		names := transportTCP
		if f[0] == "udp" {
			names = transportUDP
		}
		m.columns(g, f[1:], names, "transport_", "", "transport", strconv.Itoa(m.transports))
		m.transports++
	}
}

func (m *nfsMount) columns(g *probe.Gathering, values, names []string, prefix, suffix string, more ...string) {
	labels := append(m.labels[:len(m.labels):len(m.labels)], more...)
	for i := range min(len(values), len(names)) {
		if v, ok := probe.ParseNumber(values[i]); ok && names[i] != "-" {
			g.Add(prefix+names[i]+suffix, v, labels...)
		}
	}
}

func (m *nfsMount) operation(g *probe.Gathering, name string, values []string) {
	labels := []string{m.labels[0], m.labels[1], m.labels[2], m.labels[3], "operation", name, m.labels[4], m.labels[5]}
	for i := range min(len(values), len(nfsOperations)) {
		v, ok := probe.ParseNumber(values[i])
		if !ok {
			continue
		}
		if strings.Contains(nfsOperations[i], "_time_") {
			v /= 1000
		}
		g.Add("operations_"+nfsOperations[i], v, labels...)
	}
}
