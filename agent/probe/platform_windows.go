package probe

import (
	"os"
	"os/exec"
	"syscall"
)

func openFile(name string) (*os.File, error) { return os.Open(name) }

func openFolder(name string) (*os.File, error) { return os.Open(name) }

// ownGroup keeps the program from opening a console window. Its children are not
// killed with it, but they cannot hold us: WaitDelay closes the pipes.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{HideWindow: true}
	cmd.Cancel = func() error { return killGroup(cmd) }
}

func killGroup(cmd *exec.Cmd) error { return cmd.Process.Kill() }
