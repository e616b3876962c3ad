// Package firewall reads which packet filters a host has: the section firewall.
//
// The rules of nftables(8), which iptables-nft(8) uses too, come by netlink from the
// running kernel; that takes CAP_NET_ADMIN. Of the older iptables the kernel tells
// which tables are in use. What ufw(8) and firewalld(1) are told to do comes from their
// files, which is all there is below a root.
//
// Rules are counted, not told. Programs that change rules by themselves (Docker,
// kube-proxy, fail2ban) have chains of their own: these are named and not counted, for
// their number is another at each reading.
package firewall

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// New returns the probe of the section firewall.
func New() probe.Probe { return firewallProbe{} }

type firewallProbe struct{}

// Info implements probe.Probe.
func (firewallProbe) Info() probe.Info {
	return probe.Info{
		Name:     "firewall",
		Sections: []facts.ID{facts.Firewall},
		Timeout:  5 * time.Second,
		MaxItems: 100,
		MaxBytes: 8 << 20,
		Watch:    []string{"/etc/ufw/ufw.conf", "/etc/ufw/user.rules", "/etc/firewalld/firewalld.conf", "/etc/firewalld/zones", savedNFTables[0], savedNFTables[1]},
	}
}

// Collect implements probe.Probe.
func (firewallProbe) Collect(_ context.Context, h *probe.Host, r *probe.Report) error {
	if err := h.Holds("/etc"); err != nil {
		return err
	}
	problems := errors.Join(nftables(h, r), legacy(h, r))
	for _, look := range []func(*probe.Host) (*facts.FirewallRow, error){ufw, firewalld} {
		row, err := look(h)
		if row != nil {
			r.Add(facts.Firewall, row)
		}
		problems = errors.Join(problems, present(err))
	}
	for _, name := range []string{"/etc/iptables/rules.v4", "/etc/iptables/rules.v6", "/etc/sysconfig/iptables", "/etc/sysconfig/ip6tables"} {
		b, err := h.ReadFile(name)
		if err == nil {
			row := parseSaved(b)
			row.Path = name
			r.Add(facts.Firewall, row)
		}
		problems = errors.Join(problems, present(err))
	}
	problems = errors.Join(problems, savedRulesets(h, r))
	switch {
	case h.Live():
	case problems == nil && r.Rows(facts.Firewall) == 0:
		return fmt.Errorf("no saved rules, and those in the kernel are not known, as files do not tell them: %w", errors.ErrUnsupported)
	default:
		r.Remark(facts.Firewall, "the rules in the kernel are not known: files do not tell them")
	}
	return problems
}

