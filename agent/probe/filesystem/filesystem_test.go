package filesystem

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
)

func TestParseMountinfo(t *testing.T) {
	f := func(in string, want ...string) {
		t.Helper()
		var got []string
		for _, m := range parseMountinfo([]byte(in)) {
			got = append(got, fmt.Sprintf("%s %s %s %v %v", m.device, m.fstype, m.point, m.readOnly, m.suspect))
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%q gives\n%q, want\n%q", in, got, want)
		}
	}
	f("36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue", "/dev/root ext3 /mnt2 false false")
	f("36 35 98:0 / /a ro - ext3 /dev/a rw\n37 35 98:0 / /b rw - ext3 /dev/a ro\n", "/dev/a ext3 /a true false", "/dev/a ext3 /b true false")
	f(`36 35 98:0 / /my\040disk\134x\011 rw - vfat /dev/a rw`, `/dev/a vfat /my disk\x`+"\t false false")
	f("36 35 0:7 / /a\u00a0b\r rw - ext4 /dev/x\\043y rw\n", "/dev/x#y ext4 /a\u00a0b\r false false")
	f("36 35 0:7 / /t rw - tmpfs  ro\n", " tmpfs /t true false") // no name of a source
	f("36 35 0:7 / /n rw - nfs4 h:/x rw\n36 35 0:8 / /f rw - fuse.sshfs u@h: rw\n", "h:/x nfs4 /n false true", "u@h: fuse.sshfs /f false true")
	f("1 1 0:7 / /n rw - nfs h:/x rw\n1 1 8:1 / /n/in rw - ext4 /dev/a rw\n1 1 8:2 / /nn rw - ext4 /dev/b rw\n",
		"h:/x nfs /n false true", "/dev/a ext4 /n/in false true", "/dev/b ext4 /nn false false")
	f("1 1 0:1 / /run rw - tmpfs one rw\n1 1 0:2 / /run rw - tmpfs two rw\n", "two tmpfs /run false false")
	f("1 1 8:1 / /x rw - ext4 /dev/a rw\n1 1 0:2 / /x rw - autofs systemd-1 rw\n") // covered
	f("1 1 0:1 / /proc rw - proc proc rw\n1 1 0:1 / /dev/shm rw - tmpfs tmpfs rw\n1 1 8:1 / /var/lib/docker/overlay2/x rw - ext4 /dev/a rw\n")
	f("1 1 8:1 / /devices rw - ext4 /dev/a rw\n", "/dev/a ext4 /devices false false")
	f("1 1 8:1 / /x rw\n - ext4\n\n")
	f("")
}

func FuzzParseMountinfo(f *testing.F) {
	f.Add([]byte("36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"))
	f.Add([]byte(`36 35 98:0 / /my\040disk rw - vfat /dev/a rw`))
	f.Fuzz(func(t *testing.T, b []byte) {
		seen := make(map[string]bool)
		for _, m := range parseMountinfo(b) {
			if !utf8.ValidString(m.device + m.fstype + m.point) {
				t.Errorf("not UTF-8: %+v", m)
			}
			if seen[m.point] {
				t.Errorf("%q twice", m.point)
			}
			seen[m.point] = true
		}
	})
}

func TestTheDeviceOfRootIsNamed(t *testing.T) {
	root := probetest.Tree(t, map[string]string{
		"sys/devices/vda/vda1/": "", "sys/dev/block/254:1": "-> ../../devices/vda/vda1",
		"proc/1/mountinfo": "27 1 254:1 / / rw - ext4 /dev/root rw\n",
	})
	res := probe.RunOnce(t.Context(), probe.RootHost(root), New())
	if res.Err != nil || len(res.Frame.Samples) != 1 { // read-only alone: a folder has no size
		t.Fatalf("%d samples, %v", len(res.Frame.Samples), res.Err)
	}
	if l := res.Series[0].Labels; l[0].Value != "/dev/vda1" || l[2].Value != "/" {
		t.Errorf("labels: %v", l)
	}
}
