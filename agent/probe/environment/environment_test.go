package environment

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

func TestEnvironment(t *testing.T) {
	s := probetest.Sections(probe.RootHost(probetest.Tree(t, map[string]string{
		"etc/environment":                       "PATH=\"/usr/bin:/bin\"\nAPI_TOKEN=x\nhttp_proxy=http://u:pw@proxy:3128/\nexport LC_ALL='C'\n# c\n",
		"etc/default/locale":                    "LANG=\"de_DE.UTF-8\"\n",
		"etc/default/keyboard":                  "XKBLAYOUT=\"de\"\nBACKSPACE=\"guess\"\n",
		"proc/1/environ":                        "HOME=/\x00TERM=linux\x00BOOT_SECRET=x\x00container=lxc\x00",
		"etc/localtime":                         "-> /usr/share/zoneinfo/Europe/Berlin",
		"usr/lib/systemd/system/default.target": "-> graphical.target",
		"etc/systemd/system/default.target":     "-> /lib/systemd/system/multi-user.target",
		"etc/inittab":                           "# id:5:initdefault:\nid:3:initdefault:\n",
	})), New())["environment"]
	var got []string
	for _, row := range s.Rows {
		r := row.(*facts.EnvironmentRow)
		got = append(got, fmt.Sprintf("%s=%s (%s)", r.Name, r.Value, r.Source))
	}
	want := []string{
		"HOME=/ (init)", "LANG=de_DE.UTF-8 (/etc/default/locale)", "LC_ALL=C (/etc/environment)", "PATH=/usr/bin:/bin (/etc/environment)",
		"TERM=linux (init)", "XKBLAYOUT=de (/etc/default/keyboard)", "container=lxc (init)",
		"default_target=multi-user.target (/etc/systemd/system/default.target)", "http_proxy=http://u:***@proxy:3128/ (/etc/environment)",
		"runlevel=3 (/etc/inittab)", "timezone=Europe/Berlin (/etc/localtime)",
	}
	if diff := cmp.Diff(want, got); diff != "" || s.Status != facts.StatusOK {
		t.Errorf("status %s %q, -want +got:\n%s", s.Status, s.Reason, diff)
	}
}

func TestNothingIsSet(t *testing.T) {
	if s := probetest.Sections(probe.RootHost(probetest.Tree(t, map[string]string{"etc/": ""})), New())["environment"]; s.Status != facts.StatusEmpty {
		t.Errorf("status %s %q", s.Status, s.Reason)
	}
}

func FuzzEnvironment(f *testing.F) {
	f.Add("PATH=/bin\nexport A_PROXY=\"http://u:p@h\"\nid:3:initdefault:")
	f.Fuzz(func(t *testing.T, s string) {
		for _, v := range parse(s, "\n") {
			if !harmless(v[0]) || strings.IndexByte(v[1], 0) >= 0 {
				t.Errorf("%q", v)
			}
		}
		runlevel(s)
	})
}

func BenchmarkUnchanged(b *testing.B) {
	probetest.Benchmark(b, probe.LiveHost(), New())
}
