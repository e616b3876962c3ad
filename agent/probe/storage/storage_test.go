package storage

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

func TestRecordedHost(t *testing.T) {
	probetest.Golden(t, "debian-12-storage", New())
}

func TestStorageServer(t *testing.T) {
	probetest.Golden(t, "linux-storage", New())
}

// TestADamagedFileSpoilsOnlyItself damages one file of the server after another: no row
// is invented, and what cannot be told from a source that is there is no clean absence.
func TestADamagedFileSpoilsOnlyItself(t *testing.T) {
	files := probetest.Files(t, "linux-storage")
	root := probetest.Tree(t, files)
	for kind, damage := range probetest.Damages() {
		t.Run(kind, func(t *testing.T) {
			for name, content := range files {
				if strings.HasPrefix(content, "-> ") || strings.HasPrefix(name, "sys/") && !strings.Contains(name, "sda/sda2/") {
					continue // one device stands for all
				}
				if kind == "huge" && !strings.HasPrefix(name, "proc/") && !strings.HasPrefix(name, "etc/") {
					continue // files of sysfs have a page
				}
				probetest.Write(t, root, name, damage([]byte(content)))
				for id, s := range probetest.Sections(probe.RootHost(root), New()) {
					source := map[string]string{"etc/lvm/backup/data": "lvm_volumes", "proc/mdstat": "raid_arrays", "proc/swaps": "swaps"}[name]
					if source == id && kind == "garbage" && s.Status.Complete() {
						t.Errorf("%s: %s is %v with %d rows", name, id, s.Status, len(s.Rows))
					}
					if len(s.Rows) > 60 {
						t.Errorf("%s: %s has %d rows", name, id, len(s.Rows))
					}
				}
				probetest.Write(t, root, name, []byte(content))
			}
		})
	}
}

// lsblkDevice is what lsblk -J says of a device. Old versions write all as strings.
type lsblkDevice struct {
	KName, Type string
	Parent      string        `json:"pkname"`
	MajMin      string        `json:"maj:min"`
	Size        any           `json:"size"`
	Log         any           `json:"log-sec"`
	Phy         any           `json:"phy-sec"`
	Rota        any           `json:"rota"`
	RM, RO      any           // bool, or "0" and "1"
	Children    []lsblkDevice `json:"children"`
}

func (d lsblkDevice) flatten(out map[string]string) {
	flag := func(v any) bool { return v == true || v == "1" }
	size := fmt.Sprint(d.Size)
	if n, ok := d.Size.(json.Number); ok {
		size = n.String()
	}
	out[d.KName] = fmt.Sprintln(d.Type, d.MajMin, size, flag(d.RM), flag(d.RO), d.Log, d.Phy, flag(d.Rota))
	for _, c := range d.Children {
		c.flatten(out)
	}
}

// TestSameAsLsblk compares with util-linux on the machine of the test.
func TestSameAsLsblk(t *testing.T) {
	lsblk, err := exec.LookPath("lsblk")
	if err != nil || runtime.GOOS != "linux" {
		t.Skip("lsblk(8) is not installed")
	}
	out, err := exec.Command(lsblk, "-J", "-b", "-o", "KNAME,MAJ:MIN,RM,SIZE,RO,TYPE,LOG-SEC,PHY-SEC,ROTA").Output()
	if err != nil {
		t.Skipf("lsblk: %v", err)
	}
	var doc struct {
		Devices []lsblkDevice `json:"blockdevices"`
	}
	dec := json.NewDecoder(bytes.NewReader(out))
	dec.UseNumber()
	if err := dec.Decode(&doc); err != nil {
		t.Fatalf("lsblk: %v", err)
	}
	want, got := make(map[string]string), make(map[string]string)
	for _, d := range doc.Devices {
		d.flatten(want)
	}
	for _, row := range probetest.Sections(probe.LiveHost(), New())["block_devices"].Rows {
		r := row.(*facts.BlockDeviceRow)
		got[r.Name] = fmt.Sprintln(r.Type, r.MajorMinor, r.SizeBytes, r.Removable, r.ReadOnly, r.SectorBytes, r.PhysicalSectorBytes, r.Rotational)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("lsblk (-) and we (+) differ:\n%s", d)
	}
}

