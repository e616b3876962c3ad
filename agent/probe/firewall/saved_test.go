package firewall

import (
	"fmt"
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

const savedScript = `#!/usr/sbin/nft -f
flush ruleset
define ports = { 22, 80,
	443 }
table inet filter { # the only one of ours
	set blocked {
		type ipv4_addr; flags interval
		elements = { 192.0.2.1,
			192.0.2.2 }
	}
	chain input {
		type filter hook input priority 0; policy drop;
		ct state { established, related } accept
		tcp dport { 22,
			80 } accept comment "a { b; c"
		iif lo accept; ip saddr @blocked drop
	}
	chain helpers { }
	chain output { type filter hook output priority 0; }
}
table nat {
	chain DOCKER { masquerade }
}
`

func TestSavedRulesOfNFTables(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		rs, err := parseScript(text)
		row := rs.row()
		if got := fmt.Sprint(row.Tables, row.Chains, row.Rules, row.Policies, row.Dynamic, err); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	f(savedScript, "[inet filter ip nat] 3 4 [inet filter input drop inet filter output accept] [docker] <nil>")
	f("", "[] 0 0 [] [] <nil>")
	f("include \"/etc/nft.d/*.nft\"\ntable ip a { chain b { drop\n} }", `[ip a] 1 1 [] [] "include \"/etc/nft.d/*.nft\"" is not followed`)
	f("table ip a { chain b { drop", "[ip a] 1 1 [] [] cut off: a brace is not closed")
	f("}", "[] 0 0 [] [] more braces are closed than were opened")
}

func TestSavedRulesAreRowsAndNoneIsNotEmpty(t *testing.T) {
	read := func(files map[string]string) (string, []facts.Row) {
		files["etc/hostname"] = "h\n"
		r := probetest.Sections(probe.RootHost(probetest.Tree(t, files)), New())["firewall"]
		return r.Status.String() + " " + r.Reason, r.Rows
	}
	said, rows := read(map[string]string{"etc/nftables.conf": savedScript})
	if len(rows) != 1 || rows[0].(*facts.FirewallRow).Path != "/etc/nftables.conf" || rows[0].(*facts.FirewallRow).Active != nil || !strings.HasPrefix(said, "ok ") {
		t.Errorf("%s: %+v", said, rows)
	}
	if said, rows = read(map[string]string{}); len(rows) != 0 || !strings.HasPrefix(said, "unsupported no saved rules") {
		t.Errorf("none: %s: %+v", said, rows)
	}
	if said, _ = read(map[string]string{"etc/nftables.conf": "include \"x\"\n" + savedScript}); !strings.HasPrefix(said, "partial ") {
		t.Errorf("with an include: %s", said)
	}
}

func FuzzSavedRules(f *testing.F) {
	f.Add(savedScript)
	f.Add("table a { chain b { \"")
	f.Fuzz(func(t *testing.T, text string) {
		rs, _ := parseScript(text)
		if row := rs.row(); row.Chains > len(rs.chains) || row.Rules < 0 {
			t.Errorf("%+v", row)
		}
	})
}
