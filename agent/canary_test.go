package agent

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
)

// canary is a secret that lies in every file of the tree that may hold one. None may
// appear in an inventory.
const canary = "C4narySecret77x"

// canaryFiles is a machine with the secret in every place that people put one.
var canaryFiles = map[string]string{
	"etc/os-release":     "NAME=Debian\nID=debian\nVERSION_ID=12\n",
	"etc/passwd":         "root:x:0:0:root:/root:/bin/bash\nme:x:1000:1000::/home/me:/bin/bash\nold:" + canary + ":1001:1001::/home/old:/bin/sh\n",
	"etc/shadow":         "root:$6$" + canary + "$abc:19700:0:99999:7:::\nme:" + canary + ":19700:0:99999:7:::\n",
	"etc/gshadow":        "adm:" + canary + "::me\n",
	"etc/group":          "root:x:0:\nadm:" + canary + ":4:me\n",
	"etc/hosts":          "127.0.0.1 localhost\n",
	"etc/environment":    "http_proxy=http://me:" + canary + "@proxy:3128\nAPI_TOKEN=" + canary + "\nPATH=/bin\n",
	"etc/default/locale": "LANG=C\nSECRET=" + canary + "\n",
	"etc/crontab": "MAILTO=root\nDB_PASSWORD=" + canary + "\n1 2 * * * root mysqldump -p" + canary + " db && curl -sSu me:" + canary + " https://h\n" +
		"2 2 * * * root echo root:" + canary + " | chpasswd\n3 2 * * * root passwd --stdin root%" + canary + "\n4 2 * * * root sh -c \"curl -d '{\\\"pin\\\" : \\\"" + canary + "\\\"}' h\"\n",
	"etc/anacrontab":              "1 5 job curl -H 'Authorization: Bearer " + canary + "' https://h\n",
	"var/spool/cron/crontabs/me":  "@daily PGPASSWORD=" + canary + " pg_dump db\n",
	"etc/xdg/autostart/a.desktop": "[Desktop Entry]\nName=A\nExec=a --token " + canary + "\n",
	"etc/sudoers":                 "me ALL=(root) NOPASSWD: /usr/bin/mysql -p" + canary + " *\n",
	"etc/doas.conf":               "permit nopass me as root cmd a args --password " + canary + "\n",
	"root/.ssh/authorized_keys":   "command=\"backup --password " + canary + "\",environment=\"TOKEN=" + canary + "\" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me\n",
	"root/.ssh/id_rsa":            "-----BEGIN RSA PRIVATE KEY-----\n" + canary + "\n-----END RSA PRIVATE KEY-----\n",
	"etc/ssl/private/a.key":       "-----BEGIN PRIVATE KEY-----\n" + canary + "\n-----END PRIVATE KEY-----\n",
	"etc/fstab": "UUID=1-2 / ext4 defaults 0 1\n//h/s /mnt cifs username=me,password=" + canary + ",vers=3 0 0\n//h/t /t cifs credentials=/root/" + canary + " 0 0\n" +
		"sshfs#me:" + canary + "@host:/srv /srv fuse defaults 0 0\nhttps://me:" + canary + "@dav.example.com/ /dav davfs rw 0 0\n",
	"etc/crypttab":              "root UUID=1-2 /etc/keys/" + canary + " luks,keyscript=/bin/" + canary + "\n",
	"proc/cmdline":              "root=/dev/sda1 cryptkey=" + canary + " rd.luks.key=" + canary + " rd.iscsi.password=" + canary + " netroot=iscsi:me:" + canary + "@192.0.2.1::3260:1:iqn\n",
	"proc/mounts":               "//h/s /mnt cifs rw,username=me,password=" + canary + " 0 0\nsshfs#me:" + canary + "@host:/srv /srv fuse.sshfs rw 0 0\n",
	"proc/self/mountinfo":       "36 35 98:0 / / rw - ext4 /dev/sda1 rw\n37 36 0:40 / /mnt rw - cifs //me:" + canary + "@h/s rw,password=" + canary + "\n",
	"proc/1/environ":            "TOKEN=" + canary + "\x00LANG=C\x00https_proxy=http://me:" + canary + "@p\x00",
	"proc/sys/kernel/osrelease": "6.1.0\n",
	"sys/block/sda/size":        "2048\n",
	"sys/block/sda/dev":         "8:0\n",
	"proc/1/cmdline":            "/sbin/init\x00",
	"proc/1/stat":               "1 (init) S 0 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 17 1000 100 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0\n",
	"proc/1/status":             "Name:\tinit\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n",
	"proc/77/cmdline":           "mysql\x00-uroot\x00-p" + canary + "\x00db\x00",
	"proc/77/stat":              "77 (mysql) S 1 77 77 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 17 1000 100 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0\n",
	"proc/77/status":            "Name:\tmysql\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n",
	"proc/77/environ":           "MYSQL_PWD=" + canary + "\x00",
	"etc/systemd/system/a.service": "[Unit]\nDescription=Backup with --password " + canary + "\n[Service]\nEnvironment=TOKEN=" + canary +
		"\nExecStart=/usr/bin/a --api-key " + canary + "\n[Install]\nWantedBy=multi-user.target\n",
	"etc/systemd/system/a.timer":       "[Unit]\nDescription=curl -u me:" + canary + " https://h\n[Timer]\nOnCalendar=daily\nUnit=a.service\n",
	"etc/systemd/system/a.socket":      "[Unit]\nDescription=x token=" + canary + "\n[Socket]\nListenStream=80\n",
	"etc/init.d/b":                     "#!/bin/sh\n### BEGIN INIT INFO\n# Provides: b\n# Short-Description: runs app --token " + canary + "\n# Default-Start: 2\n### END INIT INFO\n",
	"etc/apt/sources.list":             "deb https://me:" + canary + "@deb.example.com/debian bookworm main\ndeb [signed-by=/k] https://h/debian?token=" + canary + " bookworm main\n",
	"etc/apt/sources.list.d/a.sources": "Types: deb\nURIs: https://me:" + canary + "@h/d\nSuites: bookworm\nComponents: main\n",
	"etc/apt/auth.conf":                "machine h login me password " + canary + "\n",
	"etc/apt/apt.conf":                 "Acquire::http::Proxy \"http://me:" + canary + "@proxy:3128\";\n",
	"etc/apt/preferences":              "Package: *\nPin: origin \"h\"\nPin-Priority: 900\n",
	"etc/yum.repos.d/a.repo":           "[a]\nname=A\nbaseurl=https://me:" + canary + "@h/os?key=" + canary + "\nusername=me\npassword=" + canary + "\nproxy=http://me:" + canary + "@p\nenabled=1\n",
	"etc/zypp/repos.d/a.repo":          "[a]\nname=A\nbaseurl=https://me:" + canary + "@h/os\nenabled=1\n",
	"etc/apk/repositories":             "https://me:" + canary + "@h/alpine/main\n",
	"etc/pacman.conf":                  "[core]\nServer = https://me:" + canary + "@h/$repo\n",
	"var/lib/dpkg/status":              "Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n",
	"var/lib/docker/containers/0123/config.v2.json": `{"ID":"0123","Name":"/web","State":{"Running":true},"Path":"a","Args":["--password","` + canary +
		`"],"Config":{"Image":"me:` + canary + `@h/img","Env":["TOKEN=` + canary + `"],"Cmd":["--token=` + canary + `"],"Labels":{"traefik.basicauth":"me:` + canary + `","com.example.token":"` + canary +
		`"}},"MountPoints":{"/d":{"Source":"/srv","Destination":"/d"}}}`,
	"var/lib/docker/containers/0123/hostconfig.json":       `{"RestartPolicy":{"Name":"always"},"Binds":["/srv:/d"],"LogConfig":{"Config":{"splunk-token":"` + canary + `"}}}`,
	"var/lib/lxc/c1/config":                                "lxc.uts.name = c1\nlxc.environment = TOKEN=" + canary + "\nlxc.mount.entry = //me:" + canary + "@h/s mnt cifs password=" + canary + " 0 0\n",
	"etc/libvirt/qemu/vm1.xml":                             "<domain type='kvm'><name>vm1</name><uuid>0b1c</uuid><title>token=" + canary + "</title><devices><graphics type='vnc' passwd='" + canary + "'/><disk><source protocol='iscsi' name='me:" + canary + "@h'/></disk></devices></domain>",
	"etc/pve/qemu-server/100.conf":                         "name: vm1\ncores: 1\nargs: -vnc :1,password=" + canary + "\ncipassword: " + canary + "\n",
	"etc/chrony/chrony.conf":                               "server ntp.example.com key 1\n",
	"etc/ntp.conf":                                         "server ntp.example.com\ncrypto pw " + canary + "\n",
	"etc/sysctl.conf":                                      "kernel.core_pattern = |/usr/bin/send --token " + canary + " %p\nnet.ipv4.tcp_fastopen_key = " + canary + "\n",
	"proc/sys/kernel/core_pattern":                         "|/usr/bin/send --token " + canary + " %p\n",
	"proc/sys/net/ipv4/tcp_fastopen_key":                   canary + "\n",
	"etc/modprobe.d/a.conf":                                "options wl password=" + canary + "\n",
	"sys/module/wl/parameters/psk":                         canary + "\n",
	"proc/modules":                                         "wl 184320 0 - Live 0x0000000000000000\n",
	"etc/wpa_supplicant.conf":                              "network={\n psk=\"" + canary + "\"\n}\n",
	"etc/NetworkManager/system-connections/a.nmconnection": "[wifi-security]\npsk=" + canary + "\n",
	"etc/iscsi/iscsid.conf":                                "node.session.auth.password = " + canary + "\n",
	"root/.git-credentials":                                "https://me:" + canary + "@github.com\n",
	"root/.netrc":                                          "machine h login me password " + canary + "\n",
	"root/.docker/config.json":                             `{"auths":{"h":{"auth":"` + canary + `"}}}`,
	"srv/app/.git/config":                                  "[remote \"origin\"]\n\turl = https://me:" + canary + "@h/r.git\n",
	"usr/lib/python3/dist-packages/a-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: a\nVersion: 1\nHome-page: https://me:" + canary + "@h\n",
	"usr/lib/node_modules/a/package.json":                  `{"name":"a","version":"1","repository":"https://me:` + canary + `@h","author":"me"}`,
	"etc/snmp/snmpd.conf":                                  "rocommunity " + canary + "\n",
	"etc/resolv.conf":                                      "nameserver 192.0.2.1\n",
	"var/lib/snapd/state.json":                             `{"data":{"auth":{"device":{"session-macaroon":"` + canary + `"}},"snaps":{"a":{"current":"1"}}}}`,
}

func TestNoSecretLeavesInAnInventory(t *testing.T) {
	root := probetest.Tree(t, canaryFiles)
	host := probe.RootHost(root)
	res := probe.RunOnce(context.Background(), host, InventoryProbes(DefaultConfig())...)
	var out bytes.Buffer
	doc := NewDocument(res.Readings, time.Unix(1700000000, 0))
	if err := doc.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	section := ""
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, "  \"") {
			section = strings.TrimSpace(line)
		}
		if strings.Contains(line, canary) {
			t.Errorf("%s %s", section, strings.TrimSpace(line))
		}
	}
	// The places must have been looked at, or the test proves nothing.
	for _, name := range []string{
		"users", "cron_jobs", "autostart", "sudo_rules", "authorized_keys", "mounts", "kernel", "environment", "processes", "services", "timers", "unit_sockets",
		"repositories", "containers", "virtual_machines", "encrypted_volumes", "kernel_parameters",
	} {
		if s, ok := doc.Sections[name]; !ok || len(s.Rows) == 0 {
			t.Errorf("section %s has no rows (%s %s)", name, s.Status, s.Reason)
		}
	}
}
