// Package services lists the services that the init system knows: systemd from its unit
// files, OpenRC and System V init from their scripts. No program runs and the service
// manager is not asked.
//
// Enabled has the meaning that `systemctl list-unit-files` gives it. State comes from
// the control groups, so it is told only where systemd runs the machine: running is a
// service with processes, stopped one without (failed ones too, files do not tell them
// apart). It is absent for services that do their work and end (Type=oneshot).
//
// Formats: systemd.unit(5), systemd.service(5), insserv(8) links, openrc runlevels.
package services

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// New returns the probe of services.
func New() probe.Probe { return services{} }

type services struct{}

// Info implements probe.Probe.
func (services) Info() probe.Info {
	return probe.Info{
		Name:     "services",
		Sections: []facts.ID{facts.Services},
		Watch: []string{"/etc/systemd/system", "/etc/systemd/system/multi-user.target.wants",
			"/usr/lib/systemd/system", "/lib/systemd/system", "/etc/init.d", "/etc/runlevels/default"},
	}
}

// Collect implements probe.Probe.
func (services) Collect(ctx context.Context, h *probe.Host, r *probe.Report) error {
	units, problem := findUnits(h)
	rows := make(map[string]*facts.ServiceRow, len(units.files))
	for _, name := range slices.Sorted(maps.Keys(units.files)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		row, err := units.row(h, name)
		if err != nil {
			problem = errors.Join(problem, err)
		}
		rows[row.Name] = row
	}
	units.addStates(h, rows)
	scripts, err := initScripts(h, rows)
	problem = errors.Join(problem, err)
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		r.Add(facts.Services, rows[name])
	}
	r.Add(facts.Services, scripts...)
	if len(rows) == 0 && len(scripts) == 0 && problem == nil {
		return fmt.Errorf("neither systemd units nor init scripts: %w", errors.ErrUnsupported)
	}
	return problem
}
