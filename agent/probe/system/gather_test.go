package system

import (
	"os"
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
)

// gathered returns what the probes of this package say of a tree, one series a line.
func gathered(t *testing.T, files map[string]string) string {
	t.Helper()
	res := probe.RunOnce(t.Context(), probe.RootHost(probetest.Tree(t, files)), Probes()...)
	var b strings.Builder
	if err := probe.WriteExposition(&b, res); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestReleaseOfGarbageIsNotReported(t *testing.T) {
	f := func(release string, want bool) {
		t.Helper()
		if out := gathered(t, map[string]string{"etc/os-release": release}); strings.Contains(out, "node_os_info{") != want {
			t.Errorf("%q gives %q", release, out)
		}
	}
	f("ID=debian\n", true)
	f("", false)
	f("\x00\x01=\x02\nx=y\n", false)
	f("NAME=\n", false)
}

func TestSELinuxIsOffWhereTheKernelDoesNotShowIt(t *testing.T) {
	f := func(files map[string]string, want string) {
		t.Helper()
		if out := gathered(t, files); !strings.Contains(out, want) || want == "" && strings.Contains(out, "node_selinux") {
			t.Errorf("%v gives %q, want %q", files, out, want)
		}
	}
	f(map[string]string{"sys/fs/cgroup/x": ""}, "node_selinux_enabled 0\n")
	f(map[string]string{"sys/fs/selinux/enforce": "1"}, "node_selinux_enabled 1\n")
	f(map[string]string{"etc/hostname": "a"}, "")
}

func TestTimeZoneOfTheTree(t *testing.T) {
	const file = "/usr/share/zoneinfo/Asia/Tokyo" // which has no summer time
	tokyo, err := os.ReadFile(file)
	if err != nil {
		t.Skipf("no %s here: %v", file, err)
	}
	f := func(files map[string]string, want string) {
		t.Helper()
		if out := gathered(t, files); !strings.Contains(out, want) || want == "" && strings.Contains(out, "node_time_zone") {
			t.Errorf("%q, want %q", out, want)
		}
	}
	f(map[string]string{"etc/localtime": "-> ../usr/share/zoneinfo/Asia/Tokyo", "usr/share/zoneinfo/Asia/Tokyo": string(tokyo)},
		`node_time_zone_offset_seconds{time_zone="JST"} 32400`)
	f(map[string]string{"etc/hostname": "a"}, `node_time_zone_offset_seconds{time_zone="UTC"} 0`)
	f(map[string]string{"etc/localtime": "garbage"}, "")
	f(map[string]string{"proc/uptime": "1 1"}, "")
}
