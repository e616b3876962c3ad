package devices

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

// workstation is a machine written by hand after the kernel's documentation.
const workstation = `
-- sys/bus/pci/devices/0000:00:02.0/modalias --
pci:v00008086d000046A6sv000017AAsd000022E7bc03sc00i00
-- sys/bus/pci/devices/0000:00:02.0/revision --
0x0c
-- sys/bus/pci/devices/0000:00:02.0/boot_vga --
1
-- sys/bus/pci/devices/0000:01:00.0/modalias --
pci:v000010DEd00002204sv00000000sd00000000bc03sc02i00
-- sys/bus/pci/devices/0000:03:00.0/modalias --
pci:v00001002d000073BFsv00001DA2sd0000E437bc03sc00i00
-- sys/bus/pci/devices/0000:03:00.0/mem_info_vram_total --
17163091968
-- sys/bus/pci/devices/0000:03:00.0/vbios_version --
113-D4120100-101
-- sys/bus/pci/devices/0000:05:00.0/modalias --
pci:v0000FFF0d00001234sv0000FFF0sd00000001bcFFscFFi00
-- sys/bus/pci/devices/0000:09:00.0/modalias --
-- usr/share/misc/pci.ids --
# a list that knows more
fff0  Example Devices
	1234  Example Thing
		fff0 0001  Not this
fff1  Next
-- usr/share/misc/usb.ids --
046d  Logitech, Inc.
	c52b  Unifying Receiver
-- proc/driver/nvidia/gpus/0000:01:00.0/information --
Model: 		 Example GPU 3090
IRQ:   		 16
GPU UUID: 	 GPU-00112233-4455-6677-8899-aabbccddeeff
Video BIOS: 	 94.02.42.40.2e
-- sys/module/nvidia/version --
550.54.14
-- sys/bus/usb/devices/usb1/idVendor --
1d6b
-- sys/bus/usb/devices/usb1/idProduct --
0002
-- sys/bus/usb/devices/usb1/manufacturer --
Linux 6.1.0 xhci-hcd
-- sys/bus/usb/devices/usb1/product --
xHCI Host Controller
-- sys/bus/usb/devices/usb1/serial --
0000:00:14.0
-- sys/bus/usb/devices/usb1/speed --
480
-- sys/bus/usb/devices/usb1/bDeviceClass --
09
-- sys/bus/usb/devices/usb1/version --
 2.00
-- sys/bus/usb/devices/1-2/idVendor --
046d
-- sys/bus/usb/devices/1-2/idProduct --
C52B
-- sys/bus/usb/devices/1-2/product --
USB Receiver
-- sys/bus/usb/devices/1-2/bcdDevice --
1210
-- sys/bus/usb/devices/1-2/bDeviceClass --
00
-- sys/bus/usb/devices/1-2/speed --
12
-- sys/bus/usb/devices/1-2:1.0/bInterfaceClass --
03
-- sys/bus/usb/devices/1-2:1.1/bInterfaceClass --
03
-- sys/bus/usb/devices/1-9/idVendor --
-- sys/class/drm/version --
drm 1.1.0 20060810
-- sys/class/drm/card0-HDMI-A-1/status --
connected
-- sys/class/drm/card0-DP-1/status --
disconnected
-- sys/class/drm/card0-DP-1/edid --
-- sys/devices/platform/gpu.1/of_node/compatible --
example,gpu-1
-- sys/class/hwmon/hwmon3/name --
coretemp
-- sys/class/hwmon/hwmon3/temp1_input --
45000
-- sys/class/hwmon/hwmon3/temp1_label --
Package id 0
-- sys/class/hwmon/hwmon3/temp1_max --
100000
-- sys/class/hwmon/hwmon3/temp1_crit --
105000
-- sys/class/hwmon/hwmon3/in0_input --
1100
-- sys/class/hwmon/hwmon3/in0_min --
-500
-- sys/class/hwmon/hwmon3/power1_average --
5000000
-- sys/class/hwmon/hwmon3/pwm1_input --
1
-- sys/class/hwmon/hwmon3/temp_input --
1
-- sys/kernel/security/lockdown --
none [integrity] confidentiality
-- sys/devices/system/cpu/vulnerabilities/meltdown --
Mitigation: PTI
-- sys/devices/system/cpu/vulnerabilities/mds --
Vulnerable: Clear CPU buffers attempted, no microcode; SMT vulnerable
-- sys/devices/system/cpu/vulnerabilities/tsx_async_abort --
Not affected
-- links --
sys/bus/pci/devices/0000:00:02.0/driver -> ../../../bus/pci/drivers/i915
sys/bus/pci/devices/0000:01:00.0/driver -> ../../../bus/pci/drivers/nvidia
sys/bus/pci/devices/0000:03:00.0/driver -> ../../../bus/pci/drivers/amdgpu
sys/bus/usb/devices/1-2:1.0/driver -> ../../../bus/usb/drivers/usbhid
sys/bus/usb/devices/1-2:1.1/driver -> ../../../bus/usb/drivers/usbhid
sys/class/drm/card0/device -> ../../../0000:00:02.0
sys/class/drm/card2/device -> ../../../devices/platform/gpu.1
sys/class/hwmon/hwmon3/device -> ../../../coretemp.0
`

