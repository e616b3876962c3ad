package containers

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

func TestRecordedHost(t *testing.T) {
	probetest.Golden(t, "debian-12-guests", New())
}

func TestSecretsOfContainersStay(t *testing.T) {
	root := probetest.Tree(t, probetest.Files(t, "debian-12-guests"))
	for name, s := range probetest.Sections(probe.RootHost(root), New()) {
		b, err := json.Marshal(s.Rows)
		if err != nil || len(s.Rows) == 0 || strings.Contains(string(b), "secret") {
			t.Errorf("%s: %v %s", name, err, b)
		}
	}
}

// keep runs a probe that has read before.
func keep(t *testing.T, p probe.Probe, root string) map[string]string {
	t.Helper()
	states := make(map[string]string)
	for _, row := range probetest.Sections(probe.RootHost(root), p)["containers"].Rows {
		r := row.(*facts.ContainerRow)
		states[r.Name] = r.State
	}
	return states
}

func TestConfigurationIsParsedAgainWhenItChanged(t *testing.T) {
	const file = "var/lib/docker/containers/2222222222222222222222222222222222222222222222222222222222222222/config.v2.json"
	files := probetest.Files(t, "debian-12-guests")
	root := probetest.Tree(t, files)
	p := New()
	if got := keep(t, p, root)["old"]; got != "stopped" {
		t.Errorf("got %q, want stopped", got)
	}
	first := p.(*guestProbe).known["/"+file]
	keep(t, p, root)
	if p.(*guestProbe).known["/"+file] != first {
		t.Error("an unchanged file was parsed again")
	}
	probetest.Write(t, root, file, []byte(strings.Replace(files[file], `"Running":false`, `"Running":true`, 1)))
	if got := keep(t, p, root)["old"]; got != "running" {
		t.Errorf("got %q after the start", got)
	}
	probetest.Write(t, root, file, nil)
	if _, ok := keep(t, p, root)["old"]; ok || p.(*guestProbe).known["/"+file] != nil {
		t.Error("a removed container is still known")
	}
}

func TestDamagedFilesMakeTheSectionPartial(t *testing.T) {
	files := probetest.Files(t, "debian-12-guests")
	for _, file := range []string{
		"var/lib/docker/containers/2222222222222222222222222222222222222222222222222222222222222222/config.v2.json",
		"var/lib/containers/storage/overlay-containers/containers.json", "etc/libvirt/qemu/idle.xml",
	} {
		for name, damage := range probetest.Damages() {
			root := probetest.Tree(t, files)
			probetest.Write(t, root, file, damage([]byte(files[file])))
			section := "containers"
			if strings.HasSuffix(file, "xml") {
				section = "virtual_machines"
			}
			s := probetest.Sections(probe.RootHost(root), New())[section]
			if name == "cut" && s.Status != facts.StatusPartial || len(s.Rows) < 2 {
				t.Errorf("%s of %s: %v with %d rows", name, file, s.Status, len(s.Rows))
			}
		}
	}
}

