//go:build unix

package probe

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func makePipe(t *testing.T, name string) {
	t.Helper()
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Skip("cannot make a pipe:", err)
	}
}

func shell(t *testing.T) string {
	t.Helper()
	p, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no shell")
	}
	return p
}

func TestRunReturnsOutputUnderAFixedEnvironment(t *testing.T) {
	t.Setenv("SECRET", "x")
	got, err := LiveHost().Run(t.Context(), shell(t), "-c", `echo "$LC_ALL$SECRET"`)
	if err != nil || string(got) != "C\n" {
		t.Errorf("Run = %q, %v", got, err)
	}
}

func TestRunRefuses(t *testing.T) {
	sh := shell(t)
	f := func(h *Host, program string, want error) {
		t.Helper()
		if out, err := h.Run(t.Context(), program); err == nil || (want != nil && !errors.Is(err, want)) {
			t.Errorf("Run(%q) = %q, %v; want %v", program, out, err, want)
		}
	}
	f(RootHost(t.TempDir()), sh, errors.ErrUnsupported)
	f(LiveHost(), "sh", nil)
	f(LiveHost(), "/no/such/program", syscall.ENOENT)
}

func TestRunReportsExitStatusAndTalk(t *testing.T) {
	_, err := LiveHost().Run(t.Context(), shell(t), "-c", "echo no database >&2; exit 3")
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || !strings.Contains(err.Error(), "no database") {
		t.Errorf("error is %v", err)
	}
}

func TestRunKillsTheWholeGroupAtTheDeadline(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	// The grandchild holds the pipe and would live for a minute.
	_, err := LiveHost().Run(ctx, shell(t), "-c", "sleep 60 & sleep 60")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v", err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestRunDoesNotWaitForAGrandchildThatHoldsThePipe(t *testing.T) {
	start := time.Now()
	_, err := LiveHost().Run(t.Context(), shell(t), "-c", "sleep 60 & echo done")
	if !errors.Is(err, exec.ErrWaitDelay) {
		t.Errorf("error is %v", err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestRunLimitsOutput(t *testing.T) {
	_, err := LiveHost().Run(t.Context(), shell(t), "-c", "while :; do echo 0123456789012345678901234567890123456789012345678901234567890123; done")
	if !errors.Is(err, errOutputLimit) {
		t.Errorf("error is %v", err)
	}
}
