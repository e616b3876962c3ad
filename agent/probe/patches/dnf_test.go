package patches

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

// TestPendingEqualsDnf compares with a real dnf on a folder that one has filled:
//
//	ATALAYA_TEST_DNF_ROOT=/srv/el9 ATALAYA_TEST_DNF="dnf --installroot=/srv/el9 --releasever=9" go test -run Dnf ./agent/probe/patches
//
// The folder has an rpm database, /etc/yum.repos.d, and metadata in /var/cache/dnf.
func TestPendingEqualsDnf(t *testing.T) {
	root, dnf := os.Getenv("ATALAYA_TEST_DNF_ROOT"), strings.Fields(os.Getenv("ATALAYA_TEST_DNF"))
	if root == "" || len(dnf) == 0 {
		t.Skip("set ATALAYA_TEST_DNF_ROOT and ATALAYA_TEST_DNF to compare with a dnf")
	}
	out, err := exec.Command(dnf[0], append(dnf[1:], "-q", "-C", "check-update")...).Output()
	if len(out) == 0 {
		t.Skipf("dnf says nothing: %v", err) // it ends with 100 when there are updates
	}
	want := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 3 && !strings.HasPrefix(f[2], "@") {
			want[strings.TrimSuffix(f[0], ".x86_64")] = f[1]
		}
	}
	list, err := exec.Command("rpm", "--root", root, "-qa", "--queryformat", `%{NAME} %|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE} %{ARCH} %{INSTALLTIME}\n`).Output()
	if err != nil {
		t.Skipf("no rpm: %v", err)
	}
	rows := rpmLines(t, string(list))
	cfg := Config{InstalledRPMs: func(context.Context, *probe.Host) ([]*facts.PackageRow, error) { return rows, nil }}
	got := make(map[string]string)
	s := probetest.Sections(probe.RootHost(root), New(cfg))["patches"]
	for _, row := range s.Rows {
		if p := row.(*facts.PatchRow); p.State == statePending {
			got[p.Name+strings.TrimSuffix(strings.TrimSuffix("."+p.Arch, ".x86_64"), ".noarch")] = p.Candidate // noarch: as installed
		}
	}
	t.Logf("%d installed, %d pending, %s", len(rows), len(got), s.Reason)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pending differs from dnf (-dnf +got):\n%s", diff)
	}
}
