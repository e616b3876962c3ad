// Package storage reads block devices and mounted file systems: the sections
// block_devices and filesystems.
//
// Devices come from /sys/block, with the same choice and the same types as lsblk(8);
// what is on them from udev's database or the links of /dev/disk, never from the
// device itself. File systems come from mountinfo (proc_pid_mountinfo(5)). A file
// system on the network or in user space is asked for its size by a helper process
// alone (ADR 14): a server that is gone would hold the agent for ever.
package storage

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// New returns the probe of the sections block_devices and filesystems.
func New() probe.Probe { return &storage{} }

// storage remembers between two readings what it needs to report the same again.
type storage struct {
	sizes sizes
}

// Info implements probe.Probe.
func (*storage) Info() probe.Info {
	return probe.Info{
		Name:     "storage",
		Sections: []facts.ID{facts.BlockDevices, facts.Filesystems},
		Timeout:  10 * time.Second,
		MaxItems: 20_000, // a SAN head with 4 paths to 2,000 disks
		MaxBytes: 8 << 20,
		Watch:    []string{"/etc/fstab", "/dev/disk/by-uuid"},
	}
}

// absentError says that a machine has no such source; it is errors.ErrUnsupported
// without the words of that error.
type absentError string

func (e absentError) Error() string        { return string(e) }
func (e absentError) Is(target error) bool { return target == errors.ErrUnsupported }

// Collect implements probe.Probe.
func (s *storage) Collect(ctx context.Context, h *probe.Host, r *probe.Report) error {
	if err := filesTell(h); err != nil {
		return err
	}
	mounts, err := readMounts(h)
	if err != nil {
		r.Problem(facts.Filesystems, err)
	}
	s.collectFilesystems(ctx, h, r, mounts)
	collectDevices(ctx, h, r, mounts)
	return ctx.Err()
}

// absent turns "no such file" into an error that names what the machine has not.
func absent(err error, what string) error {
	if errors.Is(err, fs.ErrNotExist) {
		return absentError(what)
	}
	return err
}
