package probe

import (
	"time"

	"atalaya/shared/facts"
)

// Cost is what the runs of one probe took so far, and how the last one ended.
type Cost struct {
	Probe   string `json:"probe"`
	Metrics bool   `json:"metrics"`
	// PeriodSeconds lies between two runs; 0: it runs at every tick, or with the inventory.
	PeriodSeconds float64 `json:"period_seconds,omitempty"`
	Suspended     bool    `json:"suspended,omitempty"` // given up to stay within the budget
	Runs          uint64  `json:"runs"`
	// CPU time includes the programs that were run. It is not known (0) on systems
	// that do not tell the time of one thread; time on the wall bounds it there.
	CPUSeconds      float64      `json:"cpu_seconds"`
	LastCPUSeconds  float64      `json:"last_cpu_seconds"`
	WallSeconds     float64      `json:"wall_seconds"`
	LastWallSeconds float64      `json:"last_wall_seconds"`
	ReadBytes       int64        `json:"read_bytes"` // of files and of the output of programs
	LastReadBytes   int64        `json:"last_read_bytes"`
	LastItems       int          `json:"last_items"` // samples, or rows of all sections
	LastRun         facts.Time   `json:"last_run,omitzero"`
	Status          facts.Status `json:"status"` // unknown before the first run
	Reason          string       `json:"reason,omitempty"`
}

// spent is what one run took.
type spent struct {
	cpu, wall time.Duration
	bytes     int64
}

// Charge counts bytes that a probe has read of the kernel by itself, as a Host's methods count
// theirs.
func (h *Host) Charge(n int) { h.bytes.Add(int64(n)) }

// meter measures one run; the calling goroutine is locked to its thread.
type meter struct {
	host     *Host
	began    time.Time
	thread   time.Duration
	children int64
	bytes    int64
}

func startMeter(h *Host) meter {
	return meter{host: h, began: time.Now(), thread: threadCPU(), children: h.childCPU.Load(), bytes: h.bytes.Load()}
}

func (m meter) stop() spent {
	children := time.Duration(m.host.childCPU.Load() - m.children)
	return spent{
		cpu:   threadCPU() - m.thread + children,
		wall:  time.Since(m.began),
		bytes: m.host.bytes.Load() - m.bytes,
	}
}

// charge enters one run into the ledger.
func (r *runner) charge(s spent, report *Report, err error) {
	items := report.items()
	status, reason := report.summary(err)
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &r.cost
	c.Runs++
	c.CPUSeconds += s.cpu.Seconds()
	c.WallSeconds += s.wall.Seconds()
	c.ReadBytes += s.bytes
	c.LastCPUSeconds, c.LastWallSeconds, c.LastReadBytes = s.cpu.Seconds(), s.wall.Seconds(), s.bytes
	c.LastItems = items
	c.LastRun = facts.TimeOf(r.host.Now())
	c.Status, c.Reason = status, reason
}

func (r *runner) snapshot() Cost {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.cost
	if r.hung {
		c.Status, c.Reason = facts.StatusFailed, "a reading has not returned"
	}
	return c
}
