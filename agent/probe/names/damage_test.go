package names

import (
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

// TestDamagedFilesAreNotEmpty: what is known must not go because a file is damaged.
func TestDamagedFilesAreNotEmpty(t *testing.T) {
	f := func(file, text string, section facts.ID, want facts.Status) {
		t.Helper()
		files := map[string]string{"etc/resolv.conf": "nameserver 192.0.2.1\n", "etc/hosts": "127.0.0.1 localhost\n"}
		files[file] = text
		s := probetest.Sections(probe.RootHost(probetest.Tree(t, files)), New())[section.String()]
		whole := want == facts.StatusOK || want == facts.StatusEmpty
		if s.Status != want || whole != (s.Reason == "") || !whole && !strings.Contains(s.Reason, file) {
			t.Errorf("%s %q: %v, %q, want %v", file, text, s.Status, s.Reason, want)
		}
	}
	f("etc/hosts", "x", facts.HostsFile, facts.StatusFailed)
	f("etc/hosts", "127.0.0.1 localhost\nx\n", facts.HostsFile, facts.StatusPartial)
	f("etc/hosts", "# nothing\n\n", facts.HostsFile, facts.StatusEmpty)
	f("etc/resolv.conf", "x", facts.DNS, facts.StatusFailed)
	f("etc/resolv.conf", "nameserver 192.0.2.1\nx\n", facts.DNS, facts.StatusPartial)
	f("etc/resolv.conf", "; nothing\n", facts.DNS, facts.StatusEmpty)
	f("run/systemd/resolve/resolv.conf", "x", facts.DNS, facts.StatusPartial)
}
