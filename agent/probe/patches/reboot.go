package patches

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/agent/probe/patches/restart"
	"atalaya/shared/facts"
)

// reboot judges whether the machine runs older code than is installed. required is nil
// where that cannot be told: no running kernel in sight, or one that does not come from
// this system (containers, machines whose kernel is given from outside).
func reboot(h *probe.Host, found []*finding) (required *bool, reasons []string) {
	h = h.For(facts.PatchState)
	for _, dir := range []string{"/run", "/var/run"} {
		if _, err := h.Stat(dir + "/reboot-required"); err == nil {
			reasons = append(reasons, rebootPackages(h.ReadString(dir+"/reboot-required.pkgs")))
			break
		}
	}
	running := h.ReadString("/proc/sys/kernel/osrelease")
	images := kernelReleases(h)
	known := len(reasons) > 0
	if reason, ok := kernelBehind(running, images); ok {
		known = true
		if reason != "" {
			reasons = append(reasons, reason)
		}
	}
	reasons = append(reasons, staleCore(h)...)
	if reason := microcodeBehind(h); reason != "" {
		reasons = append(reasons, reason)
	}
	for _, f := range found {
		if f.rebootReasons != nil {
			reasons = append(reasons, f.rebootReasons(h)...)
		}
	}
	known = known || len(reasons) > 0
	if !known {
		return nil, nil
	}
	yes := len(reasons) > 0
	return &yes, reasons
}

// rebootPackages words the file in which packages note that they ask for a reboot.
func rebootPackages(list string) string {
	var names []string
	for line := range strings.Lines(list) {
		if name := strings.TrimSpace(line); name != "" {
			names = append(names, name)
		}
	}
	names = filter(names, func(string) bool { return true })
	if len(names) == 0 {
		return "a package asked for a reboot"
	}
	return "asked for by " + strings.Join(names, ", ")
}

// kernelReleases lists the installed kernels: images in /boot, and folders of modules
// that have an index (without one they are what a removed kernel left).
func kernelReleases(h *probe.Host) []string {
	var found []string
	boot, _ := h.ReadDir("/boot") // absent in containers
	for _, e := range boot {
		if release, ok := strings.CutPrefix(e.Name(), "vmlinuz-"); ok && !strings.HasSuffix(release, ".old") {
			found = append(found, release)
		}
	}
	modules, _ := h.ReadDir("/lib/modules")
	for _, e := range modules {
		if _, err := h.Stat(path.Join("/lib/modules", e.Name(), "modules.dep")); err == nil {
			found = append(found, e.Name())
		}
	}
	return filter(found, func(string) bool { return true })
}

// kernelBehind compares the running release with the newest installed one of its
// flavour, in rpm's order, which takes any string. ok is false where nothing of that
// flavour is installed.
func kernelBehind(running string, installed []string) (reason string, ok bool) {
	if running == "" {
		return "", false
	}
	newest := ""
	for _, release := range installed {
		if flavour(release) == flavour(running) && (newest == "" || rpmNewer(release, newest)) {
			newest = release
		}
	}
	switch {
	case newest == "":
		return "", false
	case rpmNewer(newest, running):
		return fmt.Sprintf("kernel %s is installed, %s runs", newest, running), true
	}
	return "", true
}

// flavour is what tells apart kernels that are installed beside each other: amd64,
// cloud-amd64 and rt-amd64 of Debian, debug of x86_64+debug and uek of Red Hat and Oracle,
// lts of Arch, rpi-v7 and rpi-v8 of Raspberry Pi OS. Words before the first that begins with
// a letter are of the version, and so are numbers, also at its end: 6.9.1-arch1-1.
func flavour(release string) string {
	words := strings.Split(release, "-")
	var out []string
	for i, word := range words {
		number := strings.TrimRight(word, "0123456789")
		switch {
		case i == 0 || number == "":
		case len(out) == 0 && word[0] >= '0' && word[0] <= '9':
			if _, kind, ok := strings.Cut(word, "+"); ok && i == len(words)-1 {
				out = append(out, kind)
			} else if strings.Contains(word, "uek") {
				out = append(out, "uek")
			}
		case len(out) == 0:
			out = append(out, number)
		default:
			out = append(out, word) // rpi-v7 is not rpi-v8
		}
	}
	return strings.Join(out, "-")
}

// kernelRebuilt finds a newer build under the same release: Debian names the version of
// the running image's package in the kernel's version string
// ("#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01)").
func kernelRebuilt(h *probe.Host, kernels map[string]string) []string {
	running := h.ReadString("/proc/sys/kernel/osrelease")
	_, text, ok := strings.Cut(h.ReadString("/proc/sys/kernel/version"), " Debian ")
	build, _, _ := strings.Cut(text, " ")
	if !ok || build == "" {
		return nil
	}
	installed, ok := kernels[running]
	if !ok || !newer(installed, build) {
		return nil
	}
	return []string{fmt.Sprintf("kernel %s is installed as %s, runs as %s", running, installed, build)}
}

// kernels returns the versions of the installed kernels' packages by release.
func (s *system) kernels() map[string]string {
	kernels := make(map[string]string)
	for id, p := range s.packages {
		if release, ok := strings.CutPrefix(id.name, "linux-image-"); ok && id.arch == s.native {
			kernels[release] = p.version
		}
	}
	return kernels
}

// staleCore names programs that are not started again while the system runs, if they
// run on replaced files: systemd as process 1, and the message bus, whose restart ends
// sessions.
func staleCore(h *probe.Host) (reasons []string) {
	const bus = "/sys/fs/cgroup/system.slice/"
	for _, x := range []struct{ name, pids string }{
		{"process 1", "1"},
		{"dbus", h.ReadString(bus+"dbus.service/cgroup.procs") + " " + h.ReadString(bus+"dbus-broker.service/cgroup.procs")},
	} {
		var stale []string
		for pid := range strings.FieldsSeq(x.pids) {
			n, err := strconv.Atoi(pid)
			if err != nil {
				continue
			}
			files, _ := restart.Stale(h, n) // ended, or not ours to see
			stale = append(stale, files...)
		}
		if stale = filter(stale, func(string) bool { return true }); len(stale) > 0 {
			reasons = append(reasons, x.name+" runs on replaced files: "+strings.Join(stale[:min(len(stale), maxNamed)], ", "))
		}
	}
	return reasons
}

// maxNamed bounds the files named in a reason.
const maxNamed = 5

// bootTime is when the system was started, zero where that is not told.
func bootTime(h *probe.Host) time.Time {
	_, rest, _ := strings.Cut(h.ReadString("/proc/stat"), "\nbtime ")
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseInt(line, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(n, 0)
}
