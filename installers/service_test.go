package installers

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

var testService = Service{Name: "atalaya-test-none", Title: "t", Description: "d", Args: []string{"run"}, Unit: AgentUnit}

func TestStatusOfUnknownServiceSaysNotInstalled(t *testing.T) {
	st, err := testService.Status()
	if err == nil {
		t.Fatalf("status of a service that does not exist: %q", st)
	}
	if !errors.Is(err, ErrNotInstalled) {
		t.Logf("no service manager here that can tell: %v", err)
	}
}

func TestVerbsNameServiceAndNextStep(t *testing.T) {
	err := testService.Start()
	if err == nil || !strings.Contains(err.Error(), "atalaya-test-none") {
		t.Errorf("got %v, want an error that names the service", err)
	}
}

func TestRunEndsAtSIGTERM(t *testing.T) {
	started := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- testService.Run(func(ctx context.Context) error {
			close(started)
			<-ctx.Done()
			return nil
		})
	}()
	<-started
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := self.Signal(syscall.SIGTERM); err != nil {
		t.Skipf("no signals here: %v", err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("still running 10 s after SIGTERM")
	}
}

func TestProgramsInHomesAreNotInstalled(t *testing.T) {
	for in, want := range map[string]string{
		"/usr/bin/atalaya": "", "/opt/home/atalaya": "", "/tmpfs/atalaya": "",
		"/home/ann/bin/atalaya": "/home", "/root/atalaya": "/root", "/tmp/x/atalaya": "/tmp",
	} {
		if got := hidden(in); got != want {
			t.Errorf("hidden(%q) = %q, want %q", in, got, want)
		}
	}
}
