package agent

import (
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

// everything is one tree of all recorded hosts.
func everything(t *testing.T) map[string]string {
	t.Helper()
	archives, err := filepath.Glob("../testdata/hosts/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("%d hosts, %v", len(archives), err)
	}
	files := map[string]string{
		"proc/cmdline": "quiet\n", "etc/sudoers": "root ALL=(ALL) ALL\n", "etc/fstab": "/dev/sdx1 /backup ext4 noauto 0 2\n/dev/sdx2 /old ext4 noauto 0 2\n",
		"etc/crypttab": "a /dev/sdy1 none luks\nb /dev/sdy2 none luks\n",
	}
	for _, a := range archives {
		if filepath.Base(a) == "linux-storage.txtar" {
			continue // has other disks of the same names
		}
		maps.Copy(files, probetest.Files(t, strings.TrimSuffix(filepath.Base(a), ".txtar")))
	}
	return files
}

// inventory takes two: what is told once must be told again while nothing has changed.
func inventory(t *testing.T, root string, sections ...facts.ID) map[facts.ID]facts.Reading {
	t.Helper()
	probes := InventoryProbes(DefaultConfig(), sections...)
	out := make(map[facts.ID]facts.Reading)
	for _, r := range probe.RunOnce(context.Background(), probe.RootHost(root), probes...).Readings {
		out[r.Section] = r
	}
	for _, r := range probe.RunOnce(context.Background(), probe.RootHost(root), probes...).Readings {
		if first := out[r.Section]; first.Status != r.Status || first.Reason != r.Reason {
			t.Errorf("%s is %v (%s) and then %v (%s)", r.Section, first.Status, first.Reason, r.Status, r.Reason)
		}
	}
	return out
}

// columns counts what is known of a row.
func columns(row facts.Row) (known int) {
	v := reflect.ValueOf(row).Elem()
	for i := range v.NumField() {
		if !v.Field(i).IsZero() {
			known++
		}
	}
	return known
}

// silent checks that no section has lost rows or columns without saying so.
func silent(t *testing.T, what string, before, now map[facts.ID]facts.Reading) {
	t.Helper()
	for id, r := range now {
		if looked := r.Status.Complete() || r.Status == facts.StatusUnsupported; looked && r.Reason == "" && len(r.Rows) < len(before[id].Rows) {
			t.Errorf("%s: %s is %v with %d rows instead of %d", what, id, r.Status, len(r.Rows), len(before[id].Rows))
		} else if looked && r.Reason == "" {
			known := make(map[string]int)
			for _, row := range before[id].Rows {
				known[row.Key()] = columns(row)
			}
			for _, row := range r.Rows {
				if now, was := columns(row), known[row.Key()]; now < was {
					t.Errorf("%s: %s is %v with %d columns of %q instead of %d", what, id, r.Status, now, row.Key(), was)
				}
			}
		}
	}
}

// TestWhatMayNotBeReadNeverLooksEmpty takes the rights from one folder after the other.
func TestWhatMayNotBeReadNeverLooksEmpty(t *testing.T) {
	root := probetest.Tree(t, everything(t))
	before := inventory(t, root)
	for _, dir := range []string{
		"etc", "etc/apt", "etc/apt/sources.list.d", "etc/chrony", "etc/systemd", "proc", "proc/1", "proc/net", "proc/sys", "run/systemd/netif/links",
		"sys", "sys/block", "sys/class", "sys/class/dmi", "sys/class/net", "sys/class/net/eth0", "sys/fs/cgroup", "usr", "usr/lib", "var", "var/lib",
		"var/lib/dpkg", "var/lib/dpkg/info", "var/lib/apt/lists",
	} {
		t.Run(strings.ReplaceAll(dir, "/", "_"), func(t *testing.T) {
			probetest.Deny(t, root, dir)
			silent(t, dir, before, inventory(t, root))
		})
	}
}

// harms are what becomes of a file when a disk, a program or a hand damages it.
var harms = map[string]func(t *testing.T, file string, old []byte){
	"NUL bytes": func(t *testing.T, file string, old []byte) {
		write(t, file, make([]byte, max(len(old), 100)))
	},
	"a tail of NUL bytes": func(t *testing.T, file string, old []byte) {
		write(t, file, append(bytes.Clone(old[:len(old)/2]), make([]byte, max(len(old), 100))...))
	},
	"nothing in it": func(t *testing.T, file string, _ []byte) { write(t, file, nil) },
	"a pipe":        func(t *testing.T, file string, _ []byte) { must(t, syscall.Mkfifo(file, 0o644)) },
	"a folder":      func(t *testing.T, file string, _ []byte) { must(t, os.Mkdir(file, 0o755)) },
	"a loop":        func(t *testing.T, file string, _ []byte) { must(t, os.Symlink(filepath.Base(file), file)) },
	"a huge one": func(t *testing.T, file string, _ []byte) {
		write(t, file, nil)
		must(t, os.Truncate(file, 1<<40)) // a hole
	},
}

// harmless are the harms that may pass in silence, and why.
var harmless = map[string]string{
	"a tail of NUL bytes of proc/":                            "the kernel pads some of its files",
	"nothing in it of etc/fstab":                              "nothing to mount",
	"nothing in it of etc/crypttab":                           "nothing to open",
	"nothing in it of etc/hosts":                              "no names",
	"nothing in it of etc/sudoers":                            "no rules",
	"nothing in it of etc/nsswitch.conf":                      "the order that is built in",
	"nothing in it of run/systemd/resolve/stub-resolv.conf":   "no servers",
	"nothing in it of run/systemd/resolve/resolv.conf":        "no servers",
	"nothing in it of etc/apt/sources.list.d/debian.sources":  "how a source is switched off",
	"nothing in it of proc/net/route":                         "a network namespace without addresses",
	"nothing in it of proc/net/fib_trie":                      "a network namespace without addresses",
	"nothing in it of proc/cmdline":                           "a kernel without arguments",
	"a folder of etc/apt/sources.list.d/debian.sources":       "apt passes over folders, so the source is gone",
	"a folder of usr/local/share/ca-certificates/example.crt": "a folder of certificates",
}

// TestDamagedFilesNeverLookEmpty damages one file after the other, in each way.
func TestDamagedFilesNeverLookEmpty(t *testing.T) {
	files := everything(t)
	root := probetest.Tree(t, files)
	before := inventory(t, root)
	for _, name := range []string{
		"etc/passwd", "etc/group", "etc/hosts", "run/systemd/resolve/stub-resolv.conf", "etc/nsswitch.conf", "etc/os-release", "etc/fstab", "etc/crypttab", "etc/sudoers",
		"etc/apt/sources.list.d/debian.sources", "etc/ssl/certs/ca-certificates.crt", "etc/chrony/chrony.conf", "proc/cpuinfo", "proc/meminfo",
		"proc/mdstat", "proc/swaps", "proc/net/route", "proc/net/tcp", "proc/net/fib_trie", "proc/1/mountinfo", "run/systemd/resolve/resolv.conf",
		"run/systemd/netif/links/2", "usr/local/share/ca-certificates/example.crt", "var/lib/dpkg/status",
		"proc/sys/kernel/osrelease", "proc/sys/kernel/hostname", "proc/cmdline",
	} {
		old, ok := files[name]
		if !ok {
			t.Errorf("no recorded host has %s", name)
			continue
		}
		file := filepath.Join(root, name)
		for _, how := range slices.Sorted(maps.Keys(harms)) {
			top, _, _ := strings.Cut(name, "/")
			if harmless[how+" of "+name]+harmless[how+" of "+top+"/"] != "" {
				continue
			}
			must(t, os.Remove(file))
			harms[how](t, file, []byte(old))
			silent(t, name+" is "+how, before, inventory(t, root))
			must(t, os.RemoveAll(file))
			write(t, file, []byte(old))
		}
	}
}

// TestADamagedAttributeIsToldOf fills the small files of /sys with NUL bytes, one after the
// other: of those whose paths differ by numbers alone, the first.
func TestADamagedAttributeIsToldOf(t *testing.T) {
	files := everything(t)
	root := probetest.Tree(t, files)
	some := []facts.ID{facts.CPUs, facts.PCIDevices, facts.BlockDevices, facts.Interfaces, facts.Services, facts.Kernel} // of the probes that read /sys
	before := inventory(t, root, some...)
	digits, seen := regexp.MustCompile(`[0-9]+`), make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		kind := digits.ReplaceAllString(name, "")
		if old := files[name]; !seen[kind] && strings.HasPrefix(name, "sys/") && old != "" && !strings.HasPrefix(old, "-> ") {
			seen[kind] = true
			file := filepath.Join(root, name)
			write(t, file, make([]byte, 100))
			silent(t, name, before, inventory(t, root, some...))
			write(t, file, []byte(old))
		}
	}
}

