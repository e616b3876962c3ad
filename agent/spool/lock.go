package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// lockName is the file whose lock makes one process the owner of a state folder.
// It holds the owner's process number, for the message to the second one.
const lockName = "spool.lock"

// ErrLocked is what TryLock returns when another process holds the lock.
var ErrLocked = errors.New("locked")

// lockDir takes the state folder for this process. The lock ends with the process,
// whatever way it ends; the file stays.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, notWritable(dir, err)
	}
	if err := TryLock(f); err != nil {
		defer f.Close()
		if !errors.Is(err, ErrLocked) {
			return nil, fmt.Errorf("lock state folder %q: %w", dir, err)
		}
		return nil, &InUseError{Dir: dir, PID: lockHolder(f)}
	}
	if err := errors.Join(f.Truncate(0), writePID(f)); err != nil {
		f.Close()
		return nil, notWritable(dir, err)
	}
	return f, nil
}

func writePID(f *os.File) error {
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// lockHolder reads the process number out of a lock file; 0 when it is not there.
func lockHolder(f *os.File) int {
	data, err := io.ReadAll(io.NewSectionReader(f, 0, 32))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}

// InUseError says that another process works in the state folder.
type InUseError struct {
	Dir string
	PID int // 0: not known
}

func (e *InUseError) Error() string {
	holder := "another process"
	if e.PID != 0 {
		holder = "process " + strconv.Itoa(e.PID)
	}
	return fmt.Sprintf("state folder %q is in use by %s (stop that agent, or give this one another --state)", e.Dir, holder)
}

func notWritable(dir string, err error) error {
	return fmt.Errorf("state folder %q cannot be written: %w (give it to the user this agent runs as, uid %d, or choose another --state)", dir, err, os.Getuid())
}
