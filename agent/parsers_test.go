package agent

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
)

// samples are small files of kinds that are text, written by hand after their manuals.
var samples = map[string]string{
	"anacrontab":        "SHELL=/bin/sh\n7 10 cron.weekly run-parts /etc/cron.weekly\n@monthly 15 m run-parts /etc/cron.monthly\n",
	"apk":               "P:musl\nV:1.2.5-r0\nA:x86_64\n\n",
	"apk-repositories":  "https://dl-cdn.alpinelinux.org/alpine/v3.20/main\n@edge /media/cdrom/apks\n",
	"apt-conf":          "APT::Periodic::Enable \"1\";\nDPkg { Options { \"--force-confold\"; }; };\n",
	"apt-packages":      "Package: a\nVersion: 1\nArchitecture: all\n\n",
	"apt-preferences":   "Package: *\nPin: release a=stable\nPin-Priority: 900\n",
	"apt-release":       "Origin: Debian\nSuite: stable\nDate: Sat, 09 Nov 2024 10:00:00 UTC\nSHA256:\n 0000000000000000000000000000000000000000000000000000000000000000 12 main/binary-amd64/Packages\n",
	"apt-sources":       "deb http://deb.debian.org/debian bookworm main\n",
	"arp":               "IP address       HW type     Flags       HW address            Mask     Device\n192.0.2.1        0x1         0x2         02:00:00:00:00:01     *        eth0\n",
	"authorized_keys":   "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me\n",
	"chrony-conf":       "pool 2.debian.pool.ntp.org iburst\ndriftfile /var/lib/chrony/drift\n",
	"cpuinfo":           "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: X 2.00GHz\nphysical id\t: 0\ncore id\t: 0\n\n",
	"crontab":           "MAILTO=root\n17 * * * * root cd / && run-parts /etc/cron.hourly\n",
	"crypttab":          "root UUID=0b1c none luks,discard\n",
	"desktop":           "[Desktop Entry]\nName=X\nExec=/usr/bin/x\n",
	"doas":              "permit persist :wheel\n",
	"docker-config":     `{"ID":"0123","Name":"/web","State":{"Running":true}}`,
	"dpkg":              "Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n",
	"fstab":             "# root\nUUID=1-2 / ext4 defaults 0 1\n/dev/sda2 none swap sw\n",
	"gem":               "Gem::Specification.new do |s|\n  s.name = \"rake\".freeze\n  s.version = \"13.0\"\nend\n",
	"group":             "root:x:0:\nadm:x:4:syslog,me\n",
	"gshadow":           "root:*::\nadm:!:me:syslog,me\n",
	"hosts":             "127.0.0.1\tlocalhost\n::1 ip6-localhost\nfe80::1%eth0 gw # router\n",
	"if_inet6":          "00000000000000000000000000000001 01 80 10 80       lo\n",
	"ipv6_route":        "20010db8000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0\n",
	"iptables-save":     "*filter\n:INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n",
	"libvirt-domain":    "<domain type='kvm'><name>vm1</name><uuid>0b1c</uuid></domain>",
	"loadavg":           "0.46 0.64 0.57 1/94 28073\n",
	"lxc":               "lxc.uts.name = c1\nlxc.start.auto = 1\n",
	"mdstat":            "Personalities : [raid1]\nmd0 : active raid1 sdb1[1] sda1[0]\n      1047552 blocks super 1.2 [2/2] [UU]\n\nunused devices: <none>\n",
	"meminfo":           "MemTotal:  1024 kB\n",
	"modules":           "dm_mod 184320 2 dm_crypt, Live 0x0000000000000000\n",
	"mountinfo":         "36 35 98:0 / / rw,noatime shared:1 - ext3 /dev/root rw\n",
	"mounts":            "/dev/root / ext4 rw,relatime 0 0\n",
	"nix":               `{"version":2,"elements":[{"storePaths":["/nix/store/00bgd045z0d4icpbc2yyz4gx48ak44la-hello-2.12"]}]}`,
	"npm":               `{"name":"left-pad","version":"1.3.0"}`,
	"ntp-conf":          "server 0.pool.ntp.org iburst\nrestrict default nomodify\n",
	"oci-config":        `{"ociVersion":"1.0.2","hostname":"c","mounts":[{"destination":"/proc","type":"proc","source":"proc"}]}`,
	"os-release":        "NAME=\"Debian GNU/Linux\"\nID=debian\nVERSION_ID=\"12\"\n",
	"pacman":            "%NAME%\na\n\n%VERSION%\n1-1\n\n",
	"passwd":            "root:x:0:0:root:/root:/bin/bash\n",
	"pip":               "Metadata-Version: 2.1\nName: six\nVersion: 1.16.0\n",
	"podman-containers": `[{"id":"0123","names":["web"],"image":"4567"}]`,
	"proxmox-vm":        "name: vm1\ncores: 2\nmemory: 2048\nnet0: virtio=02:00:00:00:00:01,bridge=vmbr0\n",
	"release":           "CentOS release 5.11 (Final)\n",
	"resolv-conf":       "nameserver 192.0.2.1\nsearch example.com\n",
	"route":             "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\neth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n",
	"rpm-repo":          "[base]\nname=Base\nbaseurl=http://example.com/os\nenabled=1\n",
	"shadow":            "root:*:19700:0:99999:7:::\n",
	"snap":              "name: core20\nversion: '20240101'\n",
	"snapd-state":       `{"data":{"last-refresh":"2026-01-02T03:04:05Z","snaps":{"a":{"current":"1"}},"refresh-candidates":{"a":{"version":"2","side-info":{"revision":"2"}}}}}`,
	"sudoers":           "Defaults env_reset\nroot ALL=(ALL:ALL) ALL\n",
	"swaps":             "Filename\tType\tSize\tUsed\tPriority\n/dev/sda2 partition 1046524 0 -2\n",
	"sysctl.conf":       "net.ipv4.ip_forward = 1\n-vm/swappiness=10\n",
	"tcp":               "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0000000000000000 100 0 0 10 0\n",
	"timesyncd-conf":    "[Time]\nNTP=192.0.2.1\n",
	"unit":              "[Unit]\nDescription=X\n[Service]\nExecStart=/usr/bin/x \\\n  --port 1\n[Install]\nWantedBy=multi-user.target\n",
}

