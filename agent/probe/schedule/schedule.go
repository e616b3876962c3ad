// Package schedule lists what runs at its time or by itself and is no unit of the init
// system: jobs of cron, anacron and at, and what starts with the machine, a session or a
// shell. Timers of systemd are in package services.
//
// Commands are told with their secrets masked; scripts are named, never read.
//
// Formats: crontab(5), anacrontab(5), atd's spool (at(1)), the Desktop Entry and Desktop
// Application Autostart specifications.
package schedule

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// New returns the probe of scheduled jobs and of what starts by itself.
func New() probe.Probe { return schedule{} }

type schedule struct{}

// Info implements probe.Probe.
func (schedule) Info() probe.Info {
	return probe.Info{
		Name:     "schedule",
		Sections: []facts.ID{facts.CronJobs, facts.Autostart},
		MaxItems: 20_000,
		MaxBytes: 1 << 20, // of one crontab: cron itself refuses more than 10,000 lines in some builds
		Watch: []string{"/etc/crontab", "/etc/cron.d", "/etc/cron.daily", "/etc/cron.hourly", "/etc/anacrontab", "/etc/crontabs", "/var/spool/cron",
			"/var/spool/cron/crontabs", "/etc/rc.local", "/etc/xdg/autostart", "/etc/profile.d"},
	}
}

// Collect implements probe.Probe.
func (schedule) Collect(ctx context.Context, h *probe.Host, r *probe.Report) error {
	c := collector{h: h, r: r, section: facts.CronJobs}
	c.cron()
	c.anacron()
	c.at()
	c.periodic()
	if !c.found && c.problems.Err() == nil {
		c.problems.Add(fmt.Errorf("neither cron nor at: %w", errors.ErrUnsupported))
	}
	c.finish()
	if err := ctx.Err(); err != nil {
		return err
	}
	a := collector{h: h, r: r, section: facts.Autostart}
	if err := h.Holds("/etc"); errors.Is(err, errors.ErrUnsupported) { // what may not be read is named below
		r.Problem(facts.Autostart, err)
		return nil
	}
	a.system()
	err := a.users(ctx)
	a.finish()
	return err
}

// collector fills one section.
type collector struct {
	h        *probe.Host
	r        *probe.Report
	section  facts.ID
	found    bool // something that keeps such things is there
	problems probe.Problems
	remark   string
}

func (c *collector) finish() {
	if err := c.problems.Err(); err != nil {
		c.r.Problem(c.section, err)
	} else if c.remark != "" {
		c.r.Remark(c.section, c.remark)
	}
}

// failed notes an error, unless there is no such file.
func (c *collector) failed(name string, err error) {
	if err != nil && !probe.Absent(err) {
		c.problems.Add(fmt.Errorf("%s: %w", name, err))
	}
}

// names lists the files of a folder that count; folders and what editors and package
// managers leave there do not.
func (c *collector) names(dir string) []string {
	entries, err := c.h.ReadDir(dir)
	c.failed(dir, err)
	if err == nil {
		c.found = true
	}
	var out []string
	for _, e := range entries {
		if name := e.Name(); !e.IsDir() && !leftover(name) {
			out = append(out, name)
		}
	}
	return out
}

func leftover(name string) bool {
	switch path.Ext(name) {
	case ".rpmsave", ".rpmnew", ".rpmorig", ".swp", ".bak", ".disabled", ".dpkg-old", ".dpkg-new", ".dpkg-dist", ".dpkg-tmp", ".ucf-dist":
		return true
	}
	return name[0] == '.' || name[0] == '#' || strings.HasSuffix(name, "~")
}

// read is a file that may be missing; what is read by a person must be text.
func (c *collector) read(name string) (string, bool) {
	data, err := c.h.ReadFile(name)
	if err == nil {
		c.found = true
		if strings.IndexByte(string(data), 0) >= 0 {
			err = errors.New("has NUL bytes")
		}
	}
	c.failed(name, err)
	return string(data), err == nil
}

// executable reports a file that may be run.
func (c *collector) executable(name string) bool {
	info, err := c.h.Stat(name)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
