// Package filesystem reads how full the file systems of a Linux host are.
//
// A statfs(2) can hang and obeys no deadline, so file systems on the network or in
// user space are never asked: they are reported without sizes. Should a local one
// hang (a dying disk), the scheduler abandons this probe, and starts it again only
// when the call has returned: one thread is lost at most.
//
// Sources: proc_pid_mountinfo(5), statfs(2).
package filesystem

import (
	"context"
	"fmt"

	"atalaya/agent/probe"
	"atalaya/shared/metric"
)

// New returns the metric probe "filesystem". It keeps the table of mounts until the
// kernel announces another one.
func New() probe.Probe { return &filesystem{} }

type filesystem struct {
	host   *probe.Host
	file   *probe.File // the table of mounts
	view   string      // folder through which the mount points of that table are seen
	buf    []byte
	mounts []mount
}

func (*filesystem) Info() probe.Info { return probe.Info{Name: "filesystem", Metrics: true} }

// Collect implements probe.Probe.
func (f *filesystem) Collect(ctx context.Context, h *probe.Host, r *probe.Report) error {
	if f.host != h {
		f.open(h)
	}
	if err := f.refresh(); err != nil {
		return err
	}
	var failed error
	for i := range f.mounts {
		if err := ctx.Err(); err != nil {
			return err
		}
		m := &f.mounts[i]
		sample(r, &metric.FilesystemReadOnly, m, truth(m.readOnly))
		if m.remote || !h.Live() {
			continue
		}
		u, err := statfs(m.path)
		sample(r, &metric.FilesystemError, m, truth(err != nil))
		if err != nil {
			failed = fmt.Errorf("statfs %q: %w", m.point, err)
			continue
		}
		report(r, m, u)
	}
	return failed
}

// open chooses the table: that of the first process, because the agent's own
// namespace may be a private one in which things are hidden or remounted, as long as
// we may look through that process' root; else our own.
func (f *filesystem) open(h *probe.Host) {
	if f.file != nil {
		f.file.Close() // read only: nothing can be lost
	}
	f.host, f.mounts = h, nil
	f.file, f.view = h.File("/proc/self/mountinfo"), ""
	if !h.Live() {
		if _, err := h.Stat("/proc/1/mountinfo"); err == nil {
			f.file = h.File("/proc/1/mountinfo")
		}
		return
	}
	if _, err := h.Stat("/proc/1/root/"); err == nil {
		f.file, f.view = h.File("/proc/1/mountinfo"), "/proc/1/root"
	}
}

func (f *filesystem) refresh() error {
	if f.mounts != nil && !f.file.Changed() {
		return nil
	}
	b, err := f.file.Read(f.buf)
	f.buf = b
	if err != nil {
		f.mounts = nil
		return err
	}
	f.mounts = parseMountinfo(b)
	for i := range f.mounts {
		m := &f.mounts[i]
		m.path = f.view + m.point
		m.device = deviceName(f.host, m)
	}
	return nil
}

// usage is what statfs tells, in bytes and in numbers of files.
type usage struct {
	size, free, avail uint64
	files, filesFree  uint64 // both 0 where the file system does not count them (btrfs)
}

func report(r *probe.Report, m *mount, u usage) {
	sample(r, &metric.FilesystemSize, m, float64(u.size))
	sample(r, &metric.FilesystemFree, m, float64(u.free))
	sample(r, &metric.FilesystemAvail, m, float64(u.avail))
	if u.files > 0 {
		sample(r, &metric.FilesystemFiles, m, float64(u.files))
		sample(r, &metric.FilesystemFilesFree, m, float64(u.filesFree))
	}
}

func sample(r *probe.Report, desc *metric.Desc, m *mount, v float64) {
	r.Sample(desc, v, m.device, m.fstype, m.point)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
