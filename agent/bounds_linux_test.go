package agent

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
)

// TestBadRecordsInAllFilesCostLittle fills every text that probes read below etc, var and run
// with bad records, all at once.
func TestBadRecordsInAllFilesCostLittle(t *testing.T) {
	files := everything(t)
	for name, content := range map[string]string{
		"lib/apk/db/installed": "P:musl\nV:1.2.5-r0\nA:x86_64\n\n", "etc/pacman.conf": "[core]\nServer = http://x/$repo\n", "etc/cron.d/x": "1 * * * * root x\n",
		"etc/yum.repos.d/x.repo": "[base]\nname=x\nbaseurl=http://x/\n", "etc/doas.conf": "permit :wheel\n", "etc/nftables.conf": "table ip a {\n}\n",
		"etc/anacrontab": "7 10 x run\n", "etc/sysctl.d/x.conf": "a.b = 1\n", "root/.ssh/authorized_keys": "ssh-rsa AAAA x\n", "etc/ssh/sshd_config": "Port 22\n",
	} {
		files[name] = content
	}
	for _, kind := range []string{"many times letters", "many times a word", "a word in the middle"} {
		root, n := probetest.Tree(t, files), 0
		for name, content := range files {
			top, _, _ := strings.Cut(name, "/")
			if content == "" || !utf8.ValidString(content) || strings.HasPrefix(content, "-> ") || !strings.Contains("etc lib var root run", top) {
				continue
			}
			n++
			probetest.Write(t, root, name, probetest.BadRecords([]byte(content))[kind])
		}
		if n < 20 {
			t.Fatalf("only %d files", n)
		}
		probetest.Bounded(t, fmt.Sprint(kind, " in ", n, " files"), uint64(n)*60<<20, func() error { // the race detector takes twice what the program does
			res := probe.RunOnce(context.Background(), probe.RootHost(root), InventoryProbes(DefaultConfig())...)
			for _, r := range res.Readings {
				if len(r.Reason) > 400 || strings.Contains(r.Reason, "panic") || strings.Contains(r.Reason, "no answer") {
					t.Errorf("%s: %s is %v with %d rows: %s", kind, r.Section, r.Status, len(r.Rows), r.Reason)
				}
			}
			return res.Err
		})
	}
}
