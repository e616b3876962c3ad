// Package security tells the state of the system's security mechanisms: SELinux, AppArmor
// with its profiles, the other security modules of the kernel, signatures of modules, FIPS
// mode, crypto policies and the audit daemon. What guards the boot, lockdown and the
// weaknesses of the processor are in the section boot_security.
//
// Formats: selinuxfs and selinux_config(5), apparmorfs (apparmor(7)), securityfs
// (Documentation/security/lsm.rst).
package security

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// New returns the probe of security mechanisms.
func New() probe.Probe { return security{} }

type security struct{}

// Info implements probe.Probe.
func (security) Info() probe.Info {
	return probe.Info{
		Name:     "security",
		Sections: []facts.ID{facts.SecurityModules},
		MaxItems: 5000,
		MaxBytes: 4 << 20,
		Watch:    []string{"/etc/selinux/config", "/etc/apparmor.d", "/etc/crypto-policies/config", "/etc/audit"},
	}
}

// Collect implements probe.Probe.
func (security) Collect(ctx context.Context, h *probe.Host, r *probe.Report) error {
	c := collector{h: h, r: r}
	if _, err := h.Stat("/etc"); errors.Is(err, fs.ErrNotExist) {
		if err := h.Holds("/sys"); err != nil {
			return err
		}
	}
	c.selinux()
	c.apparmor()
	c.kernel()
	c.audit()
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.problem != nil {
		r.Problem(facts.SecurityModules, c.problem)
	}
	return nil
}

type collector struct {
	h       *probe.Host
	r       *probe.Report
	problem error
}

func (c *collector) add(row *facts.SecurityModuleRow) { c.r.Add(facts.SecurityModules, row) }

const (
	selinuxFS  = "/sys/fs/selinux"
	apparmorFS = "/sys/kernel/security/apparmor"
)

// selinux tells what the kernel does now, and what it will do after the next boot.
func (c *collector) selinux() {
	config, err := c.h.ReadFile("/etc/selinux/config")
	settings := shellSettings(string(config))
	row := &facts.SecurityModuleRow{Module: "selinux", Configured: settings["SELINUX"], Policy: settings["SELINUXTYPE"]}
	switch c.h.ReadString(selinuxFS + "/enforce") {
	case "1":
		row.State = "enforcing"
	case "0":
		row.State = "permissive"
	default:
		if err != nil {
			return // neither in the kernel nor configured
		}
		if c.h.Live() {
			row.State = "disabled"
		}
	}
	row.Version = c.h.ReadString(selinuxFS + "/policyvers")
	c.add(row)
}

// shellSettings reads NAME=value lines.
func shellSettings(text string) map[string]string {
	out := make(map[string]string)
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(name, "#") && strings.IndexByte(value, 0) < 0 {
			out[strings.TrimSpace(name)] = strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	return out
}

// apparmor lists the loaded profiles with their mode.
func (c *collector) apparmor() {
	switch c.h.ReadString("/sys/module/apparmor/parameters/enabled") {
	case "Y":
		c.add(&facts.SecurityModuleRow{Module: "apparmor", State: "enabled"})
	case "N":
		c.add(&facts.SecurityModuleRow{Module: "apparmor", State: "disabled"})
		return
	default:
		return
	}
	data, err := c.h.ReadFile(apparmorFS + "/profiles")
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			c.problem = errors.Join(c.problem, err)
		}
		return
	}
	rows, err := ParseProfiles(string(data))
	for _, row := range rows {
		c.add(row)
	}
	c.problem = errors.Join(c.problem, err)
}

// ParseProfiles reads lines "name (mode)"; names may have blanks and brackets.
func ParseProfiles(text string) ([]*facts.SecurityModuleRow, error) {
	var out []*facts.SecurityModuleRow
	for line := range strings.Lines(text) {
		name, mode, ok := cutLast(strings.TrimSuffix(line, "\n"), " (")
		mode, closed := strings.CutSuffix(mode, ")")
		if !ok || !closed || name == "" || strings.IndexByte(line, 0) >= 0 {
			return out, probe.NotUnderstood([]byte(line))
		}
		out = append(out, &facts.SecurityModuleRow{Module: "apparmor", Name: strings.ToValidUTF8(name, "\uFFFD"), State: mode})
	}
	return out, nil
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// kernel tells of what the kernel says in one word each.
func (c *collector) kernel() {
	told := []string{"selinux", "apparmor", "lockdown", "yama", "capability"} // with a state of their own, in boot_security, or always there
	for _, name := range strings.Split(c.h.ReadString("/sys/kernel/security/lsm"), ",") {
		if name != "" && !slices.Contains(told, name) {
			c.add(&facts.SecurityModuleRow{Module: name, State: "enabled"})
		}
	}
	for _, x := range []struct{ module, file, on, off string }{
		{"module_signatures", "/sys/module/module/parameters/sig_enforce", "enforced", "not enforced"},
		{"fips", "/proc/sys/crypto/fips_enabled", "enabled", "disabled"},
	} {
		switch c.h.ReadString(x.file) {
		case "1", "Y":
			c.add(&facts.SecurityModuleRow{Module: x.module, State: x.on})
		case "0", "N":
			c.add(&facts.SecurityModuleRow{Module: x.module, State: x.off})
		}
	}
	// Documentation/admin-guide/LSM/Yama.rst
	scopes := map[string]string{"0": "unrestricted", "1": "restricted", "2": "admin only", "3": "no attach"}
	if state := scopes[c.h.ReadString("/proc/sys/kernel/yama/ptrace_scope")]; state != "" {
		c.add(&facts.SecurityModuleRow{Module: "yama", State: state})
	}
	if c.h.ReadString("/proc/sys/kernel/seccomp/actions_avail") != "" {
		c.add(&facts.SecurityModuleRow{Module: "seccomp", State: "enabled"})
	}
	policy, _ := c.h.ReadFile("/etc/crypto-policies/config") // only Red Hat's systems have it
	for line := range strings.Lines(string(policy)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			c.add(&facts.SecurityModuleRow{Module: "crypto_policies", Policy: line})
			break
		}
	}
}

// audit tells whether the audit daemon is there and runs.
func (c *collector) audit() {
	if _, err := c.h.Stat("/etc/audit/auditd.conf"); err != nil {
		return
	}
	row := &facts.SecurityModuleRow{Module: "audit", Configured: "installed"}
	pid := c.h.ReadString("/run/auditd.pid")
	if pid != "" && strings.Trim(pid, "0123456789") == "" {
		row.State = "stopped"
		if _, err := c.h.Stat("/proc/" + pid); err == nil {
			row.State = "running"
		}
	} else if c.h.Live() {
		row.State = "stopped"
	}
	c.add(row)
}