// workstationTree writes the machine with what cannot stand in text.
func workstationTree(t testing.TB) string {
	t.Helper()
	h := probetest.Unpack(t, []byte(workstation))
	root, err := h.Path("/")
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("sys/class/drm/card0-HDMI-A-1/edid", display("DEL", fullHD, says(0xfc, "EX 27")))
	attributes := binary.LittleEndian.AppendUint32(nil, 6)
	write("sys/firmware/efi/efivars/SecureBoot"+globalVariable, append(attributes, 1))
	write("sys/firmware/efi/efivars/SetupMode"+globalVariable, append(attributes, 0))
	write("sys/firmware/efi/efivars/MokSBStateRT"+shimLock, append(attributes, 1))
	return root
}

func TestWorkstation(t *testing.T) {
	probetest.GoldenSections(t, "made-workstation-devices", probetest.Sections(probe.RootHost(workstationTree(t)), New()))
}

func TestMissingSysIsUnsupported(t *testing.T) {
	for name, s := range probetest.Sections(probe.RootHost(t.TempDir()), New()) {
		if s.Status != facts.StatusUnsupported || !strings.HasPrefix(s.Reason, "no /sys") {
			t.Errorf("%s is %v: %s", name, s.Status, s.Reason)
		}
	}
}

func TestMachineWithNothingPluggedInIsEmpty(t *testing.T) {
	h := probetest.Unpack(t, []byte("-- sys/bus/pci/devices/ --\n-- sys/bus/usb/devices/ --\n-- sys/class/drm/ --\n-- sys/class/hwmon/ --\n"))
	s := probetest.Sections(h, New())
	for _, name := range []string{"pci_devices", "usb_devices", "gpus", "monitors", "sensors"} {
		if s[name].Status != facts.StatusEmpty {
			t.Errorf("%s is %v: %s", name, s[name].Status, s[name].Reason)
		}
	}
}

func TestDamagedFilesSpoilTheirOwnRowAlone(t *testing.T) {
	root := workstationTree(t)
	whole := probetest.Sections(probe.RootHost(root), New())
	for kind, damage := range probetest.Damages() {
		if kind == "gone" || kind == "empty" {
			continue
		}
		for _, name := range []string{
			"sys/bus/pci/devices/0000:00:02.0/modalias", "sys/bus/usb/devices/1-2/idVendor", "sys/bus/usb/devices/1-2/product",
			"sys/class/drm/card0-HDMI-A-1/edid", "sys/class/hwmon/hwmon3/temp1_max", "usr/share/misc/pci.ids",
			"sys/firmware/efi/efivars/SecureBoot" + globalVariable, "sys/kernel/security/lockdown",
		} {
			old, err := os.ReadFile(filepath.Join(root, name))
			if err != nil {
				t.Fatal(err)
			}
			probetest.Write(t, root, name, damage(old))
			for id, s := range probetest.Sections(probe.RootHost(root), New()) {
				if lost := len(whole[id].Rows) - len(s.Rows); lost < 0 || lost > 1 {
					t.Errorf("%s %s: %s has %d of %d rows", kind, name, id, len(s.Rows), len(whole[id].Rows))
				}
			}
			probetest.Write(t, root, name, old)
		}
	}
}

func TestDevicesAreReadAgainWhenTheyChange(t *testing.T) {
	root := workstationTree(t)
	h, p := probe.RootHost(root), New()
	first := probetest.Sections(h, p)
	if d := cmp.Diff(first, probetest.Sections(h, p)); d != "" {
		t.Errorf("a second reading differs:\n%s", d)
	}
	probetest.Write(t, root, "sys/bus/usb/devices/1-2/product", []byte("Other\n"))
	probetest.Write(t, root, "sys/bus/usb/devices/1-2/idProduct", []byte("c534\n"))
	driver := filepath.Join(root, "sys/bus/pci/devices/0000:00:02.0/driver")
	if err := os.Remove(driver); err != nil {
		t.Fatal(err)
	}
	s := probetest.Sections(h, p)
	if row := s["usb_devices"].Rows[0].(*facts.USBDeviceRow); row.Product != "Other" {
		t.Errorf("product is %q", row.Product)
	}
	if row := s["pci_devices"].Rows[0].(*facts.PCIDeviceRow); row.Driver != "" {
		t.Errorf("driver is %q", row.Driver)
	}
}

func BenchmarkCollect(b *testing.B) {
	probetest.Benchmark(b, probe.LiveHost(), New())
}

func BenchmarkFirstReading(b *testing.B) {
	h := probe.RootHost(workstationTree(b))
	b.ReportAllocs()
	for b.Loop() {
		probetest.Sections(h, New())
	}
}

// TestVulnerabilitiesEqualTheKernels asks the machine that runs the test.
func TestVulnerabilitiesEqualTheKernels(t *testing.T) {
	files, err := filepath.Glob(vulnerabilityFolder + "/*")
	if err != nil || len(files) == 0 {
		t.Skipf("the kernel tells of none: %v", err)
	}
	got := make(map[string]string)
	for _, row := range probetest.Sections(probe.LiveHost(), New())["boot_security"].Rows {
		r := row.(*facts.BootSecurityRow)
		if name, ok := strings.CutPrefix(r.Name, "vulnerability:"); ok {
			got[name] = r.Detail
		}
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if got[filepath.Base(f)] != strings.TrimSpace(string(b)) {
			t.Errorf("%s: %q, the kernel says %q", f, got[filepath.Base(f)], b)
		}
	}
}
