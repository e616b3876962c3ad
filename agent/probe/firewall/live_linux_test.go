package firewall

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

const rules = `table inet filter {
 chain input { type filter hook input priority 0; policy drop;
  tcp dport 22 accept
  iif lo accept
 }
 chain forward { type filter hook forward priority 0; policy accept; }
 chain extra { counter
 }
}
table ip nat {
 chain post { type nat hook postrouting priority 100; masquerade
 }
 chain DOCKER { return
  return
 }
}
table inet crowdsec { chain x { accept
 }
}
`

// TestSameAsNFT loads rules in a network namespace of its own. The thread stays there
// and ends with the test.
func TestSameAsNFT(t *testing.T) {
	nft, err := exec.LookPath("nft")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("needs nft(8) and root")
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("no network namespace: %v", err)
	}
	file := filepath.Join(t.TempDir(), "rules.nft")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(nft, "-f", file).CombinedOutput(); err != nil {
		t.Skipf("nft: %v %s", err, out)
	}
	active := true
	want := &facts.FirewallRow{
		Name: "nftables", Active: &active, Tables: []string{"inet filter", "ip nat"}, Chains: 4, Rules: 4,
		Policies: []string{"inet filter forward accept", "inet filter input drop"}, Dynamic: []string{"crowdsec", "docker"},
	}
	rs, err := readRuleset(probe.LiveHost()) // on this thread
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, rs.row()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}
