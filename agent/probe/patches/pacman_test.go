package patches

import (
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

// TestPacmanConfigurationsThatProveNothing have a package and its database, which is current.
func TestPacmanConfigurationsThatProveNothing(t *testing.T) {
	for want, conf := range map[string]string{
		"more than 256 files are included":             "[options]\nInclude = /etc/pacman.conf\n[core]\nServer = https://example.org\n",
		`no server of repository "core" is configured`: "[options]\n[core]\nInclude = /etc/nothing*\n",
		"no package repository is configured":          "[options]\nInclude = /etc/[\n",
		"line 1 stands before the first section":       "Server = https://example.org\n",
		`no index of "extra" is kept (run`:             "[core]\nServer = https://example.org\n[extra]\nServer = https://example.org\n",
		"read /etc/folder: not a regular file":         "[core]\nServer = https://example.org\nInclude = /etc/fold*\n",
	} {
		core := newTarball()
		core.add(t, "pacman-1-1/desc", "%NAME%\npacman\n\n%VERSION%\n1-1\n")
		root := probetest.Tree(t, map[string]string{
			"etc/os-release": "BUILD_ID=rolling\n", "etc/pacman.conf": conf, "etc/folder/x": "",
			"var/lib/pacman/local/pacman-1-1/desc": "", "var/lib/pacman/sync/core.db": core.close(t),
		})
		row := probetest.Sections(probe.RootHost(root), New(Config{}))["patch_state"].Rows[0].(*facts.PatchStateRow)
		if row.Verdict != facts.VerdictUnknown || !strings.Contains(row.Reason, want) {
			t.Errorf("verdict %s because %s; want unknown, %q", row.Verdict, row.Reason, want)
		}
	}
}
