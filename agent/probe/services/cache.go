package services

import (
	"fmt"
	"slices"

	"atalaya/agent/probe"
)

// cache keeps what was read of units whose files have not changed since.
type cache struct {
	found *units
	units map[string]*cached
}

type cached struct {
	file, override probe.Stamp
	overrides      []string
	unit           *unit
	err            error
	used           bool
}

// find lists the units anew where a folder has changed.
func (c *cache) find(h *probe.Host) *units {
	if c.found == nil || !c.found.same(h) {
		c.found = findUnits(h, c)
	}
	return c.found
}

// unit reads a unit from its file and its drop-ins. An error may come beside a unit of
// which a drop-in could not be read.
func (c *cache) unit(h *probe.Host, name, file string, overrides []string) (*unit, error) {
	now := cached{file: h.Stamp(file), overrides: overrides, used: true}
	for _, f := range overrides {
		now.override = now.override.Mix(h.Stamp(f))
	}
	e := c.units[name]
	if e == nil || e.err != nil || e.file != now.file || e.override != now.override || !slices.Equal(e.overrides, overrides) {
		now.unit, now.err = readUnit(h, name, file, overrides)
		e = &now
		c.units[name] = e
	}
	e.used = true
	return e.unit, e.err
}

// sweep forgets units that are gone.
func (c *cache) sweep() {
	for name, e := range c.units {
		if !e.used {
			delete(c.units, name)
		}
		e.used = false
	}
}

func readUnit(h *probe.Host, name, file string, overrides []string) (*unit, error) {
	data, err := h.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("unit %s: %w", name, err)
	}
	if len(data) == 0 {
		return &unit{empty: true}, nil
	}
	u, err := parseUnit(data)
	if err != nil {
		return nil, fmt.Errorf("unit %s: %w", name, err)
	}
	var problems probe.Problems
	for _, f := range overrides {
		data, err := h.ReadFile(f)
		if err == nil {
			err = u.parse(data)
		}
		if err != nil {
			problems.Add(fmt.Errorf("drop-in %s: %w", f, err))
		}
	}
	return u, problems.Err()
}
