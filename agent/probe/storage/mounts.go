package storage

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"atalaya/agent/probe"
)

// mount is one line of mountinfo.
type mount struct {
	majorMinor string // "" when the source is mounts(5), which does not tell
	root       string // folder of the file system that is mounted
	point      string
	options    string
	kind       string // file system type, with its subtype: fuse.sshfs
	source     string
}

// mountTable is what is mounted, and how to reach it.
type mountTable struct {
	mounts []mount
	remark string            // whose mounts these are, where not those of the first process
	view   string            // folder through which the mount points are seen
	own    map[string]string // where there is no such folder: device numbers by mount point, in our own namespace
}

// readMounts reads the mounts of the first process: the agent's own namespace may be
// a private one that hides or remounts things. Where the rights do not suffice, or
// below a root that holds no process 1, our own are taken.
func readMounts(h *probe.Host) (mountTable, error) {
	b, firstErr := h.ReadFile("/proc/1/mountinfo")
	if firstErr == nil {
		t := mountTable{mounts: parseMountInfo(string(b)), view: "/proc/1/root"}
		if _, err := h.Stat(t.view + "/"); err != nil {
			own, _ := h.ReadFile("/proc/self/mountinfo") // without it none is at its place
			t.view, t.own = "", byPoint(parseMountInfo(string(own)))
		}
		return t, t.whole(b)
	}
	own, err := h.ReadFile("/proc/self/mountinfo")
	if err == nil {
		mounts := parseMountInfo(string(own))
		t := mountTable{mounts: mounts, own: byPoint(mounts)}
		if !probe.Absent(firstErr) {
			t.remark = "as the agent sees them, since it may not look at the first process: others may see more, or other options"
		}
		return t, t.whole(own)
	}
	for _, name := range []string{"/proc/1/mounts", "/proc/self/mounts", "/proc/mounts"} {
		if b, mountsErr := h.ReadFile(name); mountsErr == nil {
			t := mountTable{mounts: parseMounts(string(b))}
			return t, t.whole(b)
		}
	}
	return mountTable{}, absent(err, "no table of mounts in /proc")
}

// whole returns what speaks against the text being the table of a machine, which always
// has a mount.
func (t mountTable) whole(text []byte) error {
	if err := probe.Intact(text); err != nil {
		return fmt.Errorf("table of mounts: %w", err)
	}
	if len(t.mounts) == 0 {
		return errors.New("the table of mounts names none")
	}
	return nil
}

func byPoint(mounts []mount) map[string]string {
	m := make(map[string]string, len(mounts))
	for _, x := range mounts {
		m[x.point] = x.majorMinor
	}
	return m
}

// path is where the agent sees the mount; "" when what it sees there is another one.
func (t mountTable) path(m mount) string {
	if t.view == "" && (m.majorMinor == "" || t.own[m.point] != m.majorMinor) {
		return ""
	}
	return path.Join("/", t.view, m.point)
}

// parseMountInfo reads proc_pid_mountinfo(5). Malformed lines are skipped.
//
//	36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
func parseMountInfo(text string) []mount {
	var out []mount
	for line := range strings.Lines(text) {
		f, source, ok := probe.MountFields(line)
		if !ok {
			continue
		}
		super := ""
		if len(source) > 2 {
			super = source[2]
		}
		out = append(out, mount{
			majorMinor: f[2], root: probe.Unescape(f[3]), point: probe.Unescape(f[4]), options: joinOptions(f[5], super),
			kind: probe.Unescape(source[0]), source: maskSource(probe.Unescape(source[1])),
		})
	}
	return out
}

// parseMounts reads the older form of proc_pid_mounts(5).
func parseMounts(text string) []mount {
	var out []mount
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimRight(line, "\r\n"), " ") // as in probe.MountFields
		if len(f) != 6 {
			f = strings.Fields(line)
		}
		if len(f) < 4 {
			continue
		}
		out = append(out, mount{root: "/", point: probe.Unescape(f[1]), options: joinOptions(f[3], ""), kind: probe.Unescape(f[2]), source: maskSource(probe.Unescape(f[0]))})
	}
	return out
}

// dropped are options without meaning for an inventory, or too long for one: the
// layers of containers have kilobytes.
var dropped = []string{"lowerdir=", "upperdir=", "workdir=", "seclabel"}

