// Package system reads what concerns a Linux host as a whole: its clock, its file
// handles, its entropy. How long it runs follows from the boot time, which package
// cpu reads.
//
// Sources: proc_sys_fs(5) (file-nr), random(4) (entropy_avail).
package system

import (
	"context"
	"errors"

	"atalaya/agent/probe"
	"atalaya/shared/metric"
)

// New returns the metric probe "system".
func New() probe.Probe {
	return &system{files: probe.Files("system",
		probe.Source{Path: "/proc/sys/fs/file-nr", Optional: true, Parse: parseFileNr},
	)}
}

type system struct{ files probe.Probe }

func (s *system) Info() probe.Info { return s.files.Info() }

// Collect implements probe.Probe.
func (s *system) Collect(ctx context.Context, h *probe.Host, r *probe.Report) error {
	if h.Live() { // the clock of a folder of files is not that of its machine
		r.Sample(&metric.Time, float64(h.Now().UnixMilli())/1e3)
	}
	return s.files.Collect(ctx, h, r)
}

// parseFileNr parses "591	0	2466193": in use, always 0, limit.
func parseFileNr(r *probe.Report, b []byte) error {
	allocated, rest := probe.NextField(firstLine(b))
	_, rest = probe.NextField(rest)
	limit, _ := probe.NextField(rest)
	return errors.Join(number(r, &metric.FileHandles, allocated), number(r, &metric.FileHandlesMax, limit))
}

// parseEntropy parses "256".
func parseEntropy(r *probe.Report, b []byte) error {
	field, _ := probe.NextField(firstLine(b))
	return number(r, &metric.Entropy, field)
}

func number(r *probe.Report, desc *metric.Desc, field []byte) error {
	n, ok := probe.ParseUint(field)
	if !ok {
		return probe.NotUnderstood(field)
	}
	r.Sample(desc, float64(n))
	return nil
}

func firstLine(b []byte) []byte {
	line, _ := probe.NextLine(b)
	return line
}
