package kernelconf

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

func TestAParameterOfRootsHasARowWithoutAValue(t *testing.T) {
	root := probetest.Tree(t, map[string]string{
		"proc/sys/kernel/sysrq": "1\n", "proc/sys/fs/protected_fifos": "1\n", "proc/sys/vm/swappiness": "60\n", "etc/sysctl.conf": "vm.swappiness=10\n"})
	probetest.Deny(t, root, "proc/sys/fs/protected_fifos", "proc/sys/vm/swappiness")
	s := probetest.Sections(probe.RootHost(root), New())["kernel_parameters"]
	want := []facts.Row{
		&facts.KernelParameterRow{Name: "fs.protected_fifos"}, &facts.KernelParameterRow{Name: "kernel.sysrq", Value: "1"},
		&facts.KernelParameterRow{Name: "vm.swappiness", Configured: "10", File: "/etc/sysctl.conf"},
	}
	if s.Status != facts.StatusOK || s.Reason != "only root may read fs.protected_fifos, vm.swappiness" {
		t.Errorf("%v (%s)", s.Status, s.Reason)
	}
	if d := cmp.Diff(want, s.Rows); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
