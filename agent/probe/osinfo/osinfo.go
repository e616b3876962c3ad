// Package osinfo reads which operating system a host runs, and in what: the sections
// os, kernel and virtualization.
//
// On Linux, and below a root, everything comes from files: os-release(5) and the
// release files that were before it, /proc/sys/kernel, /boot and /lib/modules. Other
// systems answer by system call or registry. The machine id of a host leaves it only
// as a hash.
package osinfo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// New returns the probe of the sections os, kernel and virtualization.
func New() probe.Probe { return osProbe{} }

type osProbe struct{}

// Info implements probe.Probe.
func (osProbe) Info() probe.Info {
	return probe.Info{
		Name:     "osinfo",
		Sections: []facts.ID{facts.OS, facts.Kernel, facts.Virtualization},
		Timeout:  5 * time.Second,
		MaxItems: 200,
		MaxBytes: 1 << 20,
		Watch:    []string{"/etc/os-release", "/etc/debian_version", "/etc/hostname", "/etc/localtime", "/boot", "/lib/modules"},
	}
}

// Collect implements probe.Probe.
func (osProbe) Collect(_ context.Context, h *probe.Host, r *probe.Report) error {
	sys := read(h)
	if sys.os != nil {
		r.Add(facts.OS, sys.os)
	}
	for _, k := range sys.kernels {
		r.Add(facts.Kernel, k)
	}
	if sys.virtual != nil {
		r.Add(facts.Virtualization, sys.virtual)
	}
	r.Problem(facts.OS, sys.nameless)
	r.Problem(facts.Kernel, sys.noKernel)
	r.Problem(facts.Virtualization, sys.unknown)
	return nil
}

// system is what was read.
type system struct {
	os      *facts.OSRow
	kernels []*facts.KernelRow
	virtual *facts.VirtualizationRow
	// Why something of os, kernels or virtual is missing.
	nameless, noKernel, unknown error
}

// errNoRelease: below the root lies nothing that names a system.
var errNoRelease = fmt.Errorf("no file names the operating system: %w", errors.ErrUnsupported)

// fromFiles reads a Linux system by its files. names comes from uname(2) and is
// empty below a root. Without a name there is no row of the system: the last one stays.
func fromFiles(h *probe.Host, names uname) (sys system) {
	names.fill(h.For(facts.Kernel))
	sys.kernels, sys.noKernel = kernels(h.For(facts.Kernel), names)
	sys.virtual, sys.unknown = virtualization(h.For(facts.Virtualization), names.release)
	installed := installedAt(h)
	h = h.For(facts.OS)
	rel := detect(func(p string) []byte {
		b, _ := h.ReadFile(p) // what is there and cannot be read makes the section partial
		return b
	})
	sys.nameless = notARelease(h, rel)
	if sys.nameless == nil && !h.Live() && rel.product == "Linux" && rel.version == "" && names.release == "" && hostname(h) == "" {
		sys.nameless = errNoRelease
	}
	if sys.nameless != nil {
		return sys
	}
	sys.os = &facts.OSRow{
		Family: "linux", Arch: names.machine, Hostname: hostname(h), MachineID: MachineID(h),
		Timezone: timezone(h), InitSystem: initSystem(h),
		InstalledAt: installed,
	}
	if sys.os.InitSystem == "" {
		if _, err := h.ReadFile(firstProcess); !probe.Absent(err) {
			sys.nameless = err
		}
	}
	rel.describe(sys.os)
	if rel.family != "" {
		sys.os.Family = rel.family
	}
	if v := sys.virtual; v != nil {
		sys.os.Virtualised = v.Hypervisor
		if v.Container != "" {
			sys.os.Virtualised = v.Container
		}
	} else if !errors.Is(sys.unknown, errors.ErrUnsupported) {
		sys.nameless = errors.Join(sys.nameless, fmt.Errorf("what it runs in is not known: %w", sys.unknown))
	}
	return sys
}

// notARelease says that there is an os-release(5) that cannot be read or of which nothing
// is understood, where no other file names the system.
func notARelease(h *probe.Host, rel release) error {
	if rel.product != "Linux" || rel.version != "" {
		return nil
	}
	for _, p := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		b, err := h.ReadFile(p)
		if probe.Absent(err) {
			continue
		}
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(b)) == 0 {
			return fmt.Errorf("%s: %w", p, probe.ErrEmpty)
		}
		if vars := parseAssignments(b); vars["ID"] == "" && vars["NAME"] == "" {
			return fmt.Errorf("%s: %w", p, probe.NotUnderstood(b))
		}
	}
	return nil
}

