package storage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

// asJSON is what parse prints, a line for each thing.
func asJSON[T any](t *testing.T, list []T) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for _, x := range list {
		if err := enc.Encode(x); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// gives returns a check that a parser makes these lines of a text, and whether without
// an error.
func gives[T any](t *testing.T, parse func([]byte) ([]T, error)) func(in, want string, ok bool) {
	return func(in, want string, ok bool) {
		t.Helper()
		got, err := parse([]byte(in))
		if text := asJSON(t, got); text != want || (err == nil) != ok {
			t.Errorf("%q gives\n%swith error %v, want\n%s", in, text, err, want)
		}
	}
}

func TestParseMDStat(t *testing.T) {
	f := gives(t, ParseMDStat)
	f("Personalities : [raid1]\nmd0 : active raid1 sdb1[1] sda1[0]\n      1047552 blocks super 1.2 [2/2] [UU]\n\nunused devices: <none>\n",
		`{"name":"md0","level":"raid1","state":"clean","devices":2,"working":2,"members":"sda1,sdb1","size_bytes":1072693248,"metadata":"1.2"}`+"\n", true)
	f("md1 : active (auto-read-only) raid5 sdd1[3](F) sdc1[2](S) sdb1[1] sda1[0]\n      2095104 blocks level 5, 64k chunk, algorithm 2 [3/2] [UU_]\n      \tresync=DELAYED\n",
		`{"name":"md1","level":"raid5","state":"degraded","action":"resync","devices":3,"working":2,"members":"sda1,sdb1,sdc1,sdd1","failed":"sdd1","spare":"sdc1","size_bytes":2145386496,"chunk_bytes":65536}`+"\n", true)
	f("md2 : active raid6 a[0] b[1]\n  8 blocks [5/2] [UU___]\n", `{"name":"md2","level":"raid6","state":"failed","devices":5,"working":2,"members":"a,b","size_bytes":8192}`+"\n", true)
	f("md3 : inactive sdc1[0](S)\n      1048576 blocks super external:imsm\n",
		`{"name":"md3","state":"inactive","devices":0,"working":0,"members":"sdc1","spare":"sdc1","size_bytes":1073741824,"metadata":"imsm"}`+"\n", true)
	f("md4 : active raid0 sdb1[1](F) sda1[0]\n      100 blocks 512k chunks\n",
		`{"name":"md4","level":"raid0","state":"failed","devices":2,"working":1,"members":"sda1,sdb1","failed":"sdb1","size_bytes":102400,"chunk_bytes":524288}`+"\n", true)
	f("md5 : active (read-only) linear a[0]\n", `{"name":"md5","level":"linear","state":"clean","devices":1,"working":1,"members":"a","read_only":true}`+"\n", true)
	f("Personalities : \nunused devices: <none>\n", "", true)
	f("what is this\n", "", false)
	f("", "", true)
}

func TestParseFstab(t *testing.T) {
	f := gives(t, ParseFstab)
	f("# comment\n\nUUID=1 / ext4 defaults 0 1\n", `{"source":"UUID=1","target":"/","type":"ext4","options":"defaults","dump":0,"pass":1}`+"\n", true)
	f(`//h/s /my\040disk cifs username=u,Password=p,credentials=/etc/c`, `{"source":"//h/s","target":"/my disk","type":"cifs","options":"username=u,Password=***,credentials=***","dump":0,"pass":0}`+"\n", true)
	f("/dev/sda /a xfs\n", `{"source":"/dev/sda","target":"/a","type":"xfs","options":"defaults","dump":0,"pass":0}`+"\n", true)
	f("/dev/sda\n/dev/sdb /b ext4 ro x y\n", `{"source":"/dev/sdb","target":"/b","type":"ext4","options":"ro","dump":0,"pass":0}`+"\n", false)
}

func TestParseSwaps(t *testing.T) {
	f := gives(t, ParseSwaps)
	const head = "Filename\tType\tSize\tUsed\tPriority\n"
	f(head+"/dev/sda2 partition 1000 5 -2\n", `{"name":"/dev/sda2","type":"partition","size_bytes":1024000,"used_bytes":5120,"priority":-2}`+"\n", true)
	f(head+"/s (deleted) file 1 0 1\n", `{"name":"/s","type":"file","size_bytes":1024,"used_bytes":0,"priority":1}`+"\n", true)
	f(head+"/s file x 0 1\n/t\n", "", false)
	f(head, "", true)
}

func TestParseCrypttab(t *testing.T) {
	f := gives(t, ParseCrypttab)
	f("a UUID=1 none luks\n", `{"name":"a","device":"UUID=1","unlock":"passphrase","options":"luks"}`+"\n", true)
	f("b /dev/sdb /etc/key luks,header=/etc/header,keyscript=/bin/x\n", `{"name":"b","device":"/dev/sdb","unlock":"file","options":"luks,header=***,keyscript=***"}`+"\n", true)
	f("c /dev/sdc - fido2-device=auto\n", `{"name":"c","device":"/dev/sdc","unlock":"fido2","options":"fido2-device=auto"}`+"\n", true)
	f("d /dev/sdd none pkcs11-uri=pkcs11:token=x\n", `{"name":"d","device":"/dev/sdd","unlock":"pkcs11","options":"pkcs11-uri=***"}`+"\n", true)
	f("e\nf /dev/sdf\n", `{"name":"f","device":"/dev/sdf","unlock":"passphrase"}`+"\n", false)
}

// entangled is a group of n volumes, each of which lies on all others and the same device.
func entangled(n int) []byte {
	var all strings.Builder
	for i := range n {
		fmt.Fprintf(&all, "\"lv%d\", ", i)
	}
	var b strings.Builder
	b.WriteString("vg {\nid = \"x\"\nphysical_volumes {\npv0 {\nid = \"p\"\ndevice = \"/dev/sda\"\n}\n}\nlogical_volumes {\n")
	for i := range n {
		fmt.Fprintf(&b, "lv%d {\nid = \"l%d\"\nstatus = [\"VISIBLE\"]\nsegment1 {\nraids = [%s\"pv0\"]\n}\n}\n", i, i, all.String())
	}
	b.WriteString("}\n}\n")
	return []byte(b.String())
}

// TestVolumesInACircleEnd has volumes that name each other: few, all of which have their
// devices, and more than are looked through, of which the same are left out each time.
func TestVolumesInACircleEnd(t *testing.T) {
	devices := func(n int) (of string, err error) {
		rows, err := ParseLVM(entangled(n))
		for _, r := range rows {
			if row := r.(*facts.LVMVolumeRow); row.Kind == "lv" {
				of += row.Name + "=" + row.Devices + " "
			}
		}
		return of, err
	}
	if got, err := devices(8); err != nil || strings.Count(got, "=sda ") != 8 {
		t.Errorf("%s, %v", got, err)
	}
	got, err := devices(300)
	if n := strings.Count(got, "=sda "); err == nil || !strings.Contains(err.Error(), "entangled") || n == 0 || n == 300 {
		t.Errorf("%d of 300 with devices, %v", n, err)
	}
	if again, _ := devices(300); again != got {
		t.Error("another reading gave other devices")
	}
}

func TestDamagedLVMMetadataIsAnError(t *testing.T) {
	whole := probetest.Files(t, "linux-storage")["etc/lvm/backup/data"]
	rows, err := ParseLVM([]byte(whole))
	if err != nil || len(rows) != 6 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	end := strings.LastIndexByte(whole, '}')
	for cut := range end {
		if got, err := ParseLVM([]byte(whole[:cut])); cut > strings.Index(whole, "data {")+6 && (err == nil || len(got) > len(rows)) {
			t.Fatalf("cut at %d: %d rows, %v", cut, len(got), err)
		}
	}
	f := gives(t, ParseLVM)
	f("v { id = \"x\" extent_size = 8192 }", `{"kind":"vg","name":"v","uuid":"x","free_bytes":0}`+"\n", true)
	f("v { id = [ }", "", false)
	f(strings.Repeat("a {", 100), "", false)
	f("}", "", false)
	f("a = \"\\\"", "", false)
	f("", "", true)
}

func TestNamesOfLogicalVolumes(t *testing.T) {
	f := func(in, group, name string, ok bool) {
		t.Helper()
		if g, n, k := lvmNames(in); g != group || n != name || k != ok {
			t.Errorf("lvmNames(%q) = %q, %q, %v", in, g, n, k)
		}
	}
	f("vg-lv", "vg", "lv", true)
	f("my--vg-my--lv--2", "my-vg", "my-lv-2", true)
	f("novg", "", "", false)
	f("-x", "", "x", false)
}

func TestCryptNames(t *testing.T) {
	f := func(in, kind, header string, ok bool) {
		t.Helper()
		if k, h, o := cryptName(in); k != kind || h != header || o != ok {
			t.Errorf("cryptName(%q) = %q, %q, %v", in, k, h, o)
		}
	}
	f("CRYPT-LUKS2-00112233445566778899aabbccddeeff-luks-1", "luks2", "00112233-4455-6677-8899-aabbccddeeff", true)
	f("CRYPT-PLAIN-swap", "plain", "", true)
	f("CRYPT-VERITY-x", "verity", "", true)
	f("LVM-x", "", "", false)
	f("CRYPT-", "", "", false)
}

func TestNVMePaths(t *testing.T) {
	f := func(in, disk, controller string) {
		t.Helper()
		if d, c := nvmePath(in); d != disk || c != controller {
			t.Errorf("nvmePath(%q) = %q, %q", in, d, c)
		}
	}
	f("nvme0c1n2", "nvme0n2", "nvme1")
	f("nvme0n1", "", "")
	f("nvme", "", "")
}

// TestSameAsBlkid makes file systems in files and compares with blkid(8).
func TestSameAsBlkid(t *testing.T) {
	blkid, err := exec.LookPath("blkid")
	if err != nil {
		t.Skip("blkid(8) is not installed")
	}
	f := func(program string, args ...string) {
		path, err := exec.LookPath(program)
		if err != nil {
			t.Logf("%s is not installed", program)
			return
		}
		image := filepath.Join(t.TempDir(), "image")
		if err := os.WriteFile(image, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		size := int64(128 << 20) // for mkfs.btrfs
		if program == "mkfs.xfs" {
			size = 320 << 20 // less it refuses
		}
		if err := os.Truncate(image, size); err != nil {
			t.Fatal(err)
		}
		folder := filepath.Dir(image)
		switch program {
		case "mksquashfs":
			args = append([]string{folder, image + "2"}, args...)
			image += "2"
		case "genisoimage":
			image += "2"
			args = append(args, "-o", image, folder)
		default:
			args = append(args, image)
		}
		if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", program, err, out)
		}
		out, err := exec.Command(blkid, "-p", "-o", "udev", image).Output()
		if err != nil {
			t.Fatal(err)
		}
		want := parseUevent(string(out))
		file, err := os.Open(image)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		answer, err := describe(file)
		got := probe.ParseUdev(string(answer))
		if err != nil {
			t.Error(err)
		}
		for _, name := range []string{"ID_FS_TYPE", "ID_FS_UUID", "ID_FS_LABEL_ENC", "ID_FS_VERSION", "ID_PART_TABLE_TYPE", "ID_PART_TABLE_UUID"} {
			if name == "ID_FS_VERSION" && want["ID_FS_TYPE"] == "swap" || strings.HasPrefix(name, "ID_PART") && want["ID_FS_TYPE"] == "exfat" {
				continue // the empty table of exFAT's boot sector is none
			}
			if unhex(got[name]) != unhex(want[name]) {
				t.Errorf("%s %v: %s is %q, blkid says %q", program, args, name, got[name], want[name])
			}
		}
	}
	f("mkfs.ext4", "-q", "-F", "-L", "my disk")
	f("mkfs.ext3", "-q", "-F")
	f("mkfs.ext2", "-q", "-F", "-L", "old")
	f("mkswap", "-L", "sw")
	f("mkfs.xfs", "-q", "-L", "x")
	f("mkfs.btrfs", "-q", "-L", "b")
	f("mkfs.vfat", "-F", "32", "-n", "FAT")
	f("mkfs.ntfs", "-q", "-F", "-L", "my ntfs é")
	f("mkfs.ntfs", "-q", "-F", "-c", "1024")
	f("mkfs.exfat", "-L", "my exé")
	f("mkfs.exfat", "-c", "32K")
	f("mkfs.f2fs", "-q", "-l", "my f2é")
	f("mksquashfs", "-quiet", "-noappend")
	f("genisoimage", "-quiet", "-J", "-R", "-V", "A label that is as long as it is")
	f("genisoimage", "-quiet", "-J", "-V", "Short one")
	f("genisoimage", "-quiet", "-R", "-V", "PLAIN")
}

// unread is a probe of devices of which some could not be asked.
type unread struct{ answers map[string]error }

func (unread) Info() probe.Info {
	return probe.Info{Name: "unread", Sections: []facts.ID{facts.BlockDevices, facts.EncryptedVolumes}}
}

func (u unread) Collect(_ context.Context, h *probe.Host, r *probe.Report) error {
	s := survey{host: h, report: r, content: new(content), rows: []*facts.BlockDeviceRow{
		{Name: "sda", Type: "disk"}, {Name: "sda1", Type: "part", Parent: "sda", FSType: "ext4"}, {Name: "sdb", Type: "disk"},
	}}
	var answers []probe.Answer
	for _, row := range s.rows {
		answers = append(answers, probe.Answer{Err: u.answers[row.Name]})
	}
	s.learn(s.rows, answers)
	for _, row := range s.rows {
		r.Add(facts.BlockDevices, row)
	}
	return nil
}

// TestDevicesThatAreNotReadAreTold: what is mounted or has partitions holds no encrypted volume.
func TestDevicesThatAreNotReadAreTold(t *testing.T) {
	denied := &fs.PathError{Op: "open", Path: "/dev/x", Err: fs.ErrPermission}
	const encrypted = "what is on sdb is not known: "
	for _, c := range []struct {
		refused         map[string]error
		devices, sealed string
	}{
		{nil, "ok ", "empty "},
		{map[string]error{"sda": errors.ErrUnsupported, "sdb": errors.ErrUnsupported}, "ok ", "empty "},
		{map[string]error{"sda": denied, "sda1": denied}, "partial type, uuid, label and table of what is on sda, sda1 are not known: open /dev/x: permission denied", "empty "},
		{map[string]error{"sdb": denied}, "partial type, uuid, label and table of what is on sdb are not known: open /dev/x: permission denied", "denied " + encrypted + "open /dev/x: permission denied"},
		{map[string]error{"sdb": probe.ErrNoAnswer}, "partial type, uuid, label and table of what is on sdb are not known: no answer", "failed " + encrypted + "no answer"},
	} {
		got := probetest.Sections(probe.RootHost(t.TempDir()), unread{c.refused})
		for section, want := range map[string]string{"block_devices": c.devices, "encrypted_volumes": c.sealed} {
			if s := got[section]; s.Status.String()+" "+s.Reason != want {
				t.Errorf("%v: %s is %s %s, want %s", c.refused, section, s.Status, s.Reason, want)
			}
		}
	}
}

func TestTablesOfPartitions(t *testing.T) {
	b := make([]byte, superblockBytes)
	copy(b[440:], "\x78\x56\x34\x12")
	b[446], b[446+4], b[510], b[511] = 0x80, 0x83, 0x55, 0xAA
	f := func(want string) {
		t.Helper()
		got, err := describe(bytes.NewReader(b))
		if err != nil || string(got) != want {
			t.Errorf("got %v\n%swant\n%s", err, got, want)
		}
	}
	f("E:ID_PART_TABLE_TYPE=dos\nE:ID_PART_TABLE_UUID=12345678\nE:PART1_TYPE=0x83\nE:PART1_UUID=12345678-01\n")
	copy(b[512:], "EFI PART")
	for i := range 16 {
		b[512+56+i], b[1024+i], b[1024+16+i] = byte(i+1), byte(0xF0+i), byte(0x20+i)
	}
	b[512+72], b[512+80], b[512+84] = 2, 4, 128
	copy(b[1024+56:], "r\x00o\x00o\x00t\x00")
	f("E:ID_PART_TABLE_TYPE=gpt\nE:ID_PART_TABLE_UUID=04030201-0605-0807-090a-0b0c0d0e0f10\nE:PART1_TYPE=f3f2f1f0-f5f4-f7f6-f8f9-fafbfcfdfeff\n" +
		"E:PART1_UUID=23222120-2524-2726-2829-2a2b2c2d2e2f\nE:PART1_NAME=root\n")
	clear(b)
	f("")
}

func FuzzFormats(f *testing.F) {
	files := probetest.Files(f, "linux-storage")
	for _, name := range []string{"etc/lvm/backup/data", "proc/mdstat", "etc/fstab", "etc/crypttab", "proc/swaps"} {
		f.Add([]byte(files[name]))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, parse := range []func([]byte) ([]facts.Row, error){ParseLVM, ParseMDStat} {
			rows, _ := parse(b)
			for _, r := range rows {
				if _, err := json.Marshal(r); err != nil {
					t.Errorf("%+v: %v", r, err)
				}
				if v, ok := r.(*facts.LVMVolumeRow); ok && v.SizeBytes < 0 {
					t.Errorf("%+v", v)
				}
			}
		}
		entries, _ := ParseFstab(b)
		for _, e := range entries {
			if strings.Contains(e.Options, "password=") && !strings.Contains(e.Options, "***") {
				t.Errorf("a password is told: %+v", e)
			}
		}
		_, _ = ParseCrypttab(b)
		_, _ = ParseSwaps(b)
	})
}

func FuzzDescribe(f *testing.F) {
	b := make([]byte, superblockBytes)
	b[510], b[511] = 0x55, 0xAA
	copy(b[512:], "EFI PART")
	b[512+72], b[512+80], b[512+84] = 2, 128, 128
	f.Add(bytes.Clone(b))
	copy(b[512:], "LABELONE")
	copy(b[512+24:], "LVM2 001")
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		answer, err := describe(bytes.NewReader(b))
		if len(answer) > 13<<10 || err == nil && bytes.ContainsRune(answer, 0) {
			t.Errorf("answer of %d bytes: %q", len(answer), answer)
		}
	})
}
