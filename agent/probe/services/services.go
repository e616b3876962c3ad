// Package services lists what the init system knows: services, timers and sockets of
// systemd from its unit files, services of OpenRC and System V init from their scripts, of
// runit from their folders. No program runs.
//
// Enabled has the meaning that `systemctl list-unit-files` gives it. State is what systemd
// says over the message bus (ADR 17): running, exited (it did its work and counts as
// active), starting, failed or stopped. Where systemd does not answer, and below a root, it
// comes from the control groups: running is a service with processes, stopped one without;
// it is then absent for services that do their work and end (Type=oneshot). Where states are not
// known, or failed is not told from stopped, the section is partial; what has a file of its own
// and is missing is gone all the same.
//
// Formats: systemd.unit(5), systemd.service(5), systemd.timer(5), systemd.socket(5),
// systemd.preset(5), insserv(8) links, openrc runlevels, runsv(8).
package services

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// New returns the probe of services. It keeps what it has read of unchanged unit files.
func New() probe.Probe { return &services{cache: cache{units: make(map[string]*cached)}} }

type services struct{ cache cache }

// Info implements probe.Probe.
func (*services) Info() probe.Info {
	return probe.Info{
		Name:     "services",
		Sections: []facts.ID{facts.Services, facts.Timers, facts.UnitSockets},
		MaxBytes: 4 << 20,
		Watch: []string{"/etc/systemd/system", "/etc/systemd/system/multi-user.target.wants", "/etc/systemd/system/timers.target.wants",
			"/etc/systemd/system/sockets.target.wants", "/usr/lib/systemd/system", "/lib/systemd/system", "/etc/init.d", "/etc/runlevels/default", "/var/service"},
	}
}

// Collect implements probe.Probe.
func (p *services) Collect(ctx context.Context, h *probe.Host, r *probe.Report) error {
	units := p.cache.find(h)
	defer p.cache.sweep()
	now := readStates(ctx, h)
	rows := make(map[string]*facts.ServiceRow, len(units.files))
	have := make(map[string]bool)
	problems := map[string]*probe.Problems{service: {}, timer: {}, socket: {}}
	for _, p := range problems {
		p.Add(units.problem)
	}
	for _, name := range slices.Sorted(maps.Keys(units.files)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		kind := path.Ext(name)
		have[kind] = true
		switch kind {
		case service:
			row, err := units.serviceRow(h, name)
			rows[row.Name] = row
			problems[kind].Add(err)
		case timer:
			problems[kind].Add(units.addTimer(h, r, &now, name))
		case socket:
			problems[kind].Add(units.addSockets(h, r, &now, name))
		}
	}
	now.addTo(rows)
	scripts, err := initScripts(h, rows)
	supervised, runitErr := runitServices(h)
	scripts = append(scripts, supervised...)
	problems[service].Add(err, runitErr)
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		r.Add(facts.Services, rows[name])
	}
	r.Add(facts.Services, scripts...)
	if len(rows) == 0 && len(scripts) == 0 && problems[service].Err() == nil {
		problems[service].Add(fmt.Errorf("neither systemd units nor init scripts nor services of runit: %w", errors.ErrUnsupported))
	}
	r.Problem(facts.Services, problems[service].Err())
	if len(rows) > 0 && now.loaded == nil {
		r.Glimpsed(facts.Services, now.lack(), passing)
	}
	if now.loaded == nil && slices.ContainsFunc(scripts, stateless) {
		r.Veiled(facts.Services, errors.New("not all init scripts and supervised services note whether they run"))
	}
	if len(units.files) == 0 && units.problem == nil {
		none := fmt.Errorf("no systemd units: %w", errors.ErrUnsupported)
		problems[timer].Add(none)
		problems[socket].Add(none)
	}
	for kind, section := range map[string]facts.ID{timer: facts.Timers, socket: facts.UnitSockets} {
		r.Problem(section, problems[kind].Err())
		if now.loaded == nil && have[kind] {
			r.Veiled(section, fmt.Errorf("which are active is not known: %s", now.silence()))
		}
	}
	return nil
}

func stateless(row facts.Row) bool { return row.(*facts.ServiceRow).State == "" }

// passing reports whether a row may be of what only systemd, or its control group, tells: an
// instance of a template, or a transient unit.
func passing(row facts.Row) bool {
	s := row.(*facts.ServiceRow)
	return s.Manager == "systemd" && (s.Path == "" || strings.Contains(s.Name, "@"))
}

// addTimer adds a timer, unless its name is masked or another one's.
func (u *units) addTimer(h *probe.Host, r *probe.Report, now *states, name string) error {
	unit, enabled, err := u.read(h, name)
	base := strings.TrimSuffix(name, timer)
	row := &facts.TimerRow{Name: base, Unit: base + service, Schedule: []string{}, Enabled: enabled, Path: u.files[name].path(name)}
	if enabled == "alias" {
		return nil
	}
	if unit != nil {
		row.Description, row.Schedule, row.Persistent, row.RandomDelay = unit.description, unit.schedule, unit.persistent, unit.randomDelay
		if unit.starts != "" {
			row.Unit = unit.starts
		}
	}
	row.Active = now.active(name)
	r.Add(facts.Timers, row)
	return err
}

// addSockets adds a row for each address of a socket unit.
func (u *units) addSockets(h *probe.Host, r *probe.Report, now *states, name string) error {
	unit, enabled, err := u.read(h, name)
	if unit == nil { // an alias, or masked: it listens nowhere
		return err
	}
	base := strings.TrimSuffix(name, socket)
	starts := base + service
	if unit.accept {
		starts = base + "@" + service
	}
	if unit.starts != "" {
		starts = unit.starts
	}
	for _, l := range unit.listen {
		r.Add(facts.UnitSockets, &facts.UnitSocketRow{Name: base, Kind: l.kind, Address: l.address, Service: starts, Description: unit.description,
			Enabled: enabled, Active: now.active(name), Accept: unit.accept, User: unit.owner, Group: unit.group, Mode: unit.fileMode,
			Path: u.files[name].path(name)})
	}
	return err
}
