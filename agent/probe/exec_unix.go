//go:build unix

package probe

import (
	"os/exec"
	"syscall"
)

// openFlags keep an open of a pipe without a writer from waiting for one.
const openFlags = syscall.O_NONBLOCK

// ownGroup gives the program a process group, so that its children end with it.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Dir = "/"
	cmd.Cancel = func() error { return killGroup(cmd) }
}

func killGroup(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
