package firewall

import (
	"encoding/binary"
	"errors"
	"strings"
)

// Messages and attributes of <linux/netfilter/nfnetlink.h> and nf_tables.h.
const (
	nlHeaderLen = 16
	nlError     = 2
	nlDone      = 3
	nfHeaderLen = 4       // struct nfgenmsg: family, version, id
	subsystem   = 10 << 8 // NFNL_SUBSYS_NFTABLES

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

var errNetlink = errors.New("netlink answer is cut off or malformed")

// request asks for all objects of a kind.
func request(kind uint16) []byte {
	const request, dump = 0x1, 0x300 // NLM_F_REQUEST, NLM_F_DUMP
	b := make([]byte, nlHeaderLen+nfHeaderLen)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], subsystem|kind)
	binary.NativeEndian.PutUint16(b[6:], request|dump)
	return b
}

// families are the values of nfgen_family that nftables has.
var families = map[byte]string{1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}

// hooks are the places of a family of IP; the others have other ones.
var hooks = []string{"prerouting", "input", "forward", "output", "postrouting", "ingress"}

// take reads one datagram of an answer; done when it was the last.
func (rs *ruleset) take(b []byte) (done bool, err error) {
	for len(b) >= nlHeaderLen {
		size := int(binary.NativeEndian.Uint32(b))
		if size < nlHeaderLen || size > len(b) {
			return false, errNetlink
		}
		switch kind := binary.NativeEndian.Uint16(b[4:]); kind {
		case nlDone:
			return true, nil
		case nlError:
			return true, errorOf(b[nlHeaderLen:size])
		default:
			if kind&0xff00 == subsystem {
				if err := rs.object(kind&0xff, b[nlHeaderLen:size]); err != nil {
					return false, err
				}
			}
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	if len(b) > 0 {
		return false, errNetlink
	}
	return false, nil
}

func (rs *ruleset) object(kind uint16, b []byte) error {
	if len(b) < nfHeaderLen {
		return errNetlink
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
	for len(b) >= 4 {
		size, kind := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])&0x3fff // without NLA_F_NESTED
		if size < 4 || size > len(b) {
			return errNetlink
		}
		values[kind] = b[4:size]
		b = b[min((size+3)&^3, len(b)):]
	}
	return nil
}

func text(b []byte) string {
	return strings.ToValidUTF8(strings.TrimRight(string(b), "\x00"), "\uFFFD")
}
