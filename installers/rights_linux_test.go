package installers

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// passwordsMatch compares the states of passwords with passwd(1), and looks for the hash.
func (c *container) passwordsMatch(users []map[string]any) {
	c.t.Helper()
	states := make(map[string]any)
	for _, u := range users {
		states[u["name"].(string)] = u["password"]
	}
	words := map[string]string{"P": "set", "L": "locked", "NP": "none"}
	for line := range strings.Lines(c.run("passwd", "--status", "--all")) {
		f := strings.Fields(line)
		if got := states[f[0]]; got != words[f[1]] {
			c.t.Errorf("the password of %s is %s, reported as %v", f[0], f[1], got)
		}
	}
	hash := strings.Split(c.run("grep", "^alice:", "/etc/shadow"), ":")[1]
	if out := c.run("atalaya", "host", "show", c.hosts()[0].ID, "--output", "json"); len(hash) < 20 || strings.Contains(out, hash[10:]) {
		c.t.Errorf("the collector knows the hash %q", hash)
	}
}

// watch tells which files of folders are opened from now on, by whom ever.
func (c *container) watch(folders ...string) (opened func() []string) {
	c.t.Helper()
	fd, err := syscall.InotifyInit1(syscall.IN_NONBLOCK | syscall.IN_CLOEXEC)
	if err != nil {
		c.t.Fatal(err)
	}
	names := make(map[int32]string)
	for _, f := range folders {
		wd, err := syscall.InotifyAddWatch(fd, filepath.Join(c.root, f), syscall.IN_OPEN)
		if err != nil {
			c.t.Fatalf("%s: %v", f, err)
		}
		names[int32(wd)] = f
	}
	return func() []string {
		defer syscall.Close(fd)
		var out []string
		buf := make([]byte, 1<<20)
		for {
			n, err := syscall.Read(fd, buf)
			if err != nil || n <= 0 { // EAGAIN: that is all
				slices.Sort(out)
				return slices.Compact(out)
			}
			for b := buf[:n]; len(b) >= syscall.SizeofInotifyEvent; {
				size := int(binary.NativeEndian.Uint32(b[12:]))
				if binary.NativeEndian.Uint32(b[4:])&syscall.IN_Q_OVERFLOW != 0 {
					c.t.Error("more files were opened than could be told")
				}
				name := strings.TrimRight(string(b[syscall.SizeofInotifyEvent:][:size]), "\x00")
				out = append(out, filepath.Join(names[int32(binary.NativeEndian.Uint32(b))], name))
				b = b[syscall.SizeofInotifyEvent+size:]
			}
		}
	}
}

// keysUnopened lets the agent and root take a whole inventory: both read lists of
// authorised keys, none a private key.
func keysUnopened(c *container) {
	opened := c.watch("/root/.ssh", "/home/alice/.ssh", "/etc/ssh", "/etc")
	c.reported(true)
	c.run("atalaya-agent", "inventory", "--format", "json")
	got := opened()
	for _, name := range []string{"/home/alice/.ssh/authorized_keys", "/root/.ssh/authorized_keys", "/etc/shadow"} {
		if !slices.Contains(got, name) {
			c.t.Errorf("%s was not read: the test sees too little", name)
		}
	}
	for _, name := range []string{"/root/.ssh/id_ed25519", "/home/alice/.ssh/id_ed25519", "/etc/ssh/ssh_host_ed25519_key",
		"/etc/krb5.keytab", "/etc/gshadow", "/etc/shadow-", "/etc/gshadow-"} {
		if slices.Contains(got, name) {
			c.t.Errorf("%s was opened", name)
		}
	}
	c.t.Logf("%d files of these folders were opened", len(got))
	// The sandbox keeps them shut, too, where the unit names them.
	pid := c.property("atalaya-agent", "MainPID")
	for _, name := range []string{"/root/.ssh/id_ed25519", "/etc/ssh/ssh_host_ed25519_key", "/etc/krb5.keytab", "/etc/gshadow"} {
		if out := c.run("stat", "-c", "%a %s", "/proc/"+pid+"/root"+name); out != "0 0" {
			c.t.Errorf("%s as the agent would find it: mode and size %s", name, out)
		}
	}
}

