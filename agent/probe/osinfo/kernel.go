package osinfo

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// imagePrefixes are how kernel images are called in /boot, before the release.
var imagePrefixes = []string{"vmlinuz-", "vmlinux-", "kernel-", "Image-", "bzImage-"}

// errNoKernel: what there is of a system has no place for kernels.
var errNoKernel = fmt.Errorf("neither /proc, /boot nor /lib/modules tells of a kernel: %w", errors.ErrUnsupported)

// kernels lists the running kernel and those installed: images in /boot, and folders
// of /lib/modules that hold an image or a module index. A folder with neither is what
// a removed kernel left.
func kernels(h *probe.Host, running uname) ([]*facts.KernelRow, error) {
	found := make(map[string]*facts.KernelRow)
	modules, _ := h.ReadDir("/lib/modules") // absent in containers
	for _, e := range modules {
		dir := path.Join("/lib/modules", e.Name())
		switch {
		case exists(h, dir+"/vmlinuz"):
			found[e.Name()] = &facts.KernelRow{Release: e.Name(), Image: dir + "/vmlinuz"}
		case exists(h, dir+"/modules.dep"):
			found[e.Name()] = &facts.KernelRow{Release: e.Name()}
		}
	}
	boot, _ := h.ReadDir("/boot") // absent where the machine is booted from outside
	for _, e := range boot {
		if rel := imageRelease(e.Name()); rel != "" {
			found[rel] = &facts.KernelRow{Release: rel, Image: path.Join("/boot", e.Name())}
		}
	}
	if running.release != "" {
		row := found[running.release]
		if row == nil {
			row = &facts.KernelRow{Release: running.release}
			found[running.release] = row
		}
		row.Running, row.Version, row.Arch = true, running.version, running.machine
		row.Cmdline = probe.Mask(h.ReadString("/proc/cmdline"))
	}
	if len(found) == 0 && !exists(h, "/lib/modules") && !exists(h, "/boot") && !exists(h, "/proc/sys/kernel") {
		return nil, errNoKernel
	}
	return slices.Collect(maps.Values(found)), nil
}

// imageRelease is the kernel release in the name of an image. Names without one
// (vmlinuz-linux on Arch) and rescue images, which carry the machine id, give "".
func imageRelease(name string) string {
	for _, prefix := range imagePrefixes {
		rel, ok := strings.CutPrefix(name, prefix)
		if !ok || rel == "" || rel[0] < '0' || rel[0] > '9' || strings.HasPrefix(rel, "0-rescue") {
			continue
		}
		if strings.HasSuffix(rel, ".old") || strings.HasSuffix(rel, ".hmac") {
			return ""
		}
		return rel
	}
	return ""
}
