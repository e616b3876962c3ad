// Package names reads how a host resolves names: the sections dns and hosts_file.
//
// Everything comes from files: resolv.conf(5), what systemd-resolved(8) keeps in /run
// for those who want the servers behind its stub, the hosts line of nsswitch.conf(5),
// and hosts(5).
package names

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// New returns the probe of the sections dns and hosts_file.
func New() probe.Probe { return namesProbe{} }

type namesProbe struct{}

const (
	resolvConf = "/etc/resolv.conf"
	hostsFile  = "/etc/hosts"
	nsswitch   = "/etc/nsswitch.conf"
	// upstream are the servers behind systemd-resolved's stub.
	upstream = "/run/systemd/resolve/resolv.conf"
	// links has a file for each interface that systemd-networkd manages.
	links = "/run/systemd/netif/links"
)

// Info implements probe.Probe.
func (namesProbe) Info() probe.Info {
	return probe.Info{
		Name:     "names",
		Sections: []facts.ID{facts.DNS, facts.HostsFile},
		Timeout:  5 * time.Second,
		MaxItems: 50_000, // lists that block advertisements have so many lines
		MaxBytes: 8 << 20,
		Watch:    []string{resolvConf, hostsFile, nsswitch, upstream},
	}
}

// Collect implements probe.Probe.
func (namesProbe) Collect(_ context.Context, h *probe.Host, r *probe.Report) error {
	if err := collectDNS(h, r); err != nil {
		r.Problem(facts.DNS, err)
	}
	b, err := h.ReadFile(hostsFile)
	if err != nil {
		r.Problem(facts.HostsFile, absent(hostsFile, err))
		return nil
	}
	rows, err := ParseHosts(b)
	for _, row := range rows {
		r.Add(facts.HostsFile, row)
	}
	if err == nil {
		err = hostsForm.Damage(hostsFile, b)
	}
	if err != nil {
		r.Problem(facts.HostsFile, err)
	}
	return nil
}

func absent(file string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no %s: %w", file, errors.ErrUnsupported)
	}
	return err
}

func collectDNS(h *probe.Host, r *probe.Report) error {
	b, err := h.ReadFile(resolvConf)
	if err == nil {
		for _, row := range ParseResolvConf(b) {
			row.Source = "resolv.conf"
			r.Add(facts.DNS, row)
		}
		if err = probe.Intact(b); err != nil {
			err = fmt.Errorf("%s: %w", resolvConf, err)
		} else {
			err = resolvForm.Damage(resolvConf, b)
		}
		if name := manager(h, string(b)); name != "" {
			r.Add(facts.DNS, &facts.DNSRow{Type: "manager", Value: name, Source: "resolv.conf"})
		}
	}
	target, _ := h.Path(resolvConf)
	var more error
	if behind, errPath := h.Path(upstream); errPath != nil || target != behind {
		b, err := h.ReadFile(upstream)
		if !probe.Absent(err) { // else resolved does not run
			more = errors.Join(more, err, resolvForm.Damage(upstream, b))
			for _, row := range ParseResolvConf(b) {
				row.Source = "systemd-resolved"
				r.Add(facts.DNS, row)
			}
		}
	}
	more = errors.Join(more, addLinks(h, r))
	order, errOrder := h.ReadFile(nsswitch)
	if !probe.Absent(errOrder) {
		more = errors.Join(more, errOrder)
	}
	if line := lookup(string(order)); line != "" {
		r.Add(facts.DNS, &facts.DNSRow{Type: "lookup", Value: line, Source: "nsswitch.conf"})
	}
	if err != nil {
		more = errors.Join(absent(resolvConf, err), more)
	}
	return more
}

// addLinks adds the servers and domains of single interfaces. The files are
// systemd-networkd's own: NAME=value, the names DNS and DOMAINS.
func addLinks(h *probe.Host, r *probe.Report) error {
	var problems probe.Problems
	entries, err := h.ReadDir(links)
	if !probe.Absent(err) {
		problems.Add(err)
	}
	for _, e := range entries {
		b, err := h.ReadFile(path.Join(links, e.Name()))
		if err == nil && len(b) == 0 { // networkd begins it with a comment
			err = fmt.Errorf("%s: %w", path.Join(links, e.Name()), probe.ErrEmpty)
		}
		if !probe.Absent(err) {
			problems.Add(err, probe.Intact(b))
		}
		text := string(b)
		name := interfaceName(h, e.Name())
		var rows []*facts.DNSRow
		for line := range strings.Lines(text) {
			k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch k {
			case "DNS", "DOMAINS":
				kind := map[string]string{"DNS": "nameserver", "DOMAINS": "search"}[k]
				for i, w := range strings.Fields(v) {
					rows = append(rows, &facts.DNSRow{Type: kind, Value: w, Source: "systemd-networkd", Position: i + 1})
				}
			}
		}
		for _, row := range rows {
			row.Interface = name
			r.Add(facts.DNS, row)
		}
	}
	return problems.Err()
}