// describe copies what the release files say into the row.
func (r *release) describe(row *facts.OSRow) {
	row.ID, row.Name, row.Product = r.id, r.pretty, r.product
	row.Version, row.VersionID, row.VersionName = r.version, r.versionID, r.versionName
	row.Codename, row.Like, row.Lineage = r.codename, r.like, r.lineage()
	row.VariantID, row.BuildID, row.SupportEnd = r.variantID, r.buildID, r.supportEnd
	row.Manufacturer = r.vendor
	row.Major, row.Minor = r.parts()
	if row.Arch == "" {
		row.Arch = r.arch
	}
}

// uname are the answers of uname(2) that we use.
type uname struct{ release, version, machine string }

// fill completes the names from /proc/sys/kernel, which holds the same strings
// (arch since Linux 6.1).
func (u *uname) fill(h *probe.Host) {
	for _, f := range []struct {
		to   *string
		from string
	}{{&u.release, "osrelease"}, {&u.version, "version"}, {&u.machine, "arch"}} {
		if *f.to == "" {
			*f.to = h.ReadString("/proc/sys/kernel/" + f.from)
		}
	}
}

// hostname is the name in effect, or the configured one where nothing runs.
func hostname(h *probe.Host) string {
	name := h.ReadString("/proc/sys/kernel/hostname")
	if name == "" || name == "(none)" {
		name = firstLine([]byte(h.ReadString("/etc/hostname")))
	}
	if name == "" {
		name = parseAssignments([]byte(h.ReadString("/etc/sysconfig/network")))["HOSTNAME"]
	}
	return name
}

// MachineID is a stable name for the installation: the hash of machine-id(5), whose
// manual forbids to give the id itself to others. The first 64 bits as 16 hexadecimal
// digits; "" when the system has none.
func MachineID(h *probe.Host) string {
	id := machineID(h)
	if id == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("atalaya machine-id 1\x00" + id))
	return hex.EncodeToString(sum[:8])
}

// fileMachineID reads machine-id(5). An image before its first boot has an empty file
// or "uninitialized" there.
func fileMachineID(h *probe.Host) string {
	for _, p := range []string{"/etc/machine-id", "/var/lib/dbus/machine-id"} {
		id := strings.ToLower(h.ReadString(p))
		if _, err := hex.DecodeString(id); err == nil && len(id) == 32 && strings.Trim(id, "0") != "" {
			return id
		}
	}
	return ""
}

// timezone is the IANA name to which /etc/localtime leads, or that of the older
// configuration files.
func timezone(h *probe.Host) string {
	if target, err := h.Readlink("/etc/localtime"); err == nil {
		if _, zone, ok := strings.Cut(target, "zoneinfo/"); ok {
			return zone
		}
	}
	if zone := firstLine([]byte(h.ReadString("/etc/timezone"))); zone != "" {
		return zone
	}
	return parseAssignments([]byte(h.ReadString("/etc/sysconfig/clock")))["ZONE"]
}

const firstProcess = "/proc/1/comm"

// initNames are the init systems known by the name of their first process or of what
// /sbin/init leads to.
var initNames = map[string]string{
	"systemd": "systemd", "openrc-init": "openrc", "runit": "runit", "runit-init": "runit",
	"s6-svscan": "s6", "s6-linux-init": "s6", "dinit": "dinit", "procd": "procd", "busybox": "busybox", "upstart": "upstart",
}

// initSystem names what starts the services. A process that is called init says
// nothing; then, as without processes, the folder or link that each system leaves
// decides. Any other first process, that of a container, starts no services.
func initSystem(h *probe.Host) string {
	first := h.ReadString(firstProcess)
	if name, ok := initNames[first]; ok || first != "" && first != "init" {
		return name
	}
	if exists(h, "/run/openrc/softlevel") {
		return "openrc"
	}
	target, err := h.Readlink("/sbin/init")
	if name, ok := initNames[path.Base(target)]; err == nil && ok && !(name == "busybox" && exists(h, "/sbin/openrc")) {
		return name
	}
	for _, c := range []struct{ file, name string }{
		{"/sbin/openrc", "openrc"}, {"/usr/share/upstart", "upstart"}, {"/etc/inittab", "sysvinit"},
	} {
		if exists(h, c.file) {
			return c.name
		}
	}
	return ""
}

func exists(h *probe.Host, p string) bool {
	_, err := h.Stat(p)
	return err == nil
}

// installedAt is when the system was installed, from the time of files that its
// installer, or mkfs, wrote once. Below a root such times are those of the copy.
func installedAt(h *probe.Host) facts.Time {
	if !h.Live() {
		return 0
	}
	for _, p := range []string{"/var/log/installer", "/root/anaconda-ks.cfg", "/lost+found"} {
		if info, err := h.Stat(p); err == nil {
			return facts.TimeOf(info.ModTime().Truncate(time.Second))
		}
	}
	return 0
}
