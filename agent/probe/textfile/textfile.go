// Package textfile reads metrics that programs of the administrator leave in files:
// every *.prom file of one folder, in the text format of Prometheus 0.0.4. A file
// that breaks the format, is too large, or has a series that a file before it or the
// agent itself gives, is left out as a whole and told of in node_textfile_scrape_error;
// the others are reported.
//
// Format: https://prometheus.io/docs/instrumenting/exposition_formats/
package textfile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
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
	stamp probe.Stamp
	content
	err   error
	clash error // with the other files, as they are, or with a series of the agent
	seen  int   // run in which it was last there
}

func (f *folder) Info() probe.Info {
	return probe.Info{Name: "textfile", Metrics: true, Period: period, MaxBytes: maxBytes, MaxItems: maxSamples + maxFiles + 1, Foreign: true}
}

// errGone is the error of a file that the folder lists.
var errGone = errors.New("a link that leads nowhere, or it is gone")

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
	var problems probe.Problems
	problems.Add(err)
	total := 0
	f.refresh(h, entries)
	for _, e := range entries {
		if path.Ext(e.Name()) != ".prom" {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if total++; total > maxFiles {
			problems.Add(fmt.Errorf("%s: more than %d files", f.dir, maxFiles))
			break
		}
		problems.Add(f.report(h, r, e.Name()))
	}
	err = problems.Err()
	failed := 0.0
	if err != nil {
		failed = 1
	}
	r.Sample(&metric.TextfileError, failed)
	return err
}

// refresh reads the files that have changed. When there is one, each may fit in again.
func (f *folder) refresh(h *probe.Host, entries []os.DirEntry) {
	changed, total := false, 0
	for _, e := range entries {
		name := e.Name()
		if path.Ext(name) != ".prom" {
			continue
		}
		if total++; total > maxFiles {
			break
		}
		at := path.Join(f.dir, name)
		stamp := h.Stamp(at)
		x := f.files[name]
		if x == nil || x.stamp != stamp {
			x, changed = &file{stamp: stamp}, true
			b, err := h.ReadFile(at)
			if err == nil {
				x.content, err = parse(b)
			}
			if probe.Absent(err) {
				err = errGone
			}
			if err != nil {
				x.err = fmt.Errorf("%s: %w", name, err)
			}
			f.files[name] = x
		}
		x.seen = f.runs
	}
	for name, x := range f.files {
		if x.seen != f.runs {
			changed = true
			delete(f.files, name)
		}
	}
	for _, x := range f.files {
		if changed {
			x.clash = nil
		}
	}
}

// report reports what a file says, all of it or nothing. A clash stays until a file
// changes: the agent does not give each of its series at every tick.
func (f *folder) report(h *probe.Host, r *probe.Report, name string) error {
	x := f.files[name]
	for i := range x.samples {
		s := &x.samples[i]
		if x.clash != nil || !r.Given(s.desc, s.labels...) {
			continue
		}
		by := "another file before it"
		if metric.HelpOf(s.desc.Name) != "" {
			by = "the agent itself"
		}
		x.clash = fmt.Errorf("%s: line %d: %s is given by %s", name, s.line, s.desc.Name, by)
	}
	if err := cmp.Or(x.err, x.clash); err != nil {
		return err
	}
	if family := r.Describe(x.families); family != "" {
		return fmt.Errorf("%s: %s has another type in a file before it", name, family)
	}
	for i := range x.samples {
		r.Sample(x.samples[i].desc, x.samples[i].value, x.samples[i].labels...)
	}
	if info, err := h.Stat(path.Join(f.dir, name)); err == nil {
		r.Sample(&metric.TextfileTime, float64(info.ModTime().UnixMilli())/1e3, path.Join(f.dir, name))
	}
	return nil
}