// interfaceName is the interface of an index; the index itself where it cannot be told.
func interfaceName(h *probe.Host, index string) string {
	entries, err := h.ReadDir("/sys/class/net")
	if err != nil {
		return index
	}
	for _, e := range entries {
		if h.ReadString(path.Join("/sys/class/net", e.Name(), "ifindex")) == index {
			return e.Name()
		}
	}
	return index
}

// manager names the program that writes resolv.conf, by where it leads to or by what it
// says of itself in its comments.
func manager(h *probe.Host, text string) string {
	target, _ := h.Readlink(resolvConf) // most are plain files
	for _, m := range []struct{ part, name string }{
		{"systemd/resolve", "systemd-resolved"}, {"NetworkManager", "NetworkManager"}, {"resolvconf", "resolvconf"}, {"connman", "connman"},
		{"netconfig", "netconfig"},
	} {
		if strings.Contains(target, m.part) {
			return m.name
		}
	}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, ";") {
			continue
		}
		for _, m := range []struct{ part, name string }{
			{"NetworkManager", "NetworkManager"}, {"systemd-resolved", "systemd-resolved"}, {"resolvconf", "resolvconf"}, {"dhclient", "dhclient"},
			{"dhcpcd", "dhcpcd"}, {"netconfig", "netconfig"}, {"cloud-init", "cloud-init"}, {"Docker", "docker"}, {"connman", "connman"},
			{"WSL", "wsl"}, {"tailscale", "tailscale"},
		} {
			if strings.Contains(line, m.part) {
				return m.name
			}
		}
	}
	return ""
}

// lookup is the hosts line of nsswitch.conf(5).
func lookup(text string) string {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "hosts:"); ok {
			return strings.Join(strings.Fields(v), " ")
		}
	}
	return ""
}

// ParseResolvConf reads resolv.conf(5). Of several search lines the last counts; domain
// is a search list of one. Lines that are not understood are skipped, as resolvers do.
func ParseResolvConf(b []byte) []*facts.DNSRow {
	var out, search []*facts.DNSRow
	servers := 0
	for line := range strings.Lines(strings.ToValidUTF8(string(b), "\uFFFD")) {
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "nameserver":
			if !isServer(f[1]) || slices.ContainsFunc(out, func(r *facts.DNSRow) bool { return r.Type == f[0] && r.Value == f[1] }) {
				continue
			}
			servers++
			out = append(out, &facts.DNSRow{Type: "nameserver", Value: f[1], Position: servers})
		case "search", "domain":
			search = search[:0]
			for i, name := range f[1:] {
				search = append(search, &facts.DNSRow{Type: "search", Value: name, Position: i + 1})
			}
		case "options", "sortlist":
			for _, v := range f[1:] {
				out = append(out, &facts.DNSRow{Type: strings.TrimSuffix(f[0], "s"), Value: v})
			}
		}
	}
	return append(out, search...)
}

func isServer(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// ParseHosts reads hosts(5): an address, a name, other names. Lines that are not
// understood are skipped; too many names and NUL bytes are an error beside the rows.
func ParseHosts(b []byte) ([]*facts.HostsFileRow, error) {
	const maxNames = 1000
	var rows []*facts.HostsFileRow
	problem := probe.Intact(b)
	byKey := make(map[string]*facts.HostsFileRow)
	for line := range strings.Lines(strings.ToValidUTF8(string(b), "\uFFFD")) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(strings.ReplaceAll(line, "\x00", " "))
		if len(f) < 2 || !isServer(f[0]) {
			continue
		}
		if len(f) > maxNames {
			f, problem = f[:maxNames], fmt.Errorf("hosts: more than %d names in one line", maxNames)
		}
		row := &facts.HostsFileRow{Address: f[0], Names: f[1:]}
		if first, ok := byKey[row.Key()]; ok { // said twice: one entry with the names of both
			for _, n := range row.Names {
				if !slices.Contains(first.Names, n) && len(first.Names) < maxNames {
					first.Names = append(first.Names, n)
				}
			}
			continue
		}
		byKey[row.Key()] = row
		rows = append(rows, row)
	}
	return rows, problem
}

// What the files look like. By these a damaged one is told from one that says nothing.
var (
	hostsForm = probe.Form{Want: "lines ADDRESS NAME...", Empty: true,
		Line: `^\s*((\d+\.){3}\d+|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(%\S+)?)\s+\S`}
	resolvForm = probe.Form{Want: "lines nameserver ADDRESS, search DOMAIN, options ...", Empty: true, Comment: "#;",
		Line: `^\s*(nameserver|search|domain|options|sortlist|family|lookup|trust-ad|port)\s`}
)

// Parsers returns the formats that this package reads.
func Parsers() []probe.Parser {
	return []probe.Parser{
		{Kind: "hosts", Help: "/etc/hosts: addresses and names", Parse: probe.OfBytes(ParseHosts), Form: hostsForm},
		{Kind: "resolv-conf", Help: "/etc/resolv.conf: nameservers, search domains, options", Parse: probe.OfBytes(func(b []byte) ([]*facts.DNSRow, error) {
			rows := ParseResolvConf(b)
			for _, r := range rows {
				r.Source = "resolv.conf"
			}
			return rows, nil
		}), Form: resolvForm},
	}
}
