// Package kernelconf tells how the running kernel is made up and set: its modules, and its
// parameters (sysctl) beside what is configured for them.
//
// Of the parameters a list is read of those that matter, and all that a file configures.
//
// Formats: proc_modules(5), depmod(8) modules.dep, sysctl.d(5), sysctl.conf(5).
package kernelconf

import (
	"context"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// New returns the probe of the kernel's modules and parameters. It keeps what it has read
// of modules that are still loaded.
func New() probe.Probe { return new(kernelconf) }

type kernelconf struct{ modules moduleCache }

// Info implements probe.Probe.
func (*kernelconf) Info() probe.Info {
	return probe.Info{
		Name:     "kernelconf",
		Sections: []facts.ID{facts.KernelModules, facts.KernelParameters},
		MaxItems: 5000,
		MaxBytes: 8 << 20, // modules.dep of a distribution's kernel has 0.7 MB
		Watch:    []string{"/etc/sysctl.conf", "/etc/sysctl.d", "/run/sysctl.d", "/usr/lib/sysctl.d"},
	}
}

// Collect implements probe.Probe.
func (k *kernelconf) Collect(ctx context.Context, h *probe.Host, r *probe.Report) error {
	k.modules.collect(h, r)
	if err := ctx.Err(); err != nil {
		return err
	}
	collectParameters(h, r)
	return nil
}
