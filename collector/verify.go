package collector

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"atalaya/collector/store"
)

// Limits of the process that verifies the state file.
const (
	// verifyMemory is what it tries to stay within; a page that claims to be long is read whole.
	verifyMemory = "256MiB"
	// verifyTime is for a file of hundreds of gigabytes on a slow disk.
	verifyTime = 6 * time.Hour
	// maxVerdict bounds its answer: a hundred findings.
	maxVerdict = 1 << 20
)

// verifier returns what verifies the state file in a process of its own, so that
// whatever damage does to the reading (memory, time, a fault) ends that process and
// not the collector. command runs Verify; nil: the file is read in this process.
func verifier(ctx context.Context, command []string) func(store.Snapshot) (store.Report, error) {
	if len(command) == 0 {
		return nil
	}
	return func(n store.Snapshot) (r store.Report, err error) {
		in, err := json.Marshal(n)
		if err != nil {
			return r, err
		}
		ctx, cancel := context.WithTimeout(ctx, verifyTime)
		defer cancel()
		cmd := exec.CommandContext(ctx, command[0], command[1:]...)
		cmd.Env = append(os.Environ(), "GOMEMLIMIT="+verifyMemory, "GOMAXPROCS=1")
		cmd.WaitDelay = time.Second
		var out, msg bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &limited{&out, maxVerdict}, &limited{&msg, 4096}
		if err := cmd.Run(); err != nil {
			return r, fmt.Errorf("the process that verifies it ended: %w: %s", err, bytes.TrimSpace(msg.Bytes()))
		}
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			return r, fmt.Errorf("answer of the process that verifies it: %w", err)
		}
		return r, nil
	}
}

// limited takes so many bytes and refuses more.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, errors.New("too much output")
	}
	return l.w.Write(p)
}

// Verify is what the process does: it reads a store.Snapshot and writes a store.Report.
func Verify(in io.Reader, out io.Writer) error {
	var n store.Snapshot
	if err := json.NewDecoder(in).Decode(&n); err != nil {
		return fmt.Errorf("what to verify: %w", err)
	}
	r, err := n.Verify()
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(r)
}
