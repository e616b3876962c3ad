// Package textfile reads metrics that programs of the administrator leave in files:
// every *.prom file of one folder, in the text format of Prometheus 0.0.4. A file
// that breaks the format, or is too large, is left out as a whole and told of in
// node_textfile_scrape_error; the others are reported.
//
// Format: https://prometheus.io/docs/instrumenting/exposition_formats/
package textfile

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/metric"
)

const (
	// period is at most how long a changed file waits to be seen; a folder that does not
	// exist is looked for more rarely.
	period = 10 * time.Second
	// maxFiles, maxBytes and maxSamples bound what a folder can bring.
	maxFiles   = 100
	maxBytes   = 1 << 20
	maxSamples = 5000
)

// New returns the metric probe "textfile" of a folder.
func New(dir string) probe.Probe { return &folder{dir: dir, files: make(map[string]*file)} }

type folder struct {
	dir   string
	host  *probe.Host
	files map[string]*file // by name, as they were last read
	runs  int
}

// file is one file and what it said when its stamp was taken.
type file struct {
	stamp   probe.Stamp
	samples []sample
	err     error
	seen    int // run in which it was last there
}

func (f *folder) Info() probe.Info {
	return probe.Info{Name: "textfile", Metrics: true, Period: period, MaxBytes: maxBytes, MaxItems: maxSamples + maxFiles + 1}
}

// Collect implements probe.Probe.
func (f *folder) Collect(ctx context.Context, h *probe.Host, r *probe.Report) error {
	if f.host != h {
		f.host = h
		clear(f.files)
	}
	f.runs++
	entries, err := h.ReadDir(f.dir)
	if probe.Absent(err) {
		return errors.ErrUnsupported
	}
	problems, total := err, 0
	for _, e := range entries {
		if path.Ext(e.Name()) != ".prom" {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if total++; total > maxFiles {
			problems = errors.Join(problems, fmt.Errorf("%s: more than %d files", f.dir, maxFiles))
			break
		}
		if err := f.report(h, r, e.Name()); err != nil {
			problems = errors.Join(problems, err)
		}
	}
	for name, x := range f.files {
		if x.seen != f.runs {
			delete(f.files, name)
		}
	}
	failed := 0.0
	if problems != nil {
		failed = 1
	}
	r.Sample(&metric.TextfileError, failed)
	return problems
}

// report reads a file if it has changed, and reports what it says.
func (f *folder) report(h *probe.Host, r *probe.Report, name string) error {
	at := path.Join(f.dir, name)
	stamp := h.Stamp(at)
	x := f.files[name]
	if x == nil || x.stamp != stamp {
		x = &file{stamp: stamp}
		b, err := h.ReadFile(at)
		if err == nil {
			x.samples, err = parse(b)
		}
		if err != nil {
			x.samples, x.err = nil, fmt.Errorf("%s: %w", name, err)
		}
		f.files[name] = x
	}
	x.seen = f.runs
	for i := range x.samples {
		r.Sample(x.samples[i].desc, x.samples[i].value, x.samples[i].labels...)
	}
	if info, err := h.Stat(at); err == nil && x.err == nil {
		r.Sample(&metric.TextfileTime, float64(info.ModTime().UnixMilli())/1e3, name)
	}
	return x.err
}
