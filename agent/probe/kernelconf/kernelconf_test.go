package kernelconf

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

const modulesText = `bridge 311296 1 br_netfilter, Live 0x0000000000000000
stp 16384 2 garp,bridge, Live 0xffffffffc0a00000
nvidia 56823808 0 - Live 0x0000000000000000 (POE)
ext4 1015808 1 [permanent], Live 0x0000000000000000
`

func tree() map[string]string {
	return map[string]string{
		"proc/modules":                             modulesText,
		"proc/sys/kernel/osrelease":                "6.1.0-1-amd64\n",
		"lib/modules/6.1.0-1-amd64/modules.dep":    "kernel/net/bridge/bridge.ko.xz: kernel/net/802/stp.ko.xz\nupdates/nvidia.ko:\n/extra/ext4.ko.zst:\nkernel/other.ko:\n",
		"sys/module/nvidia/version":                "535.1\n",
		"sys/module/nvidia/srcversion":             "ABCDEF\n",
		"proc/sys/vm/swappiness":                   "60\n",
		"proc/sys/vm/drop_caches":                  "0\n",
		"proc/sys/kernel/random/uuid":              "x\n",
		"proc/sys/kernel/core_pattern":             "|/bin/crash  %p\n",
		"proc/sys/net/ipv4/tcp_rmem":               "4096\t131072\t6291456\n",
		"proc/sys/net/ipv4/ip_forward":             "1\n",
		"proc/sys/net/ipv4/tcp_fastopen_key":       "secret\n",
		"proc/sys/net/ipv4/conf/all/rp_filter":     "0\n",
		"proc/sys/net/ipv4/conf/eth0/rp_filter":    "2\n",
		"proc/sys/net/ipv4/conf/eth1/rp_filter":    "0\n",
		"proc/sys/net/ipv4/conf/eth0.5/rp_filter":  "1\n",
		"proc/sys/net/ipv4/conf/eth0.5/forwarding": "1\n",
		"etc/sysctl.d/10-net.conf":                 "# c\nnet.ipv4.conf.*.rp_filter = 2\n-net.ipv4.conf.eth1.rp_filter\nnet/ipv4/conf/eth0.5/rp_filter=1\n-vm.unknown = 3\n",
		"usr/lib/sysctl.d/10-net.conf":             "vm.swappiness = 99\n",
		"usr/lib/sysctl.d/50-a.conf":               "vm.swappiness=10\nnet.ipv4.tcp_rmem = 4096 131072   6291456\nnonsense\n",
		"etc/sysctl.conf":                          "net.ipv4.ip_forward=0\nnet.ipv4.tcp_fastopen_key = secret\n",
	}
}

