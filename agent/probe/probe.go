// Package probe is the frame in which readings of a host are taken: the Probe
// interface, the Host that is their only way to files, programs and the clock, the
// Report they fill, and the scheduler that runs them within their budgets.
//
// Readings come in two kinds. Metric probes run at every tick in one goroutine and
// keep their files open. Inventory probes run rarely, or when a file they watch has
// changed, and fill sections of package facts.
package probe

import (
	"context"
	"time"

	"atalaya/shared/facts"
)

// Probe takes one family of readings. Collect reads, fills the report and stops:
// it does not log, retry, sleep or start goroutines, and obeys ctx within a second.
//
// A nil error makes the status of each section ok, or empty when it has no rows.
// An error marks every section that Report.Problem did not mark: partial when it
// has rows, else unsupported (errors.ErrUnsupported), denied (fs.ErrPermission) or
// failed. Rows of a failed reading never replace what was known.
type Probe interface {
	Info() Info
	Collect(ctx context.Context, h *Host, r *Report) error
}

// Info describes a probe. The zero budget fields mean the scheduler's defaults.
type Info struct {
	Name    string
	Metrics bool // takes metrics
	// Period lies between two runs of a metric probe, roughly; 0: it runs at every tick.
	// An inventory probe runs so often besides the complete readings; 0: it does not.
	Period time.Duration
	// Foreign metric probes give series of others' making, which may be another probe's too:
	// Report.Given tells. They come last.
	Foreign bool
	// Optional metric probes run only where the configuration names them.
	Optional bool
	Sections []facts.ID // inventory sections it fills; none for a metric probe
	Timeout  time.Duration
	MaxItems int      // rows in one section, or samples in one tick
	MaxBytes int64    // of one file read through Host.ReadFile
	Watch    []string // files or folders whose change (by stat) triggers an early reading
	// Locks are files that a program keeps locked while it changes what is watched. An
	// early reading waits until none is held, so that facts tell of whole changes.
	Locks []string
}
