// Package process reads the processes of a Linux host: how many there are in which
// state, which groups of them take most of the processors and of the memory, what the
// control groups they run in take, and which programs run for long.
//
// A scan lists /proc once and reads the stat file of each process with buffers that
// are used again: nothing is allocated for a process that was there before.
//
// Sources: proc_pid_stat(5), proc_pid_cgroup(5), Linux
// Documentation/admin-guide/cgroup-v2.rst and cgroup-v1.
package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/metric"
)

// Config says what is reported of the processes.
type Config struct {
	// Top is how many groups are reported that take most processor time, and how many
	// that take most memory; 0: 10. The same for control groups.
	Top int
	// Period lies between two scans; 0: 30 s.
	Period time.Duration
}

const (
	defaultTop    = 10
	defaultPeriod = 30 * time.Second
	userHZ        = 100 // unit of times in stat
)

// New returns the metric probe "process". It remembers the processes of the last scan,
// because what a group of them has used must not shrink when one of them ends.
func New(c Config) probe.Probe {
	if c.Top <= 0 {
		c.Top = defaultTop
	}
	if c.Period <= 0 {
		c.Period = defaultPeriod
	}
	return &metrics{cfg: c}
}

type metrics struct {
	cfg   Config
	host  *probe.Host // that table belongs to
	table *table
	files map[string]*probe.File
	buf   []byte
}

func (m *metrics) Info() probe.Info {
	return probe.Info{Name: "processes", Metrics: true, Period: m.cfg.Period, Timeout: 10 * time.Second}
}

// errHidden says that /proc is mounted so that only one's own processes are seen.
var errHidden = fmt.Errorf("processes of others are hidden (hidepid): %w", fs.ErrPermission)

// Collect implements probe.Probe.
func (m *metrics) Collect(ctx context.Context, h *probe.Host, r *probe.Report) error {
	if m.host != h {
		m.close()
		m.host, m.table = h, newTable(h, m.cfg.Top)
	}
	err := m.table.scan(ctx, h)
	m.limits(h, r)
	if m.table.pids == 0 { // files without processes: that none runs is not what they say
		return cmp.Or(err, errors.ErrUnsupported)
	}
	m.table.report(r)
	return errors.Join(err, m.table.cgroups.report(h, r))
}

func (m *metrics) close() {
	if m.table != nil {
		m.table.cgroups.close()
	}
	for _, f := range m.files {
		f.Close() // read only: nothing can be lost
	}
	m.files = make(map[string]*probe.File)
}

// limits reports how many processes and threads there can be.
func (m *metrics) limits(h *probe.Host, r *probe.Report) {
	for path, desc := range map[string]*metric.Desc{
		"/proc/sys/kernel/pid_max": &metric.ProcessesMax, "/proc/sys/kernel/threads-max": &metric.ThreadsMax,
	} {
		if m.files[path] == nil {
			m.files[path] = h.File(path)
		}
		b, err := m.files[path].Read(m.buf)
		m.buf = b
		if err != nil {
			continue
		}
		field, _ := probe.NextField(firstLine(b))
		if n, ok := probe.ParseUint(field); ok {
			r.Sample(desc, float64(n))
		}
	}
}

func firstLine(b []byte) []byte {
	line, _ := probe.NextLine(b)
	return line
}

// pageBytes is the unit of memory in stat. Files of another machine are read as if it
// had pages of the same size.
var pageBytes = float64(os.Getpagesize())