func write(t *testing.T, file string, data []byte) {
	t.Helper()
	must(t, os.WriteFile(file, data, 0o644))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestAnEmptyRootHasNothingOfAnything: no section of a machine without files is complete.
func TestAnEmptyRootHasNothingOfAnything(t *testing.T) {
	for id, r := range inventory(t, t.TempDir()) {
		if id != facts.PatchState && (r.Status != facts.StatusUnsupported || len(r.Rows) > 0 || r.Reason == "") {
			t.Errorf("%s is %v with %d rows, %q", id, r.Status, len(r.Rows), r.Reason)
		}
	}
}

// TestDamagedTreesSayWhatIsWrong: one small tree a line, of which one section is looked at.
func TestDamagedTreesSayWhatIsWrong(t *testing.T) {
	f := func(section facts.ID, status facts.Status, rows int, reason string, files map[string]string) {
		t.Helper()
		r := inventory(t, probetest.Tree(t, files))[section]
		if r.Status != status || len(r.Rows) != rows || !strings.Contains(r.Reason, reason) || len(r.Reason) > 120 {
			t.Errorf("%s is %v with %d rows (%s), want %v with %d (%s)", section, r.Status, len(r.Rows), r.Reason, status, rows, reason)
		}
	}
	const noise = "\xbd7\xf9\r\x87\xe2<\n\xff\x01"
	const mounts = "/dev/sda1 / ext4 rw 0 0\nproc /proc proc rw 0 0\n"
	f(facts.BlockDevices, facts.StatusFailed, 0, "size of sda", map[string]string{"sys/block/sda/size": noise})
	f(facts.EncryptedVolumes, facts.StatusFailed, 0, "size of sda", map[string]string{"sys/block/sda": noise})
	f(facts.BlockDevices, facts.StatusPartial, 1, "size of sda", map[string]string{
		"sys/block/sda/size": noise, "sys/block/sdb/size": "8", "sys/block/sdb/dev": "8:16"})
	f(facts.PCIDevices, facts.StatusFailed, 0, "0000:00:1f.2", map[string]string{"sys/bus/pci/devices/0000:00:1f.2/modalias": noise})
	f(facts.USBDevices, facts.StatusFailed, 0, "1-1", map[string]string{"sys/bus/usb/devices/1-1/idVendor": "zzzz", "sys/bus/usb/devices/1-1/idProduct": "zzzz"})
	f(facts.Mounts, facts.StatusFailed, 0, "fstab: damaged", map[string]string{"etc/fstab": noise})
	f(facts.Mounts, facts.StatusOK, 2, "", map[string]string{"proc/mounts": mounts})
	f(facts.Filesystems, facts.StatusOK, 1, "", map[string]string{"proc/mounts": mounts})
	f(facts.Mounts, facts.StatusFailed, 0, "NUL bytes", map[string]string{"proc/mounts": "\x00\x00"})
	f(facts.Processes, facts.StatusUnsupported, 0, "no process", map[string]string{"proc/uptime": "1 1\n"})
	f(facts.RestartNeeded, facts.StatusUnsupported, 0, "no process tells", map[string]string{"proc/1/comm": "init\n"})
	f(facts.KernelModules, facts.StatusUnsupported, 0, "no /proc/modules", map[string]string{"proc/uptime": "1 1\n"})
	f(facts.KernelModules, facts.StatusFailed, 0, "no text", map[string]string{"proc/modules": noise})
	f(facts.Swaps, facts.StatusFailed, 0, "no text", map[string]string{"proc/swaps": noise})
	f(facts.Connections, facts.StatusUnsupported, 0, "no tables of sockets in /proc/net", map[string]string{"etc/hostname": "a\n"})
	f(facts.Batteries, facts.StatusFailed, 0, "cut off", map[string]string{"sys/firmware/dmi/tables/DMI": "\x00\x18\x00\x00\x01\x02"})
	f(facts.Board, facts.StatusEmpty, 0, "", map[string]string{"sys/class/dmi/id/bios_vendor": "ACME\n"})
	f(facts.BIOS, facts.StatusOK, 1, "", map[string]string{"sys/class/dmi/id/bios_vendor": "ACME\n"})
	const pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	f(facts.Certificates, facts.StatusFailed, 0, "1 of 1 certificates", map[string]string{"etc/ssl/certs/ca-certificates.crt": pem})
	f(facts.Certificates, facts.StatusFailed, 0, "1 of 1 certificates", map[string]string{"usr/local/share/ca-certificates/own.crt": pem, "etc/hostname": "a\n"})
}
