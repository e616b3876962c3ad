package security

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

func rows(t *testing.T, files map[string]string) (string, probetest.Section) {
	t.Helper()
	s := probetest.Sections(probe.RootHost(probetest.Tree(t, files)), New())["security_modules"]
	var b strings.Builder
	for _, row := range s.Rows {
		r := row.(*facts.SecurityModuleRow)
		fmt.Fprintf(&b, "%s|%s|%s|%s|%s|%s\n", r.Module, r.Name, r.State, r.Configured, r.Policy, r.Version)
	}
	return b.String(), s
}

func TestRedHat(t *testing.T) {
	got, s := rows(t, map[string]string{
		"etc/selinux/config":                              "# c\nSELINUX=permissive\nSELINUXTYPE=targeted\n",
		"sys/fs/selinux/enforce":                          "1",
		"sys/fs/selinux/policyvers":                       "33",
		"sys/kernel/security/lsm":                         "lockdown,capability,landlock,yama,selinux,bpf",
		"sys/kernel/security/lockdown":                    "none [integrity] confidentiality\n",
		"proc/sys/crypto/fips_enabled":                    "1\n",
		"proc/sys/kernel/yama/ptrace_scope":               "1\n",
		"proc/sys/kernel/seccomp/actions_avail":           "kill_process kill\n",
		"sys/module/module/parameters/sig_enforce":        "N\n",
		"etc/crypto-policies/config":                      "# c\n\nFUTURE\n",
		"etc/audit/auditd.conf":                           "x\n",
		"run/auditd.pid":                                  "77\n",
		"proc/77/stat":                                    "",
		"sys/devices/system/cpu/vulnerabilities/meltdown": "Mitigation: PTI\n",
	})
	want := `audit||running|installed||
bpf||enabled|||
crypto_policies||||FUTURE|
fips||enabled|||
landlock||enabled|||
module_signatures||not enforced|||
seccomp||enabled|||
selinux||enforcing|permissive|targeted|33
yama||restricted|||
`
	if diff := cmp.Diff(want, got); diff != "" || s.Status != facts.StatusOK {
		t.Errorf("status %s %q, -want +got:\n%s", s.Status, s.Reason, diff)
	}
}

func TestUbuntu(t *testing.T) {
	got, s := rows(t, map[string]string{
		"sys/module/apparmor/parameters/enabled": "Y\n",
		"sys/kernel/security/apparmor/profiles":  "/usr/bin/man (enforce)\nsnap.x (y) z (complain)\nbroken\n",
	})
	want := "apparmor||enabled|||\napparmor|/usr/bin/man|enforce|||\napparmor|snap.x (y) z|complain|||\n"
	if got != want || s.Status != facts.StatusPartial {
		t.Errorf("status %s %q\n%s", s.Status, s.Reason, got)
	}
	if got, _ = rows(t, map[string]string{"etc/selinux/config": "SELINUX=disabled\n"}); got != "selinux|||disabled||\n" {
		t.Errorf("only configured: %s", got)
	}
	if got, s = rows(t, map[string]string{"etc/": ""}); got != "" || s.Status != facts.StatusEmpty {
		t.Errorf("nothing: %s %s", s.Status, got)
	}
}

func FuzzProfiles(f *testing.F) {
	f.Add("/usr/bin/man (enforce)\nx")
	f.Fuzz(func(t *testing.T, s string) {
		rows, _ := ParseProfiles(s)
		for _, r := range rows {
			if r.Name == "" {
				t.Errorf("%+v of %q", r, s)
			}
		}
		shellSettings(s)
	})
}

func BenchmarkUnchanged(b *testing.B) {
	probetest.Benchmark(b, probe.LiveHost(), New())
}
