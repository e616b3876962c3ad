package installers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// container is a booted Debian with a network of its own, in which only loopback works.
type container struct {
	t      *testing.T
	root   string // folder of its file system
	nspawn *os.Process
	ended  chan struct{} // nspawn is gone
	leader string        // process id of its systemd, as seen from here
}

// recipe is what the file system is made of; its name carries what it depends on.
const (
	suite    = "bookworm"
	packages = "systemd,systemd-sysv,dbus,iproute2,busybox"
	cached   = "debian-bookworm-1.tar" // change the number with the packages
)

// nobody runs a command as a user without rights.
var nobody = []string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"}

// boot starts a container that lives as long as the test. It skips where it cannot.
func boot(t *testing.T) *container {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to boot a container")
	}
	for _, tool := range []string{"mmdebstrap", "systemd-nspawn", "nsenter", "tar"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is missing (apt-get install mmdebstrap systemd-container)", tool)
		}
	}
	c := &container{t: t, root: filepath.Join(t.TempDir(), "root")}
	archive := buildRoot(t)
	if err := os.Mkdir(c.root, 0o755); err != nil {
		t.Fatal(err)
	}
	host(t, "tar", "-C", c.root, "-xf", archive)
	c.write("/etc/hostname", "web1\n")
	// A machine with a number has had its first boot: no unit is enabled by a preset.
	c.write("/etc/machine-id", "4f1d2c3b5a69788796a5b4c3d2e1f001\n")
	c.powerOn()
	t.Cleanup(func() {
		c.t = t
		c.powerOff()
	})
	return c
}

// powerOn boots the container and waits until systemd has started everything.
func (c *container) powerOn() {
	c.t.Helper()
	console, err := os.Create(c.root + ".console")
	if err != nil {
		c.t.Fatal(err)
	}
	defer console.Close()
	cmd := exec.Command("systemd-nspawn", "-q", "-D", c.root, "-b", "-M", fmt.Sprintf("atalaya%d", os.Getpid()),
		"--register=no", "--keep-unit", "--private-network", "--console=passive",
		// What a machine may and a container may not: ask the clock, talk to disks.
		"--system-call-filter=adjtimex", "--capability=CAP_SYS_RAWIO")
	cmd.Stdout, cmd.Stderr = console, console
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	ended := make(chan struct{})
	c.nspawn, c.ended = cmd.Process, ended
	go func() {
		defer close(ended)
		cmd.Wait() // how it ended says nothing about the test
	}()
	children := fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid)
	c.wait(90*time.Second, "systemd is up", func() (string, bool) {
		b, _ := os.ReadFile(children) // gone with the process: the console says why
		pids := strings.Fields(string(b))
		if len(pids) != 1 { // two while nspawn prepares
			log, _ := os.ReadFile(console.Name())
			return string(log), false
		}
		c.leader = pids[0]
		out, _ := c.try("systemctl", "is-system-running")
		return out, strings.HasPrefix(out, "running") || strings.HasPrefix(out, "degraded")
	})
}

// buildRoot returns an archive of a small Debian; it is built once and kept below ./var.
func buildRoot(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../var/service")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, cached)
	if _, err := os.Stat(file); err == nil {
		return file
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	fresh := filepath.Join(dir, "new-"+cached)
	out, err := exec.Command("mmdebstrap", "--variant=minbase", "--include="+packages, suite, fresh).CombinedOutput()
	if err != nil {
		t.Skipf("no Debian could be built: %v\n%s", err, out)
	}
	if err := os.Rename(fresh, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// powerOff shuts the container down, and kills it where that takes too long.
func (c *container) powerOff() {
	c.t.Helper()
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := c.nspawn.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
			c.t.Errorf("end the container: %v", err)
		}
		select {
		case <-c.ended:
			return
		case <-time.After(90 * time.Second):
		}
	}
	c.t.Errorf("the container did not end (process %d)", c.nspawn.Pid)
}

// host runs a command of this machine.
func host(t *testing.T, words ...string) {
	t.Helper()
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(words, " "), err, out)
	}
}

// exec runs a command in the container.
func (c *container) exec(words ...string) (stdout, stderr string, code int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	args := []string{"-t", c.leader, "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--",
		"env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C"}
	cmd := exec.CommandContext(ctx, "nsenter", append(args, words...)...)
	var out, diag bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diag
	cmd.WaitDelay = time.Second // what it left in the background keeps the pipes
	err := cmd.Run()
	if cmd.ProcessState == nil || ctx.Err() != nil {
		c.t.Fatalf("%s: %v", strings.Join(words, " "), errors.Join(err, ctx.Err()))
	}
	return out.String(), diag.String(), cmd.ProcessState.ExitCode()
}

// try returns what a command says on both streams, and its exit status.
func (c *container) try(words ...string) (string, int) {
	c.t.Helper()
	stdout, stderr, code := c.exec(words...)
	return strings.TrimSpace(stdout + stderr), code
}

// run returns what a command prints; it has to succeed.
func (c *container) run(words ...string) string {
	c.t.Helper()
	stdout, stderr, code := c.exec(words...)
	if code != 0 {
		c.t.Fatalf("%s: exit status %d\n%s%s", strings.Join(words, " "), code, stdout, stderr)
	}
	return strings.TrimSpace(stdout)
}

// sh runs a line of shell.
func (c *container) sh(line string) string {
	c.t.Helper()
	return c.run("sh", "-euc", line)
}

func (c *container) write(name, text string) {
	c.t.Helper()
	path := filepath.Join(c.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// wait asks until the answer is yes and returns how long that took.
func (c *container) wait(limit time.Duration, what string, ask func() (state string, done bool)) time.Duration {
	c.t.Helper()
	start := time.Now()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		state, done := ask()
		if done {
			return time.Since(start)
		}
		if time.Since(start) > limit {
			c.t.Fatalf("not within %v: %s\n%s", limit, what, state)
		}
		<-tick.C
	}
}

// property asks systemd for one property of a unit.
func (c *container) property(unit, name string) string {
	c.t.Helper()
	return c.run("systemctl", "show", "--value", "-p", name, unit)
}
