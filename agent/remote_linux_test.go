package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"atalaya/agent"
	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

// looked is what a section said of a machine with file systems that do not answer.
type looked struct {
	Status, Reason string
}

// TestNothingIsReadWhereNobodyAnswers runs the probes in namespaces of their own, in which
// /home and /etc/pve are served by a program that takes no request: whoever asks there waits
// for ever.
func TestNothingIsReadWhereNobodyAnswers(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	if os.Getuid() != 0 {
		t.Skip("only root may make namespaces and mounts")
	}
	home, stopHome := probetest.Fuse(t, probetest.Deaf)
	pve, stopPVE := probetest.Fuse(t, probetest.Deaf)
	defer stopHome()
	defer stopPVE()
	// The name of the certificate is in the command line of a running program.
	got := make(map[string]looked)
	startAgent(t, []*os.File{home, pve}, asLooker, "/home/ann/web.pem").report(t, &got)
	for section, want := range map[string]looked{
		"certificates":     {"failed", "/etc/pve/local/*.pem: no answer within 3s; those on remote file systems are not listed"},
		"containers":       {"partial", "/etc/pve/lxc/*.conf: no answer within 3s"},
		"virtual_machines": {"failed", "/etc/pve/qemu-server/*.conf: no answer within 3s"},
		"packages":         {"ok", "modules and archives in programs on remote file systems are not listed"},
		"authorized_keys":  {"empty", "keys in homes on remote file systems are not listed"},
	} {
		if got[section] != want {
			t.Errorf("%s: %+v, want %+v", section, got[section], want)
		}
	}
}

// lookAtRemotes is the agent in its namespaces.
func lookAtRemotes() error {
	if err := ownMounts(); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", "/etc", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount /etc: %w", err)
	}
	const dpkg = "Package: x\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n"
	machine := map[string]string{
		"/etc/pve/x": "", "/etc/passwd": "ann:x:1000:1000::/home/ann:/bin/sh\n",
		"/var/lib/dpkg/status": dpkg, "/var/lib/machines/guest/x": "",
	}
	var problem error
	for _, dir := range []string{"/var/lib", "/root", "/opt", "/srv", "/usr/local"} { // or all of this machine is read
		if _, err := os.Stat(dir); err == nil {
			problem = errors.Join(problem, unix.Mount("tmpfs", dir, "tmpfs", 0, ""))
		}
	}
	for name, text := range machine {
		problem = errors.Join(problem, os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644))
	}
	for fd, point := range map[int]string{3: "/home", 4: "/etc/pve"} {
		problem = errors.Join(problem, probetest.MountFuse(fd, point), unix.Close(fd))
	}
	if problem != nil {
		return problem
	}
	probes := agent.InventoryProbes(agent.DefaultConfig(), facts.Certificates, facts.Containers, facts.VirtualMachines, facts.Packages, facts.AuthorizedKeys)
	for _, p := range probes {
		if p, ok := p.(interface{ Remember(reported []facts.Row) }); ok {
			p.Remember([]facts.Row{&facts.PackageRow{Name: "m", Source: "go", Locations: []string{"/home/ann/bin/m"}}})
		}
	}
	out := make(map[string]looked)
	for _, rd := range probe.RunOnce(context.Background(), probe.LiveHost().WithHelper("/proc/self/exe", asHelper), probes...).Readings {
		out[rd.Section.String()] = looked{rd.Status.String(), rd.Reason}
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}
