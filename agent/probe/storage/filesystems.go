package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// sizeWait bounds how long the servers of remote file systems are waited for; a helper
// gives up after three seconds.
const sizeWait = 4 * time.Second

// sizes remembers how large file systems are, by their key, from one reading to the
// next.
type sizes map[string]int64

// collectFilesystems adds a row for each mounted file system. Those that may hang are
// asked by a helper. What such a one said of its size stands while it does not answer.
func (s *storage) collectFilesystems(ctx context.Context, h *probe.Host, r *probe.Report, t mountTable) {
	nodev := parseNodev(h.ReadString("/proc/filesystems"))
	var suspects probe.Suspects
	var rows []*facts.FilesystemRow
	var paths []string
	for _, m := range t.mounts {
		suspects.Add(m.point, m.kind)
	}
	for _, m := range visible(t.mounts) {
		if ctx.Err() != nil || !m.wanted(nodev) {
			continue
		}
		rows = append(rows, &facts.FilesystemRow{
			Mount: m.point, Device: deviceName(h, m), Type: m.kind, Options: m.options,
			ReadOnly: hasOption(m.options, "ro"), Remote: probe.RemoteFS(m.kind),
		})
		paths = append(paths, t.path(m))
	}
	if h.Live() {
		s.measure(ctx, h, r, rows, paths, &suspects)
	}
	for _, row := range rows {
		r.Add(facts.Filesystems, row)
	}
}

// measure fills in the sizes.
func (s *storage) measure(ctx context.Context, h *probe.Host, r *probe.Report, rows []*facts.FilesystemRow, paths []string, suspects *probe.Suspects) {
	known := make(sizes, len(rows))
	var asked []*facts.FilesystemRow
	inquiry := probe.Inquiry{Wait: sizeWait, MaxAge: time.Minute}
	for i, row := range rows {
		switch {
		case paths[i] == "":
		case suspects.Has(row.Mount):
			asked = append(asked, row)
			inquiry.Questions = append(inquiry.Questions, probe.Question{Task: probe.StatFSTask, Path: paths[i]})
		default:
			if u, err := probe.StatFS(paths[i]); err == nil { // otherwise gone, or behind a folder we may not enter
				row.SizeBytes = steady(row, int64(u.Size), s.sizes)
			}
		}
	}
	if len(asked) > 0 {
		h.Ask(ctx, &inquiry)
	}
	for i, row := range asked {
		a := inquiry.Answers[i]
		if u, err := probe.ParseUsage(a.Data); err == nil {
			row.SizeBytes = steady(row, int64(u.Size), s.sizes)
		} else {
			row.SizeBytes = s.sizes[row.Key()]
		}
		// Some user's own file system that lets nobody else in is as it should be.
		if a.Err != nil && !errors.Is(a.Err, fs.ErrPermission) && !errors.Is(a.Err, errors.ErrUnsupported) {
			r.Problem(facts.Filesystems, fmt.Errorf("%s: %w", row.Mount, a.Err))
		}
	}
	for _, row := range rows {
		known[row.Key()] = row.SizeBytes
	}
	s.sizes = known
}

// steady returns the size that is reported. Where the size is what is used and what is
// free of a pool, or a quota, it moves with the work of others: one within a
// fiftieth of what was reported is no news.
func steady(row *facts.FilesystemRow, size int64, before sizes) int64 {
	old := before[row.Key()]
	if moves := row.Remote || row.Type == "zfs"; moves && old > 0 && max(size-old, old-size) <= old/50 {
		return old
	}
	return size
}