// stacked is a machine with a SATA disk that carries LVM on LUKS, a RAID of two NVMe
// disks, an optical drive, an empty loop device and a RAM disk.
const stacked = `
-- sys/devices/pci0/ata1/host0/block/sda/dev --
8:0
-- sys/devices/pci0/ata1/host0/block/sda/size --
2048
-- sys/devices/pci0/ata1/host0/block/sda/ro --
0
-- sys/devices/pci0/ata1/host0/block/sda/removable --
0
-- sys/devices/pci0/ata1/host0/block/sda/queue/rotational --
1
-- sys/devices/pci0/ata1/host0/block/sda/queue/logical_block_size --
512
-- sys/devices/pci0/ata1/host0/block/sda/device/model --
EXAMPLE DISK 1  
-- sys/devices/pci0/ata1/host0/block/sda/device/vendor --
ATA     
-- sys/devices/pci0/ata1/host0/block/sda/device/rev --
0A01
-- sys/devices/pci0/ata1/host0/block/sda/device/wwid --
naa.5000c500a0b1c2d3
-- sys/devices/pci0/ata1/host0/block/sda/sda1/dev --
8:1
-- sys/devices/pci0/ata1/host0/block/sda/sda1/partition --
1
-- sys/devices/pci0/ata1/host0/block/sda/sda1/size --
1024
-- sys/devices/pci0/ata1/host0/block/sda/sda1/ro --
0
-- sys/devices/pci0/ata1/host0/block/sda/sda1/holders/dm-0/dev --
252:0
-- sys/devices/virtual/block/dm-0/dev --
252:0
-- sys/devices/virtual/block/dm-0/size --
1000
-- sys/devices/virtual/block/dm-0/dm/name --
luks-1
-- sys/devices/virtual/block/dm-0/dm/uuid --
CRYPT-LUKS2-00112233445566778899aabbccddeeff-luks-1
-- sys/devices/virtual/block/dm-1/dev --
252:1
-- sys/devices/virtual/block/dm-1/size --
900
-- sys/devices/virtual/block/dm-1/dm/name --
vg-root
-- sys/devices/virtual/block/dm-1/dm/uuid --
LVM-abc
-- sys/devices/virtual/block/md0/dev --
9:0
-- sys/devices/virtual/block/md0/size --
4096
-- sys/devices/virtual/block/md0/md/level --
raid1
-- sys/devices/pci0/nvme/nvme0/nvme0n1/dev --
259:0
-- sys/devices/pci0/nvme/nvme0/nvme0n1/size --
4096
-- sys/devices/pci0/nvme/nvme0/nvme0n1/wwid --
eui.0025388b01234567
-- sys/devices/pci0/nvme/nvme0/nvme0n1/device/serial --
S1EXAMPLE      
-- sys/devices/pci0/nvme/nvme0/nvme0n1/device/firmware_rev --
2B2QEXM7
-- sys/devices/pci0/nvme/nvme0/nvme0c0n1/hidden --
1
-- sys/devices/pci0/nvme/nvme0/nvme0c0n1/size --
4096
-- sys/devices/pci0/ata2/block/sr0/dev --
11:0
-- sys/devices/pci0/ata2/block/sr0/size --
2097151
-- sys/devices/pci0/ata2/block/sr0/removable --
1
-- sys/devices/virtual/block/loop0/dev --
7:0
-- sys/devices/virtual/block/loop0/size --
0
-- sys/devices/virtual/block/ram0/dev --
1:0
-- sys/devices/virtual/block/ram0/size --
8192
-- run/udev/data/b8:1 --
S:disk/by-uuid/x
E:ID_FS_TYPE=crypto_LUKS
E:ID_FS_UUID=00112233-4455
E:ID_PART_ENTRY_UUID=aaaa-01
-- proc/self/mountinfo --
30 1 252:1 / / rw,relatime shared:1 - ext4 /dev/mapper/vg-root rw
-- links --
sys/block/sda -> ../devices/pci0/ata1/host0/block/sda
sys/block/dm-0 -> ../devices/virtual/block/dm-0
sys/block/dm-1 -> ../devices/virtual/block/dm-1
sys/block/md0 -> ../devices/virtual/block/md0
sys/block/nvme0n1 -> ../devices/pci0/nvme/nvme0/nvme0n1
sys/block/nvme0c0n1 -> ../devices/pci0/nvme/nvme0/nvme0c0n1
sys/block/sr0 -> ../devices/pci0/ata2/block/sr0
sys/block/loop0 -> ../devices/virtual/block/loop0
sys/block/ram0 -> ../devices/virtual/block/ram0
sys/block/gone -> ../devices/virtual/block/gone
dev/disk/by-uuid/5566-7788 -> ../../dm-1
dev/disk/by-label/my\x20root -> ../../dm-1
`

