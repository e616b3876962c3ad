// Package storage reads what a host stores its data on: block devices, what is stacked
// and what lies on them, what is mounted, and how the disks feel.
//
// Devices come from /sys/block, with the same choice and the same types as lsblk(8); what
// is on them from udev's database or the links of /dev/disk. File systems come from
// mountinfo (proc_pid_mountinfo(5)), volumes of LVM from its own backups of its metadata.
//
// Whatever may hang is asked through a helper process (ADR 14): the sizes of file systems
// on the network or in user space, the health of disks, and the beginning of devices that
// udev knows nothing of. No other part of this package touches a device or a file below
// a mount point.
package storage

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// New returns the probe of the sections of storage.
func New() probe.Probe { return &storage{} }

// storage remembers between two readings what it needs to report the same again.
type storage struct {
	sizes  sizes
	health map[string]*facts.DiskHealthRow // by device
}

// Info implements probe.Probe.
func (*storage) Info() probe.Info {
	return probe.Info{
		Name:     "storage",
		Sections: append([]facts.ID{facts.Filesystems, facts.Mounts, facts.Swaps}, deviceSections...),
		Timeout:  15 * time.Second,
		MaxItems: 20_000, // a SAN head with 4 paths to 2,000 disks
		MaxBytes: 8 << 20,
		Watch:    []string{"/etc/fstab", "/etc/crypttab", "/etc/lvm/backup", "/dev/disk/by-uuid"},
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
	table, err := readMounts(h)
	if err != nil {
		r.Problem(facts.Filesystems, err)
	}
	if table.remark != "" {
		r.Veiled(facts.Filesystems, errors.New(table.remark))
		r.Veiled(facts.Mounts, errors.New(table.remark))
	}
	v := survey{host: h, report: r, table: table, content: readContent(h, table)}
	v.readFstab()
	v.mounts(err)
	v.swaps()
	s.collectFilesystems(ctx, h, r, table)
	if v.list(ctx) {
		v.blockDevices(ctx)
		for _, section := range []func(){v.lvm, v.raid, v.multipath, v.encrypted, v.pools} {
			if ctx.Err() == nil {
				section()
			}
		}
		s.askHealth(ctx, &v)
		for _, row := range v.rows {
			r.Add(facts.BlockDevices, row)
		}
	}
	return ctx.Err()
}

// absent turns "no such file" into an error that names what the machine has not.
func absent(err error, what string) error {
	if errors.Is(err, fs.ErrNotExist) {
		return absentError(what)
	}
	return err
}
