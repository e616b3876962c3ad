package osinfo

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

func TestRecordedHost(t *testing.T) {
	probetest.Golden(t, "debian-12-osinfo", New())
}

func TestReleases(t *testing.T) {
	cases := []struct {
		name  string
		files map[string]string
		want  facts.OSRow
	}{
		{"point_release_of_debian", map[string]string{
			"/etc/os-release": "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\n" +
				"VERSION=\"12 (bookworm)\"\nVERSION_CODENAME=bookworm\nID=debian\n",
			"/etc/debian_version": "12.5\n",
		}, facts.OSRow{ID: "debian", Name: "Debian GNU/Linux 12 (bookworm)", Product: "Debian GNU/Linux", Version: "12.5", VersionID: "12",
			VersionName: "12 (bookworm)", Codename: "bookworm", Lineage: "debian", Major: "12", Minor: "5"}},
		{"testing_has_no_number", map[string]string{
			"/etc/os-release":     "PRETTY_NAME=\"Debian GNU/Linux trixie/sid\"\nNAME=\"Debian GNU/Linux\"\nVERSION_CODENAME=trixie\nID=debian\n",
			"/etc/debian_version": "trixie/sid\n",
		}, facts.OSRow{ID: "debian", Name: "Debian GNU/Linux trixie/sid", Product: "Debian GNU/Linux", Version: "trixie/sid",
			Codename: "trixie", Lineage: "debian"}},
		{"ubuntu_has_debians_file_too", map[string]string{
			"/usr/lib/os-release": "NAME=\"Ubuntu\"\nVERSION=\"22.04.4 LTS (Jammy Jellyfish)\"\nID=ubuntu\nID_LIKE=debian\n" +
				"PRETTY_NAME=\"Ubuntu 22.04.4 LTS\"\nVERSION_ID=\"22.04\"\nVERSION_CODENAME=jammy\n",
			"/etc/debian_version": "bookworm/sid\n",
		}, facts.OSRow{ID: "ubuntu", Name: "Ubuntu 22.04.4 LTS", Product: "Ubuntu", Version: "22.04.4", VersionID: "22.04", Like: "debian",
			VersionName: "22.04.4 LTS (Jammy Jellyfish)", Codename: "jammy", Lineage: "debian", Major: "22", Minor: "04"}},
		{"centos_point_release_in_its_own_file", map[string]string{
			"/etc/os-release":     "NAME=\"CentOS Linux\"\nVERSION=\"7 (Core)\"\nID=\"centos\"\nID_LIKE=\"rhel fedora\"\nVERSION_ID=\"7\"\nPRETTY_NAME=\"CentOS Linux 7 (Core)\"\n",
			"/etc/centos-release": "CentOS Linux release 7.9.2009 (Core)\n",
		}, facts.OSRow{ID: "centos", Name: "CentOS Linux 7 (Core)", Product: "CentOS Linux", Version: "7.9.2009", VersionID: "7",
			VersionName: "7 (Core)", Codename: "Core", Like: "rhel fedora", Lineage: "redhat", Major: "7", Minor: "9"}},
		{"red_hat_before_os_release", map[string]string{
			"/etc/redhat-release": "Red Hat Enterprise Linux Server release 6.10 (Santiago)\n",
		}, facts.OSRow{ID: "rhel", Name: "Red Hat Enterprise Linux Server 6.10 (Santiago)", Product: "Red Hat Enterprise Linux Server",
			Version: "6.10", VersionID: "6.10", VersionName: "6.10 (Santiago)", Codename: "Santiago", Lineage: "redhat", Major: "6", Minor: "10"}},
		{"clone_is_not_red_hat", map[string]string{
			"/etc/redhat-release": "Red Hat Enterprise Linux Server release 6.9 (Santiago)\n",
			"/etc/oracle-release": "Oracle Linux Server release 6.9\n",
		}, facts.OSRow{ID: "ol", Name: "Oracle Linux Server 6.9", Product: "Oracle Linux Server", Version: "6.9", VersionID: "6.9",
			VersionName: "6.9", Lineage: "redhat", Major: "6", Minor: "9"}},
		{"suse_patch_level", map[string]string{
			"/etc/SuSE-release": "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 3\n",
		}, facts.OSRow{Arch: "x86_64", ID: "sles", Name: "SUSE Linux Enterprise Server 11", Product: "SUSE Linux Enterprise Server", Version: "11.3",
			VersionID: "11", VersionName: "11.3", Lineage: "suse", Major: "11", Minor: "3"}},
		{"lsb_release_alone", map[string]string{
			"/etc/lsb-release": "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=10.04\nDISTRIB_CODENAME=lucid\nDISTRIB_DESCRIPTION=\"Ubuntu 10.04.4 LTS\"\n",
		}, facts.OSRow{ID: "ubuntu", Name: "Ubuntu 10.04.4 LTS", Product: "Ubuntu", Version: "10.04.4", VersionID: "10.04", VersionName: "10.04",
			Codename: "lucid", Lineage: "debian", Major: "10", Minor: "04"}},
		{"alpine", map[string]string{"/etc/alpine-release": "3.4.6\n"}, facts.OSRow{ID: "alpine", Name: "Alpine Linux 3.4.6",
			Product: "Alpine Linux", Version: "3.4.6", VersionID: "3.4.6", VersionName: "3.4.6", Lineage: "alpine", Major: "3", Minor: "4"}},
		{"gentoo", map[string]string{"/etc/gentoo-release": "Gentoo Base System release 2.2\n"}, facts.OSRow{ID: "gentoo",
			Name: "Gentoo Base System 2.2", Product: "Gentoo Base System", Version: "2.2", VersionID: "2.2", VersionName: "2.2",
			Lineage: "gentoo", Major: "2", Minor: "2"}},
		{"slackware", map[string]string{"/etc/slackware-version": "Slackware 14.2\n"}, facts.OSRow{ID: "slackware", Name: "Slackware 14.2",
			Product: "Slackware", Version: "14.2", VersionID: "14.2", VersionName: "14.2", Lineage: "slackware", Major: "14", Minor: "2"}},
		{"arch_has_an_empty_file", map[string]string{"/etc/arch-release": ""}, facts.OSRow{ID: "arch", Name: "Arch Linux",
			Product: "Arch Linux", Lineage: "archlinux"}},
		{"debian_before_os_release", map[string]string{"/etc/debian_version": "6.0.10\n"}, facts.OSRow{ID: "debian",
			Name: "Debian GNU/Linux 6.0.10", Product: "Debian GNU/Linux", Version: "6.0.10", VersionName: "6.0.10", Lineage: "debian",
			Major: "6", Minor: "0"}},
		{"nothing", nil, facts.OSRow{ID: "linux", Name: "Linux", Product: "Linux", Lineage: "linux"}},
		{"damaged", map[string]string{"/etc/os-release": "\x00\xff\nNAME=\"Half\nno equals sign\n=x\n"}, facts.OSRow{ID: "half", Name: "Half",
			Product: "Half", Lineage: "half"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := detect(func(p string) []byte {
				if s, ok := c.files[p]; ok {
					return append([]byte{}, s...)
				}
				return nil
			})
			var got facts.OSRow
			r.describe(&got)
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestAssignments(t *testing.T) {
	f := func(line, want string) {
		t.Helper()
		if got := parseAssignments([]byte(line))["A"]; got != want {
			t.Errorf("%q gives %q, want %q", line, got, want)
		}
	}
	f("A=b", "b")
	f(`A="b c"`, "b c")
	f(`A='b "c"'`, `b "c"`)
	f(`A="b \"c\" \$d \x"`, `b "c" $d \x`)
	f("  A=b  \r\n", "b")
	f("# A=b", "")
	f("A=b # comment", "b")
	f(`A="unterminated`, "unterminated")
	f("A=x\nA=y", "y")
	f("A=", "")
}

func TestKernels(t *testing.T) {
	h := probetest.Unpack(t, []byte(`
-- proc/sys/kernel/osrelease --
6.1.0-18-amd64
-- proc/cmdline --
BOOT_IMAGE=/vmlinuz root=UUID=1-2 ro luks.password=hunter2 url=http://u:pw@h/x netroot=iscsi:u:pw@10.0.0.1::::iqn a="b c"
-- boot/vmlinuz-6.1.0-18-amd64 --
-- boot/vmlinuz-6.1.0-17-amd64 --
-- boot/vmlinuz-0-rescue-00112233445566778899aabbccddeeff --
-- boot/vmlinuz-linux --
-- boot/config-6.1.0-17-amd64 --
-- lib/modules/6.1.0-18-amd64/modules.dep --
-- lib/modules/5.10.0-1/leftover --
-- lib/modules/6.8.1-arch1/vmlinuz --
`))
	s := probetest.Sections(h, New())["kernel"]
	want := []facts.Row{
		&facts.KernelRow{Release: "6.1.0-17-amd64", Image: "/boot/vmlinuz-6.1.0-17-amd64"},
		&facts.KernelRow{Release: "6.1.0-18-amd64", Image: "/boot/vmlinuz-6.1.0-18-amd64", Running: true,
			Cmdline: `BOOT_IMAGE=/vmlinuz root=UUID=1-2 ro luks.password=*** url=http://u:***@h/x netroot=iscsi:***@10.0.0.1::::iqn a="b c"`},
		&facts.KernelRow{Release: "6.8.1-arch1", Image: "/lib/modules/6.8.1-arch1/vmlinuz"},
	}
	if d := cmp.Diff(want, s.Rows); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestMachineIDIsHashed(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef"
	f := func(content string, known bool) {
		t.Helper()
		got := MachineID(probetest.Unpack(t, []byte("-- etc/machine-id --\n"+content+"\n")))
		if known != (len(got) == 16) || strings.Contains(id, got) != !known {
			t.Errorf("machine-id %q gives %q", content, got)
		}
	}
	f(id, true)
	f("", false)
	f("uninitialized", false)
	f("00000000000000000000000000000000", false)
	f("0123", false)
	if got := MachineID(probe.RootHost(t.TempDir())); got != "" {
		t.Errorf("without a file: %q", got)
	}
}

func TestARootWithoutAnySystemIsUnsupported(t *testing.T) {
	s := probetest.Sections(probe.RootHost(t.TempDir()), New())["os"]
	if s.Status != facts.StatusUnsupported || len(s.Rows) != 0 || s.Reason != "no file names the operating system" {
		t.Errorf("%v with %d rows, %q", s.Status, len(s.Rows), s.Reason)
	}
}

func TestAReleaseThatSaysNothingIsFailed(t *testing.T) {
	f := func(archive string, want facts.Status) {
		t.Helper()
		sections := probetest.Sections(probetest.Unpack(t, []byte(archive)), New())
		if s := sections["os"]; s.Status != want || want == facts.StatusFailed && (len(s.Rows) > 0 || !strings.Contains(s.Reason, "os-release")) {
			t.Errorf("%q: os is %v with %d rows, %q, want %v", archive, s.Status, len(s.Rows), s.Reason, want)
		}
		if s := sections["kernel"]; strings.Contains(s.Reason, "os-release") {
			t.Errorf("%q: kernel is %v, %q", archive, s.Status, s.Reason)
		}
	}
	f("-- etc/os-release --\nhello\n", facts.StatusFailed)
	f("-- etc/os-release --\nhello\n-- etc/hostname --\nweb1\n", facts.StatusFailed)
	f("-- etc/os-release --\n", facts.StatusFailed)
	f("-- etc/hosts --\n", facts.StatusUnsupported)
	f("-- etc/os-release --\nNAME=Linux\n-- proc/sys/kernel/osrelease --\n6.1.0\n", facts.StatusOK)
}

func TestWhereItRuns(t *testing.T) {
	f := func(archive, virtual, init string) {
		t.Helper()
		system := "-- etc/debian_version --\n12.5\n"
		row := probetest.Sections(probetest.Unpack(t, []byte(system+archive)), New())["os"].Rows[0].(*facts.OSRow)
		if row.Virtualised != virtual || row.InitSystem != init {
			t.Errorf("%q: got %q under %q, want %q under %q", archive, row.Virtualised, row.InitSystem, virtual, init)
		}
	}
	f("-- etc/x --\n", "", "")
	f("-- .dockerenv --\n-- proc/1/comm --\nsystemd\n", "docker", "systemd")
	f("-- run/systemd/container --\nlxc\n-- links --\nsbin/init -> /lib/systemd/systemd\n", "lxc", "systemd")
	f("-- proc/sys/kernel/osrelease --\n5.15.0-microsoft-standard-WSL2\n", "wsl", "")
	f("-- proc/1/cgroup --\n0::/kubepods.slice/pod1\n", "kubernetes", "")
	f("-- sys/class/dmi/id/sys_vendor --\nQEMU\n-- etc/inittab --\n", "qemu", "sysvinit")
	f("-- sys/class/dmi/id/sys_vendor --\nMicrosoft Corporation\n-- sys/class/dmi/id/product_name --\nVirtual Machine\n", "microsoft", "")
	f("-- sys/class/dmi/id/sys_vendor --\nExample Inc.\n", "", "")
	f("-- sys/hypervisor/type --\nxen\n-- proc/xen/capabilities --\ncontrol_d\n", "", "")
	f("-- proc/cpuinfo --\nprocessor : 0\nflags : fpu hypervisor\n", "vm-other", "")
	f("-- proc/1/comm --\nsleep\n-- etc/inittab --\n-- links --\nsbin/init -> /lib/systemd/systemd\n", "", "")
	f("-- proc/1/comm --\ninit\n-- etc/inittab --\n", "", "sysvinit")
	f("-- sbin/openrc --\n-- links --\nsbin/init -> /bin/busybox\n", "", "openrc")
}

func TestFilesNameTheHost(t *testing.T) {
	h := probetest.Unpack(t, []byte("-- etc/hostname --\nweb1\n-- etc/alpine-release --\n3.19.1\n-- proc/sys/kernel/arch --\naarch64\n"))
	row := probetest.Sections(h, New())["os"].Rows[0].(*facts.OSRow)
	if row.Hostname != "web1" || row.Name != "Alpine Linux 3.19.1" || row.Family != "linux" || row.Arch != "aarch64" {
		t.Errorf("got %+v", row)
	}
}

func TestOtherSystems(t *testing.T) {
	mac := native{system: "Darwin", hostname: "m1", version: "14.5", build: "23F79", names: uname{"23.5.0", "Darwin Kernel", "arm64"}}.row(release{id: "linux"})
	if mac.Name != "macOS 14.5" || mac.Version != "14.5" || mac.Major != "14" || mac.Family != "darwin" || mac.BuildID != "23F79" {
		t.Errorf("got %+v", mac)
	}
	bsd := native{system: "FreeBSD", names: uname{"14.1-RELEASE-p5", "", "amd64"}}.row(release{id: "freebsd", product: "FreeBSD",
		pretty: "FreeBSD 14.1-RELEASE", version: "14.1", versionID: "14.1"})
	if bsd.Version != "14.1-RELEASE-p5" || bsd.VersionID != "14.1" || bsd.Family != "freebsd" {
		t.Errorf("got %+v", bsd)
	}
	w := windows{product: "Windows 10 Pro", displayVersion: "23H2", build: "22631", ubr: "3880", major: "10", minor: "0"}.row(22631)
	if w.Name != "Windows 11 Pro 23H2" || w.Version != "10.0.22631.3880" {
		t.Errorf("got %+v", w)
	}
}

func FuzzRelease(f *testing.F) {
	f.Add("NAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n", "12.5\n")
	f.Add("", "Red Hat Enterprise Linux Server release 6.10 (Santiago)\n")
	f.Add("VERSION_ID=12.\nID=sles", "VERSION = 11\nPATCHLEVEL = 3\n")
	f.Fuzz(func(t *testing.T, osRelease, other string) {
		r := detect(func(p string) []byte {
			if p == "/etc/os-release" {
				return []byte(osRelease)
			}
			return []byte(other)
		})
		var row facts.OSRow
		r.describe(&row)
		if row.ID == "" && row.Name == "" {
			t.Error("neither id nor name")
		}
	})
}

func BenchmarkCollect(b *testing.B) {
	probetest.Benchmark(b, probe.LiveHost(), New())
}