func TestStackedDevices(t *testing.T) {
	s := probetest.Sections(probetest.Unpack(t, []byte(stacked)), New())["block_devices"]
	want := []facts.Row{
		&facts.BlockDeviceRow{Name: "dm-0", Type: "crypt", SizeBytes: 512000, MajorMinor: "252:0", MapperName: "luks-1"},
		&facts.BlockDeviceRow{Name: "dm-1", Type: "lvm", SizeBytes: 460800, MajorMinor: "252:1", MapperName: "vg-root",
			FSType: "ext4", UUID: "5566-7788", Label: "my root"},
		&facts.BlockDeviceRow{Name: "md0", Type: "raid1", SizeBytes: 2 << 20, MajorMinor: "9:0"},
		&facts.BlockDeviceRow{Name: "nvme0n1", Type: "disk", SizeBytes: 2 << 20, MajorMinor: "259:0", Transport: "nvme",
			WWN: "eui.0025388b01234567", Serial: "S1EXAMPLE", Firmware: "2B2QEXM7"},
		&facts.BlockDeviceRow{Name: "sda", Type: "disk", SizeBytes: 1 << 20, MajorMinor: "8:0", Model: "EXAMPLE DISK 1", Transport: "sata",
			Firmware: "0A01", WWN: "0x5000c500a0b1c2d3", Rotational: true, SectorBytes: 512},
		&facts.BlockDeviceRow{Name: "sda1", Parent: "sda", Type: "part", SizeBytes: 512 << 10, MajorMinor: "8:1", FSType: "crypto_LUKS",
			UUID: "00112233-4455", PartUUID: "aaaa-01", Holders: "dm-0", Rotational: true, SectorBytes: 512, PartNumber: 1},
		&facts.BlockDeviceRow{Name: "sr0", Type: "rom", SizeBytes: 2097151 * 512, MajorMinor: "11:0", Transport: "sata", Removable: true},
	}
	if d := cmp.Diff(want, s.Rows); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// TestFstabOfADiskThatIsNotRunning: what is to be mounted is told, and that nobody knows what is.
func TestFstabOfADiskThatIsNotRunning(t *testing.T) {
	root := probetest.Tree(t, map[string]string{"etc/fstab": "/dev/sda1 / ext4 defaults 0 1\nnas:/x /mnt nfs ro,password=x 0 0\n/dev/sda2 none swap sw 0 0\n"})
	s := probetest.Sections(probe.RootHost(root), New())["mounts"]
	want := []facts.Row{
		&facts.MountRow{Target: "/", Source: "/dev/sda1", Type: "ext4", Options: "defaults", InFstab: true},
		&facts.MountRow{Target: "/mnt", Source: "nas:/x", Type: "nfs", Options: "ro,password=***", InFstab: true},
	}
	if diff := cmp.Diff(want, s.Rows); diff != "" || s.Status != facts.StatusPartial || !strings.Contains(s.Reason, "no table of mounts in /proc") {
		t.Errorf("%s %q -want +got:\n%s", s.Status, s.Reason, diff)
	}
}

func TestMissingSourcesAreUnsupported(t *testing.T) {
	for name, s := range probetest.Sections(probe.RootHost(t.TempDir()), New()) {
		if s.Status != facts.StatusUnsupported {
			t.Errorf("%s is %v, want unsupported", name, s.Status)
		}
	}
}

func TestLocalFilesystemsHaveASize(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("file systems are read on Linux only")
	}
	for _, row := range probetest.Sections(probe.LiveHost(), New())["filesystems"].Rows {
		if r := row.(*facts.FilesystemRow); r.Mount == "/" && !r.Remote {
			if r.SizeBytes <= 0 {
				t.Errorf("/ on %s has no size", r.Device)
			}
			return
		}
	}
	t.Skip("no local file system on / here")
}

