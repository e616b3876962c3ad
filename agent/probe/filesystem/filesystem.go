// Package filesystem reads how full the file systems of a Linux host are.
//
// A statfs(2) can hang and obeys no deadline, so file systems on the network or in user
// space, and those that are reached through one, are asked by a helper process (ADR 14).
// Their last answer counts until they are given up; from then on they have an error and
// no sizes. Should a local one hang (a dying disk), the scheduler abandons this probe,
// and starts it again only when the call has returned: one thread is lost at most.
//
// Sources: proc_pid_mountinfo(5), statfs(2).
package filesystem

import (
	"context"
	"errors"
	"fmt"
	"time"

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
	asked  probe.Inquiry // of a helper, about the mounts that may hang, in their order
}

const (
	// maxAge is how old the answer of a server may be: it has more clients than us, and
	// to wake the helper costs half a millisecond.
	maxAge = 30 * time.Second
	// wait is what a reading waits for answers. Those that take longer are a tick older.
	wait = 20 * time.Millisecond
)

func (*filesystem) Info() probe.Info { return probe.Info{Name: "filesystem", Metrics: true} }

// Collect implements probe.Probe.
func (f *filesystem) Collect(ctx context.Context, h *probe.Host, r *probe.Report) error {
	if f.host != h {
		f.open(h)
	}
	if err := f.refresh(); err != nil {
		return err
	}
	h.Ask(ctx, &f.asked)
	var failed error
	for i, next := 0, 0; i < len(f.mounts); i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		m := &f.mounts[i]
		sample(r, &metric.FilesystemReadOnly, m, truth(m.readOnly))
		if !h.Live() {
			continue
		}
		var u probe.Usage
		var err error
		if m.suspect {
			u, err = usageOf(f.asked.Answers[next])
			next++
			if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, probe.ErrPending) {
				continue // there is no helper to ask, or it has just begun
			}
		} else {
			u, err = probe.StatFS(m.path)
		}
		sample(r, &metric.FilesystemError, m, truth(err != nil))
		if err != nil {
			failed = fmt.Errorf("statfs %q: %w", m.point, err)
			continue
		}
		report(r, m, u)
	}
	return failed
}

func usageOf(a probe.Answer) (probe.Usage, error) {
	if a.Err != nil {
		return probe.Usage{}, a.Err
	}
	return probe.ParseUsage(a.Data)
}

// open chooses the table: that of the first process, because the agent's own
// namespace may be a private one in which things are hidden or remounted, as long as
// we may look through that process' root; else our own.
func (f *filesystem) open(h *probe.Host) {
	if f.file != nil {
		f.file.Close() // read only: nothing can be lost
	}
	f.host, f.mounts = h, nil
	f.asked = probe.Inquiry{MaxAge: maxAge, Wait: wait, Keep: true}
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
	f.asked.Questions, f.asked.Answers = f.asked.Questions[:0], f.asked.Answers[:0]
	for _, m := range f.mounts {
		if m.suspect {
			f.asked.Questions = append(f.asked.Questions, probe.Question{Task: probe.StatFSTask, Path: m.path})
		}
	}
	return nil
}

func report(r *probe.Report, m *mount, u probe.Usage) {
	sample(r, &metric.FilesystemSize, m, float64(u.Size))
	sample(r, &metric.FilesystemFree, m, float64(u.Free))
	sample(r, &metric.FilesystemAvail, m, float64(u.Avail))
	if u.Files > 0 {
		sample(r, &metric.FilesystemFiles, m, float64(u.Files))
		sample(r, &metric.FilesystemFilesFree, m, float64(u.FilesFree))
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
