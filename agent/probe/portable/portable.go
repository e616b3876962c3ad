// Package portable reads the metrics of systems for which there are no readers of our
// own, through gopsutil. It is the only place where gopsutil's readings are taken:
// what that module does not implement becomes errors.ErrUnsupported here.
//
// Names are those of the Linux readings wherever they mean the same, so that one rule
// serves the whole fleet.
package portable

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/shirou/gopsutil/v3/cpu"
	"github.com/shirou/gopsutil/v3/disk"
	"github.com/shirou/gopsutil/v3/host"
	"github.com/shirou/gopsutil/v3/load"
	"github.com/shirou/gopsutil/v3/mem"
	"github.com/shirou/gopsutil/v3/net"

	"atalaya/agent/probe"
	"atalaya/shared/metric"
)

// Probes returns the metric probes, one for each kind of reading, so that a kind that
// fails or hangs does not take the others with it.
func Probes() []probe.Probe {
	return []probe.Probe{
		&reader{"cpu", readCPU}, &reader{"load", readLoad}, &reader{"memory", readMemory},
		&reader{"disk", readDisk}, &reader{"filesystem", readFilesystems}, &reader{"network", readNetwork},
		&reader{"system", readSystem},
	}
}

type reader struct {
	name string
	read func(ctx context.Context, r *probe.Report) error
}

func (p *reader) Info() probe.Info { return probe.Info{Name: p.name, Metrics: true} }

// Collect implements probe.Probe. Below a root nothing is read: on most systems
// gopsutil asks the live machine.
func (p *reader) Collect(ctx context.Context, h *probe.Host, r *probe.Report) error {
	if !h.Live() {
		return fmt.Errorf("%s below a root: %w", p.name, errors.ErrUnsupported)
	}
	if p.name == "system" {
		r.Sample(&metric.Time, float64(h.Now().UnixMilli())/1e3)
	}
	return unsupported(p.read(h.Context(ctx), r))
}

// unsupported makes gopsutil's "not implemented yet", which has a type of an internal
// package, the error that the rest of the program knows.
func unsupported(err error) error {
	if err != nil && strings.Contains(err.Error(), "not implemented") {
		return fmt.Errorf("%w: %v", errors.ErrUnsupported, err)
	}
	return err
}

func readCPU(ctx context.Context, r *probe.Report) error {
	times, err := cpu.TimesWithContext(ctx, true)
	for _, t := range times {
		name := strings.TrimPrefix(t.CPU, "cpu")
		for _, m := range [...]struct {
			mode    string
			seconds float64
		}{{"user", t.User}, {"system", t.System}, {"idle", t.Idle}, {"nice", t.Nice}, {"irq", t.Irq}} {
			r.Sample(&metric.CPUSeconds, m.seconds, name, m.mode)
		}
	}
	return err
}

func readLoad(ctx context.Context, r *probe.Report) error {
	avg, err := load.AvgWithContext(ctx)
	if err != nil {
		return err
	}
	r.Sample(&metric.Load1, avg.Load1)
	r.Sample(&metric.Load5, avg.Load5)
	r.Sample(&metric.Load15, avg.Load15)
	return nil
}

func readMemory(ctx context.Context, r *probe.Report) error {
	m, err := mem.VirtualMemoryWithContext(ctx)
	if err == nil {
		r.Sample(&metric.MemTotal, float64(m.Total))
		r.Sample(&metric.MemAvailable, float64(m.Available))
		known(r, &metric.MemFree, m.Free)
	}
	s, swapErr := mem.SwapMemoryWithContext(ctx)
	if swapErr == nil {
		r.Sample(&metric.MemSwapTotal, float64(s.Total))
		r.Sample(&metric.MemSwapFree, float64(s.Free))
	}
	return errors.Join(err, swapErr)
}

// known reports a value that gopsutil leaves 0 where it has none.
func known(r *probe.Report, desc *metric.Desc, v uint64, labels ...string) {
	if v > 0 {
		r.Sample(desc, float64(v), labels...)
	}
}

func readDisk(ctx context.Context, r *probe.Report) error {
	counters, err := disk.IOCountersWithContext(ctx)
	for name, c := range counters {
		r.Sample(&metric.DiskReads, float64(c.ReadCount), name)
		r.Sample(&metric.DiskWrites, float64(c.WriteCount), name)
		r.Sample(&metric.DiskReadBytes, float64(c.ReadBytes), name)
		r.Sample(&metric.DiskWrittenBytes, float64(c.WriteBytes), name)
		r.Sample(&metric.DiskReadSeconds, float64(c.ReadTime)/1e3, name)
		r.Sample(&metric.DiskWriteSeconds, float64(c.WriteTime)/1e3, name)
	}
	return err
}

// askable are the local file systems. All others may be on the network, where a
// question can hang, or say nothing.
var askable = []string{"apfs", "hfs", "ufs", "zfs", "ntfs", "refs", "fat", "fat32", "exfat", "msdos", "msdosfs", "ext2", "ext2fs", "ext3", "ext4", "xfs", "btrfs"}

func readFilesystems(ctx context.Context, r *probe.Report) error {
	parts, err := disk.PartitionsWithContext(ctx, false)
	for _, p := range parts {
		fstype := strings.ToLower(p.Fstype)
		readOnly := 0.0
		if slices.Contains(p.Opts, "ro") {
			readOnly = 1
		}
		r.Sample(&metric.FilesystemReadOnly, readOnly, p.Device, fstype, p.Mountpoint)
		if !slices.Contains(askable, fstype) {
			continue
		}
		u, usageErr := disk.UsageWithContext(ctx, p.Mountpoint)
		if usageErr != nil {
			r.Sample(&metric.FilesystemError, 1, p.Device, fstype, p.Mountpoint)
			err = errors.Join(err, usageErr)
			continue
		}
		r.Sample(&metric.FilesystemError, 0, p.Device, fstype, p.Mountpoint)
		r.Sample(&metric.FilesystemSize, float64(u.Total), p.Device, fstype, p.Mountpoint)
		r.Sample(&metric.FilesystemAvail, float64(u.Free), p.Device, fstype, p.Mountpoint) // gopsutil's Free is f_bavail
		if u.InodesTotal > 0 {
			r.Sample(&metric.FilesystemFiles, float64(u.InodesTotal), p.Device, fstype, p.Mountpoint)
			r.Sample(&metric.FilesystemFilesFree, float64(u.InodesFree), p.Device, fstype, p.Mountpoint)
		}
	}
	return err
}

func readNetwork(ctx context.Context, r *probe.Report) error {
	counters, err := net.IOCountersWithContext(ctx, true)
	for _, c := range counters {
		for _, v := range [...]struct {
			desc  *metric.Desc
			value uint64
		}{
			{&metric.NetworkReceiveBytes, c.BytesRecv}, {&metric.NetworkTransmitBytes, c.BytesSent},
			{&metric.NetworkReceivePackets, c.PacketsRecv}, {&metric.NetworkTransmitPackets, c.PacketsSent},
			{&metric.NetworkReceiveErrors, c.Errin}, {&metric.NetworkTransmitErrors, c.Errout},
			{&metric.NetworkReceiveDrops, c.Dropin}, {&metric.NetworkTransmitDrops, c.Dropout},
		} {
			r.Sample(v.desc, float64(v.value), c.Name)
		}
	}
	return err
}

func readSystem(ctx context.Context, r *probe.Report) error {
	boot, err := host.BootTimeWithContext(ctx)
	if err != nil {
		return err
	}
	r.Sample(&metric.BootTime, float64(boot))
	return nil
}