// alike are kinds that are other kinds too: a file of the first is one of the second.
var alike = map[[2]string]bool{
	{"dpkg", "apt-packages"}: true, {"mounts", "fstab"}: true, {"lxc", "sysctl.conf"}: true,
	{"libvirt-domain", "virsh"}: true, {"os-release", "release"}: true,
	{"tcp", "tcp6"}: true, {"tcp", "udp"}: true, {"tcp", "udp6"}: true,
	{"chrony-conf", "ntp-conf"}: true, {"ntp-conf", "chrony-conf"}: true, {"group", "gshadow"}: true,
}

func TestParseReadsWhatIsOfItsKind(t *testing.T) {
	byKind := map[string]probe.Parser{}
	for _, p := range Parsers() {
		byKind[p.Kind] = p
		if p.Form.Want == "" || p.Help == "" {
			t.Errorf("%s: does not say what it is", p.Kind)
		}
	}
	for kind, text := range samples {
		p, ok := byKind[kind]
		if !ok { // of Linux alone
			continue
		}
		got, err := p.Read(probe.Input{Name: "file", Data: []byte(text)})
		if err != nil || got == nil {
			t.Errorf("%s: %v, %v", kind, got, err)
		}
		if out, err := json.Marshal(got); err != nil || len(out) < 10 {
			t.Errorf("%s: %s, %v", kind, out, err)
		}
	}
}

func TestParseRefusesWhatIsOfAnotherKind(t *testing.T) {
	for _, p := range Parsers() {
		for kind, text := range samples {
			if kind == p.Kind || alike[[2]string{kind, p.Kind}] {
				continue
			}
			if got, err := p.Read(probe.Input{Name: "file", Data: []byte(text)}); err == nil {
				out, _ := json.Marshal(got)
				t.Errorf("%s was taken for %s: %s", kind, p.Kind, out)
			}
		}
	}
}

