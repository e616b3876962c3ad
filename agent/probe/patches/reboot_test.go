package patches

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"atalaya/agent/probe"
	"atalaya/agent/probe/patches/rpmmd"
	"atalaya/agent/probetest"
)

// ucode makes an update in Intel's form.
func ucode(revision, platforms uint32) string {
	b := make([]byte, 64)
	for i, w := range []uint32{1, revision, 0x01012024, 0x806ea, 0, 1, platforms, 16, 64} {
		binary.LittleEndian.PutUint32(b[4*i:], w)
	}
	return string(b)
}

func TestMicrocode(t *testing.T) {
	const cpu = "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 142\nmodel name\t: x\nstepping\t: 10\nflags\t\t: fpu vme\n\nprocessor\t: 1\n"
	for name, c := range map[string]struct{ running, file, cpuinfo, want string }{
		"newer":          {"0x96", ucode(0xf0, 0xc0) + ucode(0xf6, 0xc0), cpu, "microcode 0xf6 is installed, 0x96 runs"},
		"same":           {"0xf6", ucode(0xf6, 0xc0), cpu, ""},
		"other_platform": {"0x96", ucode(0xf6, 0x02), cpu, ""},
		"virtual":        {"0x96", ucode(0xf6, 0xc0), strings.Replace(cpu, "vme", "vme hypervisor", 1), ""},
		"cut":            {"0x96", ucode(0xf6, 0xc0)[:40], cpu, ""},
		"no_file":        {"0x96", "", strings.Replace(cpu, "142", "143", 1), ""},
	} {
		root := probetest.Tree(t, map[string]string{
			"proc/cpuinfo": c.cpuinfo, "lib/firmware/intel-ucode/06-8e-0a": c.file,
			"sys/devices/system/cpu/cpu0/microcode/version": c.running + "\n", "sys/devices/system/cpu/cpu0/microcode/processor_flags": "0x80\n"})
		if got := microcodeBehind(probe.RootHost(root)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestKernelsOfOneFlavour compares what runs with what is installed beside it.
func TestKernelsOfOneFlavour(t *testing.T) {
	for _, c := range []struct{ running, installed, want string }{
		{"6.1.0-12-amd64", "6.1.0-12-amd64 6.1.0-12-rt-amd64", ""},
		{"6.1.0-10-cloud-amd64", "6.1.0-10-cloud-amd64 6.1.0-12-amd64", ""},
		{"6.1.0-10-cloud-amd64", "6.1.0-12-cloud-amd64", "6.1.0-12-cloud-amd64"},
		{"6.1.0-28-amd64", "6.1.0-28-amd64 6.12.9+bpo-amd64", "6.12.9+bpo-amd64"},
		{"6.12.9+deb13-arm64", "6.12.10+deb13-arm64-16k 6.12.9+deb13-arm64", ""},
		{"5.14.0-503.el9.x86_64", "5.14.0-503.el9.x86_64 5.14.0-503.el9.x86_64+debug", ""},
		{"5.14.0-503.el9.x86_64+rt", "5.14.0-504.el9.x86_64+rt", "5.14.0-504.el9.x86_64+rt"},
		{"5.14.0-503.el9.x86_64", "5.14.0-503.el9.x86_64 5.15.0-200.131.27.el9uek.x86_64", ""},
		{"6.9.5-200.fc40.x86_64", "6.9.6-200.fc40.x86_64", "6.9.6-200.fc40.x86_64"},
		{"6.8.0-45-generic", "6.8.0-47-generic 6.8.0-50-lowlatency 6.8.0-51-generic-64k", "6.8.0-47-generic"},
		{"6.6.31+rpt-rpi-v8", "6.6.31+rpt-rpi-v8 6.6.32+rpt-rpi-2712", ""},
		{"6.6.31+rpt-rpi-v7", "6.6.31+rpt-rpi-v7 6.6.31+rpt-rpi-v6 6.6.31+rpt-rpi-v7l 6.6.31+rpt-rpi-v8", ""},
		{"6.6.31+rpt-rpi-v7", "6.6.31+rpt-rpi-v7 6.6.32+rpt-rpi-v7 6.6.33+rpt-rpi-v8", "6.6.32+rpt-rpi-v7"},
		{"6.9.1-arch1-1", "6.9.1-arch1-2 6.9.2-zen1-1-zen 6.9.3-1-lts", "6.9.1-arch1-2"},
		{"6.4.0-150600.23.7-default", "6.4.0-150600.23.9-default", "6.4.0-150600.23.9-default"},
		{"6.6.30-0-lts", "6.6.31-0-virt", "none of it"},
	} {
		reason, ok := kernelBehind(c.running, strings.Fields(c.installed))
		got, _, _ := strings.Cut(strings.TrimPrefix(reason, "kernel "), " is installed")
		if !ok {
			got = "none of it"
		}
		if got != c.want {
			t.Errorf("%s beside %s: %q, want %q", c.running, c.installed, got, c.want)
		}
	}
}

func TestCoreOnReplacedFiles(t *testing.T) {
	root := probetest.Tree(t, map[string]string{
		"proc/1/maps":  "7f0-7f1 r-xp 0 fe:01 1 /usr/lib/x86_64-linux-gnu/libc.so.6 (deleted)\n",
		"proc/77/maps": "7f0-7f1 r-xp 0 fe:01 1 /usr/bin/dbus-daemon (deleted)\n",
		"sys/fs/cgroup/system.slice/dbus.service/cgroup.procs": "77\n",
	})
	required, reasons := reboot(probe.RootHost(root), nil)
	got := strings.Join(reasons, "; ")
	const want = "process 1 runs on replaced files: /usr/lib/x86_64-linux-gnu/libc.so.6; dbus runs on replaced files: /usr/bin/dbus-daemon"
	if required == nil || !*required || got != want {
		t.Errorf("%v %q", required, got)
	}
}

func FuzzIndexes(f *testing.F) {
	f.Add([]byte("[options]\nIgnorePkg = a b\n c\n[core]\nServer = x\n"))
	f.Add([]byte(`{"data":{"snaps":{"a":{"current":1}},"refresh-candidates":{"a":{"side-info":{"revision":"2"}}}}}`))
	f.Add([]byte("P:a\nV:1\n\nP:b\nV:2\n\n"))
	f.Add([]byte("%NAME%\na\n\n%VERSION%\n1-1\n\n"))
	f.Add([]byte("@t https://u:p@h/x?y=z\n"))
	f.Add([]byte("type: package\nsolvable_name: a\nversion: >= 2-1\n\nsolvable_name: b\nversion: !\n"))
	f.Add([]byte("a@edge>1.2"))
	f.Add([]byte("5.14.0-503.el9.x86_64+debug"))
	tars := newTarball()
	tars.add(f, "a-1-1/desc", "%NAME%\na\n\n%VERSION%\n1-1\n\n")
	tars.add(f, "APKINDEX", "P:a\nV:1\n\n")
	f.Add([]byte(tars.close(f)))
	f.Add([]byte(ucode(1, 1) + ucode(2, 0)))
	f.Fuzz(func(t *testing.T, data []byte) {
		sections, _ := parseINI(string(data))
		for _, s := range sections {
			newRPMRepo(s, "/x", strings.NewReplacer()).row("dnf", s)
			pacmanSigning(s.words("siglevel"))
		}
		_, _, _, _ = parseSnapState(data, time.Now())
		for _, l := range zyppLocks(string(data)) {
			_ = locked([]lock{l}, &rpmOffer{Package: rpmmd.Package{Name: l.pattern, Version: l.versions}, repo: &rpmRepo{}}, l.versions)
		}
		vendorGroups{}.join(strings.Split(string(data), ","), 1)
		_, _ = cutTag(string(data))
		_ = flavour(string(data))
		_ = matchesNumber(string(data), string(data))
		_, _ = parsePacmanDB(goOn, strings.NewReader(string(data)), nil)
		_, _, _ = parseAPKIndex(goOn, strings.NewReader(string(data)), nil)
		_, _ = parseAPKStanzas(strings.NewReader(string(data)), nil)
		parsePacmanDesc(string(data))
		for _, r := range parseAPKRepos(string(data), "/x") {
			if name := r.cached("/c"); strings.Count(name, "/") != 2 {
				t.Errorf("file name %q", name)
			}
		}
		newestMicrocode(data, 1)
		intelMicrocode(string(data))
	})
}

// TestCutIndexesAreNoProof cuts databases at every byte: none is taken as whole.
func TestCutIndexesAreNoProof(t *testing.T) {
	tars := newTarball()
	tars.add(t, "a-1-1/desc", "%NAME%\na\n\n%VERSION%\n1-1\n\n")
	whole := tars.close(t)
	for n, cut := range probetest.Cuts(whole) {
		if _, err := parsePacmanDB(goOn, strings.NewReader(cut), nil); err == nil {
			t.Errorf("pacman: cut at %d of %d: no error", n, len(whole))
		}
	}
	tars = newTarball()
	tars.add(t, "APKINDEX", "P:a\nV:1\n\n")
	whole = tars.close(t)
	for n, cut := range probetest.Cuts(whole) {
		if _, _, err := parseAPKIndex(goOn, strings.NewReader(cut), nil); err == nil {
			t.Errorf("apk: cut at %d of %d: no error", n, len(whole))
		}
	}
}
