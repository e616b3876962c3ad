// Package devices reads what is plugged into the machine: the sections pci_devices,
// usb_devices, gpus, monitors, sensors and boot_security, all of them out of /sys.
//
// What a device is called comes from the device itself where it says so (USB, EDID),
// else from the list of the PCI ID project, of which the agent carries a part so that the
// same device has the same name on every machine; the system's own lists are asked for
// the rest.
//
// The probe remembers names, and the limits of sensors, for as long as a device is
// there: asking for the latter can wake a slow bus. It never asks a sensor for its value
// nor a connector for a new detection.
package devices

import (
	"context"
	"errors"
	"fmt"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// New returns the probe of the sections about devices.
func New() probe.Probe { return &devices{} }

type devices struct {
	names   names
	pci     map[string]keptPCI
	usb     map[string]keptUSB
	sensors map[string]keptSensors
}

// Info implements probe.Probe.
func (*devices) Info() probe.Info {
	return probe.Info{
		Name:     "devices",
		Sections: []facts.ID{facts.PCIDevices, facts.USBDevices, facts.GPUs, facts.Monitors, facts.Sensors, facts.BootSecurity},
		Timeout:  10 * time.Second,
		MaxItems: 8192, // functions of adapters with SR-IOV come to thousands
		MaxBytes: maxList,
	}
}

// Collect implements probe.Probe.
func (p *devices) Collect(ctx context.Context, h *probe.Host, r *probe.Report) error {
	if err := filesTell(h); err != nil {
		return err
	}
	defer p.names.done()
	cards, bus := p.collectPCI(h.For(facts.PCIDevices), r)
	for _, collect := range []func(){
		func() { p.collectUSB(h.For(facts.USBDevices), r) },
		func() { collectGPUs(h.For(facts.GPUs), r, cards, bus) },
		func() { collectMonitors(h.For(facts.Monitors), r) },
		func() { p.collectSensors(h.For(facts.Sensors), r) },
		func() { collectBootSecurity(h.For(facts.BootSecurity), r) },
	} {
		if err := ctx.Err(); err != nil {
			return err
		}
		collect()
	}
	return nil
}

// absentError says that a kernel has no such class of devices; it is
// errors.ErrUnsupported without the words of that error.
type absentError string

func (e absentError) Error() string        { return string(e) }
func (e absentError) Is(target error) bool { return target == errors.ErrUnsupported }

// silent says of a device whose numbers cannot be read that it is there, unless it was
// pulled out meanwhile.
func silent(h *probe.Host, r *probe.Report, section facts.ID, folder, name string) {
	if _, err := h.Stat(folder + "/" + name); err != nil {
		return
	}
	r.Hidden(section, fmt.Errorf("%s/%s: its numbers cannot be read", folder, name), func(row facts.Row) bool { return row.Key() == name })
}

// problem marks a section whose folder could not be listed.
func problem(r *probe.Report, section facts.ID, folder string, err error) {
	if probe.Absent(err) {
		err = absentError(fmt.Sprintf("no %s on this machine", folder))
	}
	r.Problem(section, err)
}