// present drops the error that something is not there.
func present(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// dynamic are the beginnings of the names of chains and tables that programs fill.
var dynamic = []struct{ prefix, program string }{
	{"KUBE-", "kube-proxy"}, {"kube-proxy", "kube-proxy"}, {"CNI-", "cni"}, {"cali-", "calico"}, {"CILIUM_", "cilium"}, {"FLANNEL-", "flannel"}, {"WEAVE-", "weave"},
	{"DOCKER", "docker"}, {"docker-bridges", "docker"}, {"NETAVARK", "podman"}, {"netavark", "podman"}, {"f2b-", "fail2ban"}, {"LIBVIRT_", "libvirt"}, {"libvirt_network", "libvirt"},
	{"ts-", "tailscale"}, {"sshguard", "sshguard"}, {"crowdsec", "crowdsec"}, {"ISTIO_", "istio"}, {"lxd", "lxd"}, {"incus", "incus"},
}

func programOf(name string) string {
	for _, d := range dynamic {
		if strings.HasPrefix(name, d.prefix) {
			return d.program
		}
	}
	return ""
}

// chain is one of nftables.
type chain struct{ family, table, name, hook, policy string }

// ruleset is what is counted of nftables.
type ruleset struct {
	tables []string
	chains []chain
	rules  map[[3]string]int // by family, table and chain
}

// row counts.
func (rs *ruleset) row() *facts.FirewallRow {
	active := len(rs.tables) > 0
	row := &facts.FirewallRow{Name: "nftables", Active: &active}
	for _, t := range rs.tables {
		_, name, _ := strings.Cut(t, " ")
		if p := programOf(name); p != "" {
			row.Dynamic = append(row.Dynamic, p)
			continue
		}
		row.Tables = append(row.Tables, t)
	}
	for _, c := range rs.chains {
		p := programOf(c.table)
		if p == "" {
			p = programOf(c.name)
		}
		if p != "" {
			row.Dynamic = append(row.Dynamic, p)
			continue
		}
		row.Chains++
		row.Rules += rs.rules[[3]string{c.family, c.table, c.name}]
		if c.policy != "" && (c.hook == "input" || c.hook == "forward" || c.hook == "output") {
			row.Policies = append(row.Policies, strings.Join([]string{c.family, c.table, c.name, c.policy}, " "))
		}
	}
	row.Tables, row.Policies, row.Dynamic = sorted(row.Tables), sorted(row.Policies), sorted(row.Dynamic)
	return row
}

func sorted(list []string) []string {
	slices.Sort(list)
	list = slices.Compact(list)
	return list[:min(len(list), 100)]
}

// nftables reads the rules in the kernel.
func nftables(h *probe.Host, r *probe.Report) error {
	if !h.Live() || !hasNFTables(h) {
		return nil
	}
	rs, err := readRuleset(h)
	if err != nil {
		if present(err) == nil {
			return nil
		}
		if errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("the rules of nftables are told to CAP_NET_ADMIN only, which the agent has where firewall.conf is installed (docs/operations.md): %w", fs.ErrPermission)
		}
		return fmt.Errorf("ask for nftables: %w", err)
	}
	r.Add(facts.Firewall, rs.row())
	return nil
}

// hasNFTables says whether the kernel has nftables at work. To ask a kernel that could
// load it as a module would load it.
func hasNFTables(h *probe.Host) bool {
	if _, err := h.Stat("/sys/module/nf_tables"); err == nil {
		return true
	}
	if _, err := h.Stat("/proc/modules"); err != nil {
		return true // a kernel without modules
	}
	builtin := h.ReadString("/lib/modules/" + h.ReadString("/proc/sys/kernel/osrelease") + "/modules.builtin")
	return strings.Contains(builtin, "/nf_tables.ko")
}

// legacy tells the tables of the older iptables that are in use, which the kernel lists.
func legacy(h *probe.Host, r *probe.Report) error {
	var problems error
	for _, f := range []struct{ name, file string }{{"iptables", "/proc/net/ip_tables_names"}, {"ip6tables", "/proc/net/ip6_tables_names"}} {
		b, err := h.ReadFile(f.file)
		if err != nil {
			problems = errors.Join(problems, present(err))
			continue
		}
		if tables := strings.Fields(string(b)); len(tables) > 0 {
			active := true
			r.Add(facts.Firewall, &facts.FirewallRow{Name: f.name, Active: &active, Tables: sorted(tables)})
			r.Remark(facts.Firewall, "of the older iptables the tables are known, not the rules: the kernel tells these to its own program alone")
		}
	}
	return problems
}

// ufw reads ufw.conf, the policies in /etc/default/ufw and the rules of user.rules, each
// of which has a line "### tuple ###" (ufw-framework(8)).
func ufw(h *probe.Host) (*facts.FirewallRow, error) {
	const file = "/etc/ufw/ufw.conf"
	b, err := h.ReadFile(file)
	if err != nil {
		return nil, err
	}
	active := strings.EqualFold(variable(string(b), "ENABLED"), "yes")
	row := &facts.FirewallRow{Name: "ufw", Active: &active, Path: file}
	defaults := h.ReadString("/etc/default/ufw")
	for _, c := range []string{"input", "forward", "output"} {
		if p := variable(defaults, "DEFAULT_"+strings.ToUpper(c)+"_POLICY"); p != "" {
			row.Policies = append(row.Policies, c+" "+strings.ToLower(p))
		}
	}
	row.Policies = sorted(row.Policies)
	for _, name := range []string{"/etc/ufw/user.rules", "/etc/ufw/user6.rules"} {
		b, err := h.ReadFile(name)
		if err != nil && present(err) != nil {
			return row, err
		}
		row.Rules += strings.Count(string(b), "\n### tuple ###")
	}
	return row, nil
}