func TestWhichFilesystemsAreListed(t *testing.T) {
	nodev := parseNodev("nodev\tsysfs\nnodev\tnfs\nnodev\ttmpfs\nnodev\toverlay\nnodev\tnewpseudo\n\text4\n")
	f := func(kind, point string, want bool) {
		t.Helper()
		if got := (mount{kind: kind, point: point}).wanted(nodev); got != want {
			t.Errorf("%s on %s: listed is %v, want %v", kind, point, got, want)
		}
	}
	f("ext4", "/", true)
	f("ext4", "/var/lib/docker", true)
	f("squashfs", "/snap/core/1", true)
	f("nfs", "/srv", true)
	f("fuse.sshfs", "/mnt", true)
	f("btrfs", "/", true)
	f("zfs", "/tank", true)
	f("overlay", "/", true)
	f("overlay", "/var/lib/docker/overlay2/x/merged", false)
	f("tmpfs", "/dev/shm", true)
	f("tmpfs", "/run/user/1000", false)
	f("tmpfs", "/sys/fs/cgroup", false)
	f("proc", "/proc", false)
	f("sysfs", "/sys", false)
	f("newpseudo", "/x", false)
	f("fuse.lxcfs", "/var/lib/lxcfs", false)
}

func TestRemoteFilesystems(t *testing.T) {
	for _, kind := range []string{"nfs", "nfs4", "cifs", "9p", "virtiofs", "fuse", "fuseblk", "fuse.sshfs", "ceph"} {
		if !probe.RemoteFS(kind) {
			t.Errorf("%s would be asked for its size", kind)
		}
	}
	for _, kind := range []string{"ext4", "xfs", "btrfs", "tmpfs", "fusectl"} {
		if probe.RemoteFS(kind) {
			t.Errorf("%s counts as remote", kind)
		}
	}
}

func TestParseMountInfo(t *testing.T) {
	in := `36 35 98:0 /mnt1 /mnt\0402 rw,noatime master:1 shared:2 - ext3 /dev/sda1 ro,errors=continue
37 35 0:50 / /srv rw - cifs //nas/share rw,username=u,password=p,vers=3
38 35 0:51 / / rw - overlay overlay rw,lowerdir=/a:/b,upperdir=/c
39 35 0:52 / /a` + "\u00a0" + `b\134 rw - fuse.x\040y h\043s rw
40 35 0:53 / /t rw - tmpfs  rw
damaged line - x
36 35 98:0 /mnt1 /mnt2 rw -
`
	want := []mount{
		{"98:0", "/mnt1", "/mnt 2", "ro,noatime,errors=continue", "ext3", "/dev/sda1"},
		{"0:50", "/", "/srv", "rw,username=u,password=***,vers=3", "cifs", "//nas/share"},
		{"0:51", "/", "/", "rw", "overlay", "overlay"},
		{"0:52", "/", "/a\u00a0b\\", "rw", "fuse.x y", "h#s"},
		{"0:53", "/", "/t", "rw", "tmpfs", ""}, // no name of a source
	}
	if d := cmp.Diff(want, parseMountInfo(in), cmp.AllowUnexported(mount{})); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestOnlyTheUppermostMountIsListed(t *testing.T) {
	got := visible([]mount{{point: "/a", source: "1"}, {point: "/b"}, {point: "/a", source: "2"}})
	if len(got) != 2 || got[1].source != "2" {
		t.Errorf("got %+v", got)
	}
}

func TestUnitSerial(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := unitSerial([]byte(in)); got != want {
			t.Errorf("unitSerial(%q) = %q, want %q", in, got, want)
		}
	}
	f("\x00\x80\x00\x08  SER001", "SER001")
	f("\x00\x80\x00\xff  SER", "SER")
	f("\x00\x83\x00\x04SER1", "")
	f("\x00\x80", "")
}

func TestUnhex(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := unhex(in); got != want {
			t.Errorf("unhex(%q) = %q, want %q", in, got, want)
		}
	}
	f(`my\x20disk`, "my disk")
	f(`a\x2`, `a\x2`)
	f(`a\xzz`, `a\xzz`)
	f(`\xff`, "")
	f("plain", "plain")
}

func FuzzMounts(f *testing.F) {
	f.Add("36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n")
	f.Add("/dev/sda1 / ext4 rw,relatime 0 0\n")
	f.Fuzz(func(t *testing.T, s string) {
		for _, m := range append(parseMountInfo(s), parseMounts(s)...) {
			m.wanted(nil)
		}
		probe.ParseUdev(s)
		parseNodev(s)
		unhex(s)
		unitSerial([]byte(s))
	})
}

func BenchmarkCollect(b *testing.B) {
	probetest.Benchmark(b, probe.LiveHost(), New())
}