func TestModules(t *testing.T) {
	p, h := New(), probe.RootHost(probetest.Tree(t, tree()))
	want := "bridge 311296 [br_netfilter] /lib/modules/6.1.0-1-amd64/kernel/net/bridge/bridge.ko.xz; ext4 1015808 [] /extra/ext4.ko.zst; " +
		"nvidia 56823808 535.1 ABCDEF POE [] /lib/modules/6.1.0-1-amd64/updates/nvidia.ko; stp 16384 [bridge garp] ;"
	for range 2 { // the second time from what was kept
		var got string
		for _, row := range probetest.Sections(h, p)["kernel_modules"].Rows {
			r := row.(*facts.KernelModuleRow)
			got += strings.ReplaceAll(fmt.Sprintln(r.Name, r.SizeBytes, r.Version, r.Source, r.Taint, r.UsedBy, r.Path), "\n", "; ")
		}
		if got = strings.Join(strings.Fields(got), " "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestParameters(t *testing.T) {
	s := probetest.Sections(probe.RootHost(probetest.Tree(t, tree())), New())["kernel_parameters"]
	var got []string
	for _, row := range s.Rows {
		r := row.(*facts.KernelParameterRow)
		got = append(got, fmt.Sprintf("%s=%s <%s %s> %v", r.Name, r.Value, r.Configured, r.File, r.Differs))
	}
	want := []string{
		"kernel.core_pattern=|/bin/crash %p < > false",
		"net.ipv4.conf.all.rp_filter=0 <2 /etc/sysctl.d/10-net.conf> true",
		"net.ipv4.conf.eth0.rp_filter=2 <2 /etc/sysctl.d/10-net.conf> false",
		"net.ipv4.conf.eth0/5.rp_filter=1 <1 /etc/sysctl.d/10-net.conf> false",
		"net.ipv4.ip_forward=1 <0 /etc/sysctl.conf> true",
		"net.ipv4.tcp_rmem=4096 131072 6291456 <4096 131072 6291456 /usr/lib/sysctl.d/50-a.conf> false",
		"vm.swappiness=60 <10 /usr/lib/sysctl.d/50-a.conf> true",
		"vm.unknown= <3 /etc/sysctl.d/10-net.conf> false",
	}
	if diff := cmp.Diff(want, got); diff != "" || s.Status != facts.StatusOK {
		t.Errorf("status %s %q, -want +got:\n%s", s.Status, s.Reason, diff)
	}
}

// TestParametersEqualSysctl asks the machine that runs the test.
func TestParametersEqualSysctl(t *testing.T) {
	out, err := exec.Command("/usr/sbin/sysctl", "-a").Output()
	if err != nil && len(out) == 0 {
		t.Skipf("no sysctl here: %v", err)
	}
	want := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		if name, value, ok := strings.Cut(line, " ="); ok {
			if _, more := want[name]; !more {
				want[name] = plainValue(value)
			}
		}
	}
	rows := probetest.Sections(probe.LiveHost(), New())["kernel_parameters"].Rows
	compared := 0
	for _, row := range rows {
		r := row.(*facts.KernelParameterRow)
		w, ok := want[r.Name]
		if !ok || r.Value == "" || strings.HasPrefix(r.Value, w+" ") { // sysctl prints several lines
			continue
		}
		if compared++; r.Value != w {
			t.Errorf("%s is %q, sysctl says %q", r.Name, r.Value, w)
		}
	}
	if compared < 100 {
		t.Errorf("%d parameters compared of %d", compared, len(rows))
	}
}

// TestNothingChangesBetweenReadings would fail on counters among the parameters.
func TestNothingChangesBetweenReadings(t *testing.T) {
	read := func() map[string]string {
		out := make(map[string]string)
		for _, row := range probetest.Sections(probe.LiveHost(), New())["kernel_parameters"].Rows {
			r := row.(*facts.KernelParameterRow)
			out[r.Name] = r.Value
		}
		return out
	}
	first := read()
	if _, err := os.ReadFile("/proc/self/status"); err == nil { // some work between
		exec.Command("/bin/true").Run()
	}
	if diff := cmp.Diff(first, read()); diff != "" {
		t.Errorf("changed by itself:\n%s", diff)
	}
}

func TestModulesEqualLsmod(t *testing.T) {
	data, err := os.ReadFile(modulesFile)
	if err != nil {
		t.Skipf("no modules here: %v", err)
	}
	out, err := exec.Command("/usr/sbin/lsmod").Output()
	if err != nil {
		t.Skipf("no lsmod here: %v", err)
	}
	rows, err := ParseModules(string(data))
	if err != nil || len(rows) != strings.Count(string(out), "\n")-1 {
		t.Errorf("%d modules, %v; lsmod has\n%s", len(rows), err, out)
	}
}

func TestDamagedModules(t *testing.T) {
	for _, text := range []string{"bridge 1 2", "bridge x 1 - Live 0x0\n", "a\x00 1 1 - Live 0x0\n", "bridge 1 0 - Live 0x0\nbri"} {
		if rows, err := ParseModules(text); err == nil {
			t.Errorf("%q: %d rows, no error", text, len(rows))
		}
	}
	s := probetest.Sections(probe.RootHost(t.TempDir()), New())
	if s["kernel_modules"].Status != facts.StatusUnsupported || s["kernel_parameters"].Status != facts.StatusUnsupported {
		t.Errorf("without anything: %+v", s)
	}
}

func FuzzKernelconf(f *testing.F) {
	f.Add(modulesText)
	f.Add("net.ipv4.conf.*.rp_filter = 2\n-a/b.c\n/x//../y=1\n")
	f.Fuzz(func(t *testing.T, s string) {
		ParseModules(s)
		for _, x := range parseSysctl(s) {
			if strings.Contains("/"+x.name+"/", "/../") {
				t.Errorf("%q", x.name)
			}
		}
	})
}

func BenchmarkUnchanged(b *testing.B) {
	p, h := New(), probe.LiveHost()
	probetest.Sections(h, p)
	b.ReportAllocs()
	for b.Loop() {
		probetest.Sections(h, p)
	}
}