func TestParseRefusesGarbage(t *testing.T) {
	random := make([]byte, 70000)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	garbage := map[string][]byte{
		"nothing": nil, "zeros": make([]byte, 4096), "zeros of a page": make([]byte, 512), "random": random, "random page": random[:512],
		"prose": []byte("The quick brown fox jumps over the lazy dog.\nIt did so twice; nobody saw it.\n"),
		"json":  []byte(`{"a": 1, "b": [1, 2]}`), "html": []byte("<!DOCTYPE html>\n<html><body>404</body></html>\n"),
		"gzip": {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6, 7, 8}, "elf": append([]byte("\x7fELF\x02\x01\x01\x00"), make([]byte, 600)...),
	}
	for _, p := range Parsers() {
		for name, data := range garbage {
			got, err := p.Read(probe.Input{Name: "some/file", Data: data})
			switch {
			case name == "nothing" && p.Form.Empty:
				if err != nil {
					t.Errorf("%s: empty: %v", p.Kind, err)
				}
			case err == nil || got != nil:
				t.Errorf("%s: %s: got %v, error %v", p.Kind, name, got, err)
			default:
				for _, part := range []string{"some/file: not " + p.Kind, "want " + p.Form.Want} {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("%s: %s: %q does not say %q", p.Kind, name, err, part)
					}
				}
			}
		}
	}
}

// TestParseOfDamagedTextSaysSo puts NULs behind each sample, as a file system does after
// a crash, and cuts it everywhere.
func TestParseOfDamagedTextSaysSo(t *testing.T) {
	for _, p := range Parsers() {
		text, ok := samples[p.Kind]
		if !ok || p.Form.Binary || !strings.HasSuffix(text, "\n") {
			continue
		}
		got, err := p.Read(probe.Input{Name: "file", Data: append([]byte(text), make([]byte, 100)...)})
		if got == nil || err == nil || !strings.Contains(err.Error(), "read in part") {
			t.Errorf("%s: %v, %v", p.Kind, got, err)
		}
		for _, cut := range probetest.Cuts([]byte(text)) {
			if got, err := p.Read(probe.Input{Name: "file", Data: cut}); got == nil && err == nil {
				t.Errorf("%s: %q gives nothing and no reason", p.Kind, cut)
			}
		}
	}
}

func TestParseNamesTheLinesThatDoNotFit(t *testing.T) {
	for text, want := range map[string]string{
		"nonsense\n":             "not hosts: line 1 does not fit; want",
		"\nnonsense\n\nof two\n": "not hosts: line 2 does not fit, nor do 1 more; want",
	} {
		for _, p := range Parsers() {
			if p.Kind != "hosts" {
				continue
			}
			if _, err := p.Read(probe.Input{Name: "file", Data: []byte(text)}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want %q", text, err, want)
			}
		}
	}
}

func TestParseSaysThatALastLineIsCut(t *testing.T) {
	for _, p := range Parsers() {
		if text, ok := samples[p.Kind]; ok && p.Form.Ended {
			if got, err := p.Read(probe.Input{Name: "file", Data: []byte(strings.TrimSuffix(text, "\n"))}); err == nil {
				t.Errorf("%s: no error, got %v", p.Kind, got)
			}
		}
	}
}

// TestParseOfBadRecordsCostsLittle leaves out the form, which refuses most of these: what lies
// in its place on a machine is parsed without.
func TestParseOfBadRecordsCostsLittle(t *testing.T) {
	for _, p := range Parsers() {
		text, ok := samples[p.Kind]
		if !ok {
			continue
		}
		for name, data := range probetest.BadRecords([]byte(text)) {
			probetest.Bounded(t, p.Kind+", "+name, 250<<20, func() error {
				_, err := p.Parse(probe.Input{Name: "file", Data: data})
				return err
			})
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range samples {
		f.Add([]byte(text))
	}
	parsers := Parsers()
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, p := range parsers {
			if strings.HasPrefix(p.Help, "/proc/") && !strings.HasPrefix(p.Help, "/proc/net") {
				continue // through a folder of its own: slow, and fuzzed where it is read
			}
			got, err := p.Read(probe.Input{Name: "x", Data: bytes.Clone(data)})
			if err == nil && got == nil {
				t.Errorf("%s: nothing and no reason", p.Kind)
			}
			if _, err := json.Marshal(got); err != nil {
				t.Errorf("%s: %v", p.Kind, err)
			}
		}
	})
}
