package installers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"os/user"
	"strings"
	"time"
)

// userTime bounds how long making a user may take: directory services may be slow.
const userTime = 30 * time.Second

// makeUser makes the system user of a service, unless there is one. systemd-sysusers is
// where systemd is; where it cannot, useradd may.
func makeUser(name, sysusers string) error {
	if _, err := user.Lookup(name); err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), userTime)
	defer cancel()
	// Only how it ends counts: a user that is there now is what was wanted.
	err := runProgram(ctx, sysusers, "systemd-sysusers", "-")
	if _, look := user.Lookup(name); look == nil {
		return nil
	}
	second := runProgram(ctx, "", "useradd", "--system", "--user-group", "--home-dir", "/", "--no-create-home", "--shell", "/usr/sbin/nologin", name)
	if second == nil {
		return nil
	}
	return fmt.Errorf("make the system user %s: %w", name, errors.Join(err, second))
}

// runProgram runs a program of the system with an input.
func runProgram(ctx context.Context, input, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = strings.NewReader(input)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if i := bytes.IndexByte(out, '\n'); i >= 0 {
		out = out[:i] // errors are one line
	}
	return fmt.Errorf("%s: %w %s", program, err, out)
}