// helperStarts mounts a file system that never answers, for which the agent starts its
// helper; the reason of the section is the helper's word.
func helperStarts(c *container) {
	if _, err := os.Stat("/dev/fuse"); err != nil {
		c.t.Skip("no /dev/fuse here")
	}
	c.sh(`test -e /dev/fuse || mknod /dev/fuse c 10 229
mkdir -p /srv/mute
systemd-run -q --unit=mute sh -c 'exec 3<>/dev/fuse; mount -i -t fuse.mute -o fd=3,rootmode=40000,user_id=0,group_id=0,allow_other mute /srv/mute; exec sleep 600'`)
	defer c.sh("systemctl stop mute; umount -l /srv/mute")
	c.wait(10*time.Second, "the mount", func() (string, bool) {
		out := c.run("cat", "/proc/mounts")
		return out, strings.Contains(out, " /srv/mute ")
	})
	c.run("systemctl", "restart", "atalaya-agent")
	seen := false
	took := c.wait(30*time.Second, "the helper, and its silence", func() (string, bool) {
		out, _ := c.try("busybox", "pgrep", "-l", "-f", "atalaya-agent helper")
		seen = seen || out != ""
		s := c.reported(false)["filesystems"]
		return out + s.Status + " " + s.Reason, seen && s.Status == "partial" && strings.Contains(s.Reason, "/srv/mute")
	})
	reason := c.reported(false)["filesystems"].Reason
	if strings.Contains(reason, "permitted") || strings.Contains(reason, "denied") {
		c.t.Errorf("reason: %s", reason)
	}
	c.t.Logf("after %v: %s", took.Round(100*time.Millisecond), reason)
}

// optionalRights installs each drop-in that docs/operations.md offers.
func optionalRights(c *container) {
	const dir = "/etc/systemd/system/atalaya-agent.service.d/"
	for name, bits := range map[string]uint64{"firewall": 1 << 12, "smart": 1<<17 | 1<<21} {
		text, err := os.ReadFile("systemd/optional/" + name + ".conf")
		if err != nil {
			c.t.Fatal(err)
		}
		c.write(dir+name+".conf", string(text))
		c.run("systemctl", "daemon-reload")
		if out, code := c.try("systemd-analyze", "verify", "/etc/systemd/system/atalaya-agent.service"); code != 0 || out != "" {
			c.t.Errorf("systemd-analyze verify with %s.conf: exit status %d\n%s", name, code, out)
		}
		got := c.reported(true)
		status := c.sh("cat /proc/$(systemctl show --value -p MainPID atalaya-agent)/status")
		m := regexp.MustCompile(`CapEff:\t([0-9a-f]+)`).FindStringSubmatch(status)
		if n, err := strconv.ParseUint(m[1], 16, 64); err != nil || n != 0x80004|bits {
			c.t.Errorf("with %s.conf the agent has the capabilities %s", name, m[1])
		}
		if name == "firewall" {
			var want struct{ Sections map[string]section }
			c.decode(c.run("atalaya-agent", "inventory", "--format", "json", "--section", "firewall"), &want)
			g, w := got["firewall"], want.Sections["firewall"]
			if d := cmp.Diff(byText(w.Rows), byText(g.Rows)); d != "" || g.Status != w.Status {
				c.t.Errorf("root (%s), the agent (%s):\n%s", w.Status, g.Status, d)
			}
		}
		out := c.run("systemd-analyze", "security", "--no-pager", "atalaya-agent")
		c.t.Logf("with %s.conf: %s", name, out[strings.LastIndex(out, "Overall"):])
		c.run("rm", "-r", dir)
		c.run("systemctl", "daemon-reload")
	}
	c.run("systemctl", "restart", "atalaya-agent")
	c.connected()
}

// limitsFar looks at what the agent has used of the limits of its unit: half of
// MemoryHigh, and a third of TasksMax, for two helpers need as many each.
func limitsFar(c *container) {
	status := c.sh("cat /proc/$(systemctl show --value -p MainPID atalaya-agent)/status")
	for field, limit := range map[string]int{"VmHWM": 64 << 10, "Threads": 128 / 3} {
		m := regexp.MustCompile(field + `:\s+(\d+)`).FindStringSubmatch(status)
		if m == nil {
			c.t.Fatalf("no %s in %s", field, status)
		}
		if n, err := strconv.Atoi(m[1]); err != nil || n > limit {
			c.t.Errorf("%s is %s, want at most %d", field, m[1], limit)
		}
		c.t.Logf("%s %s, at most %d", field, m[1], limit)
	}
	for name, want := range map[string]string{"MemoryHigh": "134217728", "MemoryMax": "201326592", "TasksMax": "128"} {
		if got := c.property("atalaya-agent", name); got != want {
			c.t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

// TestOperationsTellTheOptionalRights keeps the text that people copy equal to the files.
func TestOperationsTellTheOptionalRights(t *testing.T) {
	doc, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("systemd/optional/*.conf")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %d files", err, len(files))
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if !strings.Contains(string(doc), line) {
				t.Errorf("docs/operations.md lacks a line of %s: %s", filepath.Base(f), line)
			}
		}
	}
}