// TestAStoreIsWhereItsConfigurationSays: of Podman and CRI-O.
func TestAStoreIsWhereItsConfigurationSays(t *testing.T) {
	names := func(files map[string]string) (out []string) {
		for _, row := range probetest.Sections(probe.RootHost(probetest.Tree(t, files)), New())["containers"].Rows {
			out = append(out, row.(*facts.ContainerRow).Runtime+" "+row.(*facts.ContainerRow).Name)
		}
		return out
	}
	files := probetest.Files(t, "debian-12-guests")
	moved := map[string]string{"etc/containers/storage.conf": "[storage]\n# graphroot = \"/no\"\ngraphroot = \"/srv/c\" # here\n"}
	for name, content := range files {
		if rest, ok := strings.CutPrefix(name, "var/lib/containers/storage/"); ok {
			name = "srv/c/" + rest
		}
		moved[name] = content
	}
	want, got := names(files), names(moved)
	if !slices.Equal(got, want) || !slices.ContainsFunc(want, func(s string) bool { return strings.HasPrefix(s, "podman ") }) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNoGuestsIsEmpty(t *testing.T) {
	for name, s := range probetest.Sections(probetest.Unpack(t, []byte("-- etc/hostname --\nx\n")), New()) {
		if s.Status != facts.StatusEmpty {
			t.Errorf("%s: %v %q", name, s.Status, s.Reason)
		}
	}
}

func TestParsersTakeEveryCut(t *testing.T) {
	for name, content := range probetest.Files(t, "debian-12-guests") {
		for _, cut := range probetest.Cuts([]byte(content)) {
			parseAll(cut)
		}
		_ = name
	}
}

func parseAll(b []byte) {
	for _, p := range Parsers() {
		p.Read(probe.Input{Data: b}) //nolint:errcheck // it must not panic
	}
	parseQEMU(b)
	graphroot(b)       //nolint:errcheck // it must not panic
	parseProxmoxLXC(b) //nolint:errcheck // it must not panic
}

func TestQEMUCommandLine(t *testing.T) {
	f := func(line string, want *facts.VirtualMachineRow) {
		t.Helper()
		if d := cmp.Diff(want, parseQEMU([]byte(strings.ReplaceAll(line, " ", "\x00")+"\x00"))); d != "" {
			t.Errorf("%s: -want +got\n%s", line, d)
		}
	}
	f("qemu-system-x86_64 -enable-kvm -name guest=test,debug-threads=on -m 2G -smp 4,sockets=1 -drive file=/srv/a.img,if=virtio -device virtio-net-pci,mac=52:54:00:00:00:02 -uuid ABC",
		&facts.VirtualMachineRow{Name: "test", Manager: "qemu", Type: "kvm", State: "running", VCPUs: 4, MemoryBytes: 2 << 30, UUID: "abc",
			Disks: []string{"/srv/a.img"}, MACs: []string{"52:54:00:00:00:02"}})
	f("qemu-system-aarch64 -machine virt,accel=kvm -m 512 -hda /srv/b.img",
		&facts.VirtualMachineRow{Name: "b.img", Manager: "qemu", Type: "kvm", State: "running", VCPUs: 1, MemoryBytes: 512 << 20, Machine: "virt", Disks: []string{"/srv/b.img"}})
	f("qemu-system-x86_64 --version", nil)
}

func TestSizesAndCPUs(t *testing.T) {
	size := func(in string, want int64) {
		t.Helper()
		if got := sizeOf(in); got != want {
			t.Errorf("sizeOf(%q) = %d, want %d", in, got, want)
		}
	}
	size("512M", 512<<20)
	size("1G", 1<<30)
	size("2GiB", 2<<30)
	size("4096", 4096)
	for _, s := range []string{"", "max", "M", "-1", "9999999999G"} {
		size(s, 0)
	}
	cpus := func(in string, want int) {
		t.Helper()
		if got := countCPUs(in); got != want {
			t.Errorf("countCPUs(%q) = %d, want %d", in, got, want)
		}
	}
	cpus("0,3-4", 3)
	cpus("0-7", 8)
	cpus("", 0)
	cpus("3-1,x", 0)
}

func TestXML(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		var got []string
		err := walkXML([]byte(in), func(e element) { got = append(got, fmt.Sprint(e.path, "=", e.text, "[", e.attribute("a"), "]")) })
		if err != nil {
			got = append(got, "error")
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%q: got %s, want %s", in, s, want)
		}
	}
	f("<x a='1'><y>t&lt;&amp;lt;</y><z b=\"2\" a = \"3>\"/></x>", "x/y=t<&lt;[] x/z=[3>] x=[1]")
	f("<?xml version='1.0'?><!-- <c> --><x/>", "x=[]")
	f("<x\n  a='1'>text</x>", "x=text[1]")
	f("<x><y></x>", "error")
	f("<x", "error")
	f("<x><!-- ", "error")
	f("</x>", "error")
	f("", "")
	f(strings.Repeat("<d>", 100), "error")
}

func FuzzParsers(f *testing.F) {
	f.Add([]byte(`{"ID":"1","State":{"Running":true},"NetworkSettings":{"Ports":{"80/tcp":[{"HostPort":"1"}]}}}`))
	f.Add([]byte(`[{"id":"1","metadata":"{}"}]`))
	f.Add([]byte("<domain type='kvm'><name>x</name><memory unit='GiB'>1</memory></domain>"))
	f.Add([]byte("lxc.uts.name = a\nlxc.cgroup2.cpuset.cpus = 0-3\n"))
	f.Add([]byte("net0: virtio=BC:24:11:00:00:01,bridge=vmbr0\nmemory: 5\n"))
	f.Fuzz(func(_ *testing.T, b []byte) { parseAll(b) })
}

func BenchmarkNoGuests(b *testing.B) {
	probetest.Benchmark(b, probe.LiveHost(), New())
}

// BenchmarkUnchanged looks at 100 containers of Docker again.
func BenchmarkUnchanged(b *testing.B) {
	files := map[string]string{"etc/x": ""}
	all := probetest.Files(b, "debian-12-guests")
	for n := range 100 {
		id := fmt.Sprintf("%064x", n)
		for _, file := range []string{"config.v2.json", "hostconfig.json"} {
			const like = "var/lib/docker/containers/1111111111111111111111111111111111111111111111111111111111111111/"
			files["var/lib/docker/containers/"+id+"/"+file] = strings.ReplaceAll(all[like+file], strings.Repeat("1", 64), id)
		}
	}
	h, p := probe.RootHost(probetest.Tree(b, files)), New()
	if res := probe.RunOnce(context.Background(), h, p); len(res.Readings[0].Rows) != 100 {
		b.Fatalf("%d rows", len(res.Readings[0].Rows))
	}
	probetest.Benchmark(b, h, p)
}

// folder is a probe of one folder with so many entries.
type folder int

func (folder) Info() probe.Info {
	return probe.Info{Name: "folder", Sections: []facts.ID{facts.Containers}, Timeout: time.Minute}
}

func (n folder) Collect(_ context.Context, _ *probe.Host, r *probe.Report) error {
	if got := first(&search{report: r}, facts.Containers, "/x", make([]string, n)); len(got) != maxGuests {
		return fmt.Errorf("%d of %d", len(got), n)
	}
	return nil
}

func TestMoreGuestsThanAreLookedAtAreSaid(t *testing.T) {
	for n, want := range map[folder]string{maxGuests: "", maxGuests + 1: "/x: only the first 10000 were looked at"} {
		if got := probetest.Sections(probe.RootHost(t.TempDir()), n)["containers"].Reason; got != want {
			t.Errorf("of %d: %q, want %q", n, got, want)
		}
	}
}
