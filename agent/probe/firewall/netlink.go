package firewall

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"atalaya/agent/probe"
)

// Messages and attributes of <linux/netfilter/nfnetlink.h> and nf_tables.h.
const (
	netlinkNetfilter = 12      // NETLINK_NETFILTER
	nfHeaderLen      = 4       // struct nfgenmsg: family, version, id
	subsystem        = 10 << 8 // NFNL_SUBSYS_NFTABLES

	newTable, getTable = 0, 1
	newChain, getChain = 3, 4
	newRule, getRule   = 6, 7

	tableName   = 1 // NFTA_TABLE_NAME
	chainTable  = 1 // NFTA_CHAIN_TABLE
	chainName   = 3
	chainHook   = 4 // nested
	chainPolicy = 5
	hookNumber  = 1 // NFTA_HOOK_HOOKNUM
	ruleTable   = 1 // NFTA_RULE_TABLE
	ruleChain   = 2

	maxRules = 1_000_000
)

// readRuleset asks the kernel for tables, chains and rules.
func readRuleset(h *probe.Host) (*ruleset, error) {
	n, err := h.Netlink(netlinkNetfilter)
	if err != nil {
		return nil, err
	}
	defer n.Close()
	rs := new(ruleset)
	for _, kind := range []uint16{getTable, getChain, getRule} {
		rs.forget(kind)
		err := n.Ask(probe.NetlinkDump{
			Request: probe.NetlinkRequest(subsystem|kind, nfHeaderLen), Begin: func() { rs.forget(kind) }, Visit: rs.visit,
		})
		if err != nil {
			return nil, errorOf(err)
		}
	}
	return rs, nil
}

// errorOf names the errors by which a kernel says that it has no nftables.
func errorOf(err error) error {
	for _, absent := range []syscall.Errno{syscall.EOPNOTSUPP, syscall.EINVAL, syscall.ENOENT, syscall.EAFNOSUPPORT} {
		if errors.Is(err, probe.ErrNetlinkRefused) && errors.Is(err, absent) {
			return fmt.Errorf("nftables: %w", fs.ErrNotExist)
		}
	}
	return err
}

// families are the values of nfgen_family that nftables has.
var families = map[byte]string{1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}

// hooks are the places of a family of IP; the others have other ones.
var hooks = []string{"prerouting", "input", "forward", "output", "postrouting", "ingress"}

// forget drops what the answer to a request has given.
func (rs *ruleset) forget(request uint16) {
	switch request {
	case getTable:
		rs.tables = nil
	case getChain:
		rs.chains = nil
	case getRule:
		rs.rules = make(map[[3]string]int)
	}
}

// visit takes a message of an answer.
func (rs *ruleset) visit(kind uint16, body []byte) error {
	if kind&0xff00 != subsystem {
		return nil
	}
	return rs.object(kind&0xff, body)
}

func (rs *ruleset) object(kind uint16, b []byte) error {
	if len(b) < nfHeaderLen {
		return probe.ErrNetlink
	}
	family := families[b[0]]
	values := make(map[uint16][]byte, 8)
	if err := attributes(b[nfHeaderLen:], values); err != nil {
		return err
	}
	switch kind {
	case newTable:
		rs.tables = append(rs.tables, family+" "+text(values[tableName]))
	case newChain:
		c := chain{family: family, table: text(values[chainTable]), name: text(values[chainName])}
		if hook, ok := values[chainHook]; ok {
			nested := make(map[uint16][]byte, 4)
			if err := attributes(hook, nested); err != nil {
				return err
			}
			if n := nested[hookNumber]; len(n) == 4 && int(binary.BigEndian.Uint32(n)) < len(hooks) {
				c.hook = hooks[binary.BigEndian.Uint32(n)]
			}
		}
		if p := values[chainPolicy]; len(p) == 4 {
			c.policy = map[uint32]string{0: "drop", 1: "accept"}[binary.BigEndian.Uint32(p)]
		}
		rs.chains = append(rs.chains, c)
	case newRule:
		at := [3]string{family, text(values[ruleTable]), text(values[ruleChain])}
		if rs.rules[at] < maxRules {
			rs.rules[at]++
		}
	}
	return nil
}

// attributes notes the values of a message by their kind.
func attributes(b []byte, values map[uint16][]byte) error {
	return probe.NetlinkAttributes(b, func(kind uint16, value []byte) { values[kind] = value })
}

func text(b []byte) string {
	return strings.ToValidUTF8(strings.TrimRight(string(b), "\x00"), "\uFFFD")
}