// firewalld reads firewalld.conf(5) and counts what the zones that were changed allow.
func firewalld(h *probe.Host) (*facts.FirewallRow, error) {
	const file = "/etc/firewalld/firewalld.conf"
	b, err := h.ReadFile(file)
	if err != nil {
		return nil, err
	}
	row := &facts.FirewallRow{Name: "firewalld", Path: file, Zone: variable(string(b), "DefaultZone")}
	var problems probe.Problems
	entries, err := h.ReadDir("/etc/firewalld/zones")
	problems.Add(err)
	for _, e := range entries[:min(len(entries), 200)] {
		if !strings.HasSuffix(e.Name(), ".xml") {
			continue
		}
		b, err := h.ReadFile(path.Join("/etc/firewalld/zones", e.Name()))
		problems.Add(err)
		for _, tag := range []string{"<service ", "<port ", "<protocol ", "<source-port ", "<forward-port ", "<rule>", "<rule "} {
			row.Rules += strings.Count(string(b), tag)
		}
		row.Tables = append(row.Tables, "zone "+strings.TrimSuffix(e.Name(), ".xml"))
	}
	return row, present(problems.Err())
}

// variable is one of the lines NAME=value of a shell or of firewalld.
func variable(text, name string) string {
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && strings.TrimSpace(k) == name {
			return strings.Trim(strings.TrimSpace(v), `"'`)
		}
	}
	return ""
}

// parseSaved reads what iptables-save(8) writes, from which the rules are loaded at
// boot: "*table", ":CHAIN POLICY", "-A CHAIN ...".
func parseSaved(b []byte) *facts.FirewallRow {
	row := &facts.FirewallRow{Name: "saved"}
	table := ""
	for line := range strings.Lines(strings.ToValidUTF8(string(b), "\uFFFD")) {
		line = strings.TrimSpace(line)
		f := strings.Fields(line)
		switch {
		case len(f) == 0:
		case line[0] == '*':
			table = line[1:]
			row.Tables = append(row.Tables, table)
		case line[0] == ':' && programOf(f[0][1:]) != "", f[0] == "-A" && len(f) > 1 && programOf(f[1]) != "":
			row.Dynamic = append(row.Dynamic, programOf(strings.TrimPrefix(f[min(1, len(f)-1)], ":")), programOf(f[0][1:]))
		case line[0] == ':' && len(f) > 1:
			row.Chains++
			if f[1] != "-" {
				row.Policies = append(row.Policies, strings.ToLower(table+" "+f[0][1:]+" "+f[1]))
			}
		case f[0] == "-A":
			row.Rules++
		}
	}
	row.Tables, row.Policies = sorted(row.Tables), sorted(row.Policies)
	row.Dynamic = slices.DeleteFunc(sorted(row.Dynamic), func(s string) bool { return s == "" })
	return row
}

// Parsers returns the format that this package reads.
func Parsers() []probe.Parser {
	return []probe.Parser{{
		Kind: "iptables-save", MaxBytes: 8 << 20, Help: "rules as iptables-save writes them: tables, policies, number of rules",
		Form: probe.Form{Want: "*TABLE, :CHAIN POLICY, -A CHAIN RULE, COMMIT", Line: `^\s*(\*[a-z]+$|:\S+ |COMMIT|(\[\d+:\d+\] )?-[A-Z] )`, Some: `^\s*\*[a-z]+`},
		Parse: func(in probe.Input) (any, error) {
			row := parseSaved(in.Data)
			row.Path = in.Name
			return []*facts.FirewallRow{row}, nil
		},
	}}
}
