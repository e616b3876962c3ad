package services

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// states is what is known of the units at this moment.
type states struct {
	loaded map[string]loaded // by full name, as systemd says; nil where it was not asked or does not answer
	// running are the services with processes, by their control groups; nil where there are none.
	running map[string]bool
	refused error  // why systemd did not answer
	blind   error  // why some control groups could not be read: what does not run is not known
	unasked string // why nothing is known
}

// readStates asks systemd where it is process 1 of this machine. Where it does not answer,
// and below a root, the control groups tell which services run.
func readStates(ctx context.Context, h *probe.Host) states {
	var s states
	switch first := h.ReadString("/proc/1/comm"); first {
	case "systemd":
	case "":
		return states{unasked: "nothing says whether systemd runs"}
	default:
		return states{unasked: fmt.Sprintf("the first process is %q, not systemd", first)}
	}
	if h.Live() {
		if s.loaded, s.refused = loadedUnits(ctx); s.refused == nil {
			return s
		}
	}
	running := make(map[string]bool)
	for _, root := range cgroupRoots {
		err := walk(h, root, running, 2)
		if !probe.Absent(err) {
			s.running, s.blind = running, errors.Join(s.blind, err)
		}
	}
	if s.running == nil && s.refused == nil && s.blind == nil {
		s.unasked = "there are no control groups"
	}
	return s
}

// lack says what is not known of services where systemd did not answer.
func (s *states) lack() error {
	what := "failed services are shown as stopped: "
	switch {
	case s.unasked != "":
		what = "what runs is not known: "
	case s.blind != nil:
		what = "which services have stopped is not known: "
	}
	return errors.New(what + s.silence())
}

// silence says why systemd did not answer.
func (s *states) silence() string {
	switch {
	case s.unasked != "":
		return s.unasked
	case s.blind != nil:
		return s.blind.Error()
	case s.refused == nil:
		return "only systemd itself tells, where it runs"
	case errors.Is(s.refused, errRefused):
		return errRefused.Error() + " (run `useradd --system --user-group atalaya-agent` and restart it)"
	}
	return "systemd does not answer"
}

// addTo tells the states of services, and adds those that run and have no file of their
// own: instances of templates and transient ones.
func (s *states) addTo(rows map[string]*facts.ServiceRow) {
	for name, u := range s.loaded {
		if name, ok := strings.CutSuffix(name, service); ok && u.active != "inactive" && rows[name] == nil {
			rows[name] = instance(rows, name)
		}
	}
	for name := range s.running {
		if rows[name] == nil {
			rows[name] = instance(rows, name)
		}
	}
	for name, row := range rows {
		if strings.HasSuffix(name, "@") || row.Enabled == "alias" {
			continue // never run under this name
		}
		switch {
		case s.loaded != nil:
			row.State = s.loaded[name+service].state()
		case s.running[name]:
			row.State = "running"
		case s.running != nil && s.blind == nil && row.Exec != "" && row.Type != "oneshot":
			row.State = "stopped"
		}
	}
}

// state puts systemd's states into the words of all service managers. What is not loaded
// is stopped.
func (u loaded) state() string {
	switch u.active {
	case "active", "reloading", "refreshing":
		if u.sub == "exited" {
			return "exited"
		}
		return "running"
	case "activating":
		return "starting"
	case "failed":
		return "failed"
	}
	return "stopped"
}

// active tells whether a timer or socket waits; nil is not known.
func (s *states) active(name string) *bool {
	if s.loaded == nil {
		return nil
	}
	is := s.loaded[name].active == "active"
	return &is
}

// instance makes a row for a running service without a file of its own name: an
// instance of a template, or a transient unit that has just begun.
func instance(rows map[string]*facts.ServiceRow, name string) *facts.ServiceRow {
	row := &facts.ServiceRow{Name: name, Manager: "systemd"}
	if i := strings.IndexByte(name, '@'); i >= 0 {
		if template := rows[name[:i+1]]; template != nil {
			row.Description, row.Exec, row.User, row.Path = template.Description, template.Exec, template.User, template.Path
			row.Type, row.Restart = template.Type, template.Restart
		}
	}
	return row
}

// cgroupRoots are the hierarchies in which systemd keeps its services: version 2, and
// its own one beside version 1.
var cgroupRoots = []string{"/sys/fs/cgroup/system.slice", "/sys/fs/cgroup/systemd/system.slice", "/sys/fs/cgroup/unified/system.slice"}

// walk notes the services below a slice that have processes. Slices nest at most depth
// levels deeper (system-getty.slice in system.slice).
func walk(h *probe.Host, dir string, running map[string]bool, depth int) error {
	entries, err := h.ReadDir(dir)
	var problems probe.Problems
	problems.Add(err)
	for _, e := range entries {
		name := e.Name()
		switch {
		case !e.IsDir():
		case strings.HasSuffix(name, service):
			processes, err := h.For(facts.Services).ReadFile(path.Join(dir, name, "cgroup.procs"))
			if errors.Is(err, fs.ErrPermission) {
				problems.Add(err)
			}
			if len(processes) > 0 || hasChildren(h, path.Join(dir, name)) {
				running[strings.TrimSuffix(name, service)] = true
			}
		case strings.HasSuffix(name, ".slice") && depth > 0:
			if err := walk(h, path.Join(dir, name), running, depth-1); !probe.Absent(err) {
				problems.Add(err)
			}
		}
	}
	return problems.Err()
}

// hasChildren reports processes in groups below a service that delegates its own (user
// managers, container engines).
func hasChildren(h *probe.Host, dir string) bool {
	return strings.Contains(h.ReadString(dir+"/cgroup.events"), "populated 1")
}
