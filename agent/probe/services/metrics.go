package services

import (
	"errors"
	"io/fs"
	"maps"
	"slices"

	"atalaya/agent/probe"
	"atalaya/shared/metric"
)

// Probes returns the metric probes of the units of systemd: how many there are in which
// state and which have failed, and, off by default, the state of each.
func Probes() []probe.Probe {
	return []probe.Probe{
		probe.Gather(probe.Info{Name: "systemd"}, &metric.Systemd, collectUnits(reportFailed)),
		probe.Gather(probe.Info{Name: "systemd_units"}, &metric.SystemdUnits, collectUnits(reportStates)),
	}
}

const (
	// maxFailed bounds the failed units that are named: where more have failed, their
	// number says enough.
	maxFailed = 20
	// maxUnits bounds those whose states are told one by one.
	maxUnits = 2000
)

// unitStates are the states of units that are counted (systemd has
// others, such as reloading, that pass within seconds).
var unitStates = []string{"activating", "active", "deactivating", "failed", "inactive"}

// collectUnits asks systemd where it is process 1 of this machine: no file tells the
// states of units.
func collectUnits(report func(*probe.Gathering, map[string]loaded)) func(*probe.Gathering) error {
	return func(g *probe.Gathering) error {
		if !g.Live() || g.Text("/proc/1/comm") != "systemd" {
			return errors.ErrUnsupported
		}
		err := onBus(g.Context(), func(s *session) error { return askUnits(g, s, report) })
		if errors.Is(err, fs.ErrNotExist) { // a system without a bus
			return errors.ErrUnsupported
		}
		return err
	}
}

func askUnits(g *probe.Gathering, s *session, report func(*probe.Gathering, map[string]loaded)) error {
	units, err := s.units()
	if err != nil {
		return err
	}
	report(g, units)
	state, err := s.systemState()
	if err != nil {
		return err
	}
	running := 0.0
	if state == "running" {
		running = 1
	}
	g.Add("system_running", running)
	return nil
}

// reportFailed counts the units by state and names those that have failed.
func reportFailed(g *probe.Gathering, units map[string]loaded) {
	count := make(map[string]int)
	var failed []string
	for name, u := range units {
		count[u.active]++
		if u.active == "failed" {
			failed = append(failed, name)
		}
	}
	for _, state := range unitStates {
		g.Add("units", float64(count[state]), "state", state)
	}
	slices.Sort(failed)
	for _, name := range failed[:min(len(failed), maxFailed)] {
		g.Add("unit_state", 1, "name", name, "state", "failed", "type", "")
	}
}

// reportStates tells of each unit which of the states it is in.
func reportStates(g *probe.Gathering, units map[string]loaded) {
	names := slices.Sorted(maps.Keys(units))
	for _, name := range names[:min(len(names), maxUnits)] {
		if units[name].load != "loaded" {
			continue // another unit names it, but it is not installed
		}
		for _, state := range unitStates {
			is := 0.0
			if units[name].active == state {
				is = 1
			}
			g.Add("unit_state", is, "name", name, "state", state, "type", "")
		}
	}
}
