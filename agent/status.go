package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"atalaya/agent/probe"
	"atalaya/agent/spool"
	"atalaya/agent/uplink"
)

// Status is what a running agent says of itself, for `status` and `cost`.
type Status struct {
	Version   string        `json:"version"`
	PID       int           `json:"pid"`
	StartedAt time.Time     `json:"started_at"`
	Now       time.Time     `json:"now"`
	Uplink    uplink.Status `json:"uplink"`
	Spool     spool.Stats   `json:"spool"`
	Process   Use           `json:"process"`
	Costs     []probe.Cost  `json:"costs"`
	// Degraded says how much is given up to stay within the budget (0: nothing), and why.
	Degraded       int    `json:"degraded"`
	DegradedReason string `json:"degraded_reason,omitempty"`
}

// Use is what the agent's process has used since it started.
type Use struct {
	CPUSeconds float64 `json:"cpu_seconds"`
}

// statusOf returns the function that makes the status of a running agent.
func statusOf(version string, up *uplink.Uplink, sp *spool.Spool, sched *probe.Scheduler) func() Status {
	started := time.Now()
	return func() Status {
		level, why := sched.Degraded()
		if level > probe.Full {
			why = level.String() + ": " + why
		}
		return Status{
			Degraded:       int(level),
			DegradedReason: why,
			Version:        version,
			PID:            os.Getpid(),
			StartedAt:      started,
			Now:            time.Now(),
			Uplink:         up.Status(),
			Spool:          sp.Stats(),
			Process:        processUse(),
			Costs:          sched.Costs(),
		}
	}
}

// ErrNotRunning: no agent answers in the state folder.
var ErrNotRunning = errors.New("no agent is running")

// socketFile is the agent's Unix socket in the state folder. The folder is 0700: who
// can open it may know.
const socketFile = "agent.sock"

// statusTimeout bounds one exchange over the socket.
const statusTimeout = 5 * time.Second

type statusServer struct{ listener *net.UnixListener }

func listenStatus(dir string) (*statusServer, error) {
	path := filepath.Join(dir, socketFile)
	// The spool's lock is held: a socket that lies there is left from a process that died.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("status socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("status socket: %w", err)
	}
	return &statusServer{l}, nil
}

// serve answers each connection with one document until ctx ends.
func (s *statusServer) serve(ctx context.Context, status func() Status) {
	var wg sync.WaitGroup
	wg.Go(func() {
		<-ctx.Done()
		s.listener.Close() // removes the file, too
	})
	defer wg.Wait()
	for {
		conn, err := s.listener.AcceptUnix()
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			select { // out of descriptors, perhaps
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
			continue
		}
		answer(conn, status())
	}
}

func answer(conn *net.UnixConn, st Status) {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(statusTimeout)); err != nil {
		return
	}
	json.NewEncoder(conn).Encode(st) // who hangs up before the end gets no status
}

// ReadStatus asks the agent that runs in a state folder.
func ReadStatus(dir string) (Status, error) {
	var st Status
	path := filepath.Join(dir, socketFile)
	conn, err := net.DialTimeout("unix", path, statusTimeout)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return st, fmt.Errorf("%w with its state in %s", ErrNotRunning, dir)
	case errors.Is(err, fs.ErrPermission):
		return st, fmt.Errorf("%w (run as root)", err)
	case err != nil:
		return st, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(statusTimeout)); err != nil {
		return st, err
	}
	if err := json.NewDecoder(conn).Decode(&st); err != nil {
		return st, fmt.Errorf("status of the agent in %s: %w", dir, err)
	}
	return st, nil
}
