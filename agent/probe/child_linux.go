package probe

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// child is a helper process. Nobody waits for it in a thread: its pipes have deadlines,
// and its end is asked for.
type child struct {
	pid     int
	in, out *os.File
	cpu     time.Duration // that it said to have used
	ended   bool
}

// helperName is what lists of processes call the helper, whose program may be a link to
// our own.
const helperName = "atalaya-agent"

// startChild runs a program with pipes for its input and output, and nothing else of
// ours.
func startChild(command []string) (*child, error) {
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirIn.Close()
	out, theirOut, err := os.Pipe()
	if err != nil {
		in.Close()
		return nil, err
	}
	defer theirOut.Close()
	p, err := os.StartProcess(command[0], append([]string{helperName}, command[1:]...), &os.ProcAttr{
		Dir: "/", Env: []string{"LC_ALL=C", "GOMAXPROCS=1"}, Files: []*os.File{theirIn, theirOut, nil},
	})
	if err != nil {
		in.Close()
		out.Close()
		return nil, err
	}
	c := &child{pid: p.Pid, in: in, out: out}
	return c, p.Release() // reap asks for its end
}

// write sends a request. The pipe has room for all that are under way.
func (c *child) write(b []byte) error {
	if err := c.in.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		return err
	}
	_, err := c.in.Write(b)
	return err
}

// read returns what has come by the deadline; nothing is no error.
func (c *child) read(b []byte, deadline time.Time) (int, error) {
	n, err := c.readNow(b)
	if n > 0 || err != nil || !time.Now().Before(deadline) {
		return n, err
	}
	if err := c.out.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	n, err = c.out.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	return n, err
}

// readNow returns what has come; os.File reads nothing at all after a deadline.
func (c *child) readNow(b []byte) (n int, err error) {
	if err := c.out.SetReadDeadline(time.Time{}); err != nil {
		return 0, err
	}
	raw, err := c.out.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		n, failed = unix.Read(int(fd), b)
		return true
	})
	switch {
	case err != nil:
		return 0, err
	case errors.Is(failed, unix.EAGAIN), errors.Is(failed, unix.EINTR):
		return 0, nil
	case failed == nil && n == 0:
		return 0, io.EOF
	}
	return max(n, 0), failed
}

// kill asks the kernel to end the process; one in an uninterruptible call stays until
// that returns.
func (c *child) kill() {
	c.in.Close()
	_ = unix.Kill(c.pid, unix.SIGKILL) // it is our own child, not reaped yet: it can only have ended
}

// endTime is how long the end of a killed process is waited for: it takes a millisecond.
const endTime = 100 * time.Millisecond

// awaitEnd waits until a process that was killed has ended, for a moment only.
func (c *child) awaitEnd() {
	var b [512]byte
	for deadline := time.Now().Add(endTime); time.Now().Before(deadline); {
		if _, err := c.read(b[:], deadline); err != nil {
			// All its threads have closed their files: what is left of its end cannot hang.
			_ = unix.Waitid(unix.P_PID, c.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
			return
		}
	}
}

// reap reports whether the process has ended, and what CPU time it took.
func (c *child) reap() (time.Duration, bool) {
	var use unix.Rusage
	pid, err := unix.Wait4(c.pid, nil, unix.WNOHANG, &use)
	if pid == 0 && err == nil || errors.Is(err, unix.EINTR) {
		return 0, false
	}
	c.out.Close() // read only: nothing can be lost
	if err != nil {
		return 0, true // somebody else took it
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano()), true
}

// nameProcess gives this process the name that the kernel would have given it by its
// program; it is cut after 15 bytes.
func nameProcess() {
	_ = os.WriteFile("/proc/self/comm", []byte(helperName), 0) // a wrong name does no harm
}

// processCPU is the CPU time of this process.
func processCPU() time.Duration {
	var use unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &use) != nil {
		return 0
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
