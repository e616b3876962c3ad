package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	// defaultRunTime bounds a program whose context has no deadline.
	defaultRunTime = 30 * time.Second
	// waitDelay is how long a grandchild may hold our pipe after the program ended
	// or was killed.
	waitDelay = time.Second
	// maxOutput bounds what a program may print: `rpm -qa` with all our columns has
	// 0.3 MB for 2,000 packages.
	maxOutput = 16 << 20
	// maxStderr is how much of the talk of a failed program is shown.
	maxStderr = 300
)

var errOutputLimit = fmt.Errorf("output larger than the limit of %d bytes", maxOutput)

// Run runs a program and returns what it printed. The path is absolute, the
// arguments are fixed, the environment is LC_ALL=C and nothing else; the program
// gets its own process group (on Windows: the program alone), which is killed at the
// deadline of ctx; output beyond the limit is an error. On a RootHost it returns
// errors.ErrUnsupported.
func (h *Host) Run(ctx context.Context, program string, args ...string) ([]byte, error) {
	if !h.Live() {
		return nil, fmt.Errorf("run %q: no program runs below a root: %w", program, errors.ErrUnsupported)
	}
	if !filepath.IsAbs(program) {
		return nil, fmt.Errorf("run %q: path is not absolute", program)
	}
	ctx, stop := context.WithTimeout(ctx, defaultRunTime)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	out := &limitedBuffer{limit: maxOutput, full: func() { cancel(errOutputLimit) }}
	talk := &limitedBuffer{limit: maxStderr}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = []string{"LC_ALL=C"}
	cmd.Stdout, cmd.Stderr = out, talk
	cmd.WaitDelay = waitDelay
	ownGroup(cmd)
	err := cmd.Run()
	h.bytes.Add(int64(out.buf.Len()))
	if st := cmd.ProcessState; st != nil {
		h.childCPU.Add(int64(st.UserTime() + st.SystemTime()))
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		killGroup(cmd) // what holds the pipe is a child that outlived its parent
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if err != nil {
		return nil, fmt.Errorf("run %q: %w%s", program, err, talk.suffix())
	}
	return out.buf.Bytes(), nil
}

// limitedBuffer keeps the first limit bytes and calls full, if set, at the first byte
// beyond. It never refuses a write: a program that is cut off must not be able to
// turn our limit into an error of its own.
type limitedBuffer struct {
	buf   bytes.Buffer // not embedded: its ReadFrom would pass by the limit
	limit int
	full  func()
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	room := b.limit - b.buf.Len()
	if len(p) > room && b.full != nil {
		b.full()
	}
	b.buf.Write(p[:min(len(p), room)])
	return len(p), nil
}

// suffix is the first line as the end of an error message.
func (b *limitedBuffer) suffix() string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(b.buf.Bytes()), []byte("\n"))
	if len(line) == 0 {
		return ""
	}
	return fmt.Sprintf(": %q", line)
}