// secret are options whose value is never reported.
var secret = []string{"password=", "password2=", "pass=", "passwd=", "passphrase=", "secret=", "secretfile=", "key=", "credentials=", "cred="}

// joinOptions joins the options of the mount and those of the file system as
// /proc/mounts does: read-only if one of them is.
func joinOptions(mountOptions, super string) string {
	var out []string
	seen := map[string]bool{"": true}
	readOnly := hasOption(mountOptions, "ro") || hasOption(super, "ro")
	for o := range strings.SplitSeq(mountOptions+","+super, ",") {
		if readOnly && o == "rw" {
			o = "ro"
		}
		if seen[o] || hasPrefix(o, dropped) {
			continue
		}
		seen[o] = true
		out = append(out, maskOption(o))
	}
	return strings.Join(out, ",")
}

// maskOption hides the value of an option that is a secret or leads to one.
func maskOption(o string) string {
	if name, _, ok := strings.Cut(o, "="); ok && hasPrefix(strings.ToLower(o), secret) {
		return name + "=" + probe.Masked
	}
	return probe.Mask(o)
}

// maskSource hides the password in what is mounted: sshfs#me:password@host, and the form
// that the kernel writes for CIFS, //me:password@host/share.
func maskSource(s string) string {
	if rest, ok := strings.CutPrefix(s, "//"); ok {
		return strings.TrimPrefix(probe.Mask("cifs://"+rest), "cifs:")
	}
	return probe.Mask(s)
}

func hasOption(options, name string) bool {
	return strings.Contains(","+options+",", ","+name+",")
}

func hasPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// pseudo are file systems that hold no files of anybody. /proc/filesystems names
// more of them; this list is for a root without it, and for types that vanished from
// it with their module.
var pseudo = words(`autofs bdev binder binfmt_misc bpf cgroup cgroup2 configfs cpuset debugfs devfs devpts devtmpfs
	dma_buf efivarfs functionfs fusectl fuse.lxcfs fuse.gvfsd-fuse fuse.portal hugetlbfs mqueue none nsfs nfsd pipefs
	proc pstore ramfs resctrl rootfs rpc_pipefs securityfs selinuxfs smackfs sockfs sysfs tracefs`)

// holding are file systems that the kernel calls "nodev" although they hold files.
var holding = words(`btrfs bcachefs zfs overlay tmpfs aufs ubifs jffs2`)

func words(s string) map[string]bool {
	m := make(map[string]bool)
	for w := range strings.FieldsSeq(s) {
		m[w] = true
	}
	return m
}

// fleeting are folders where sessions, units and containers mount and unmount their
// own; what is below them is not a property of the host.
var fleeting = []string{
	"/proc/", "/sys/", "/run/user/", "/run/credentials/", "/run/containerd/", "/run/docker/", "/run/netns/",
	"/var/lib/docker/", "/var/lib/containers/storage/", "/var/lib/kubelet/pods/",
}

// wanted reports whether a mount belongs into the inventory: what df(1) lists, except
// for what comes and goes with sessions and containers.
func (m mount) wanted(nodev map[string]bool) bool {
	switch {
	case pseudo[m.kind]:
		return false
	case !probe.RemoteFS(m.kind) && nodev[m.kind] && !holding[m.kind]:
		return false
	case nodev[m.kind] || holding[m.kind]:
		return !hasPrefix(m.point+"/", fleeting)
	}
	return true
}

// parseNodev reads the names that /proc/filesystems marks as having no device.
func parseNodev(text string) map[string]bool {
	m := make(map[string]bool)
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(line, "nodev"); ok {
			m[strings.TrimSpace(name)] = true
		}
	}
	return m
}

// visible drops mounts that a later one covers at the same point.
func visible(mounts []mount) []mount {
	last := make(map[string]int, len(mounts))
	for i, m := range mounts {
		last[m.point] = i
	}
	var out []mount
	for i, m := range mounts {
		if last[m.point] == i {
			out = append(out, m)
		}
	}
	return out
}

// deviceName gives the device that the boot loader called /dev/root its own name.
func deviceName(h *probe.Host, m mount) string {
	if m.source != "/dev/root" || m.majorMinor == "" {
		return m.source
	}
	target, err := h.Readlink("/sys/dev/block/" + m.majorMinor)
	if err != nil {
		return m.source
	}
	return "/dev/" + path.Base(target)
}
