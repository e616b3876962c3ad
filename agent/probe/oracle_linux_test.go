package probe_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/shirou/gopsutil/v3/cpu"
	"github.com/shirou/gopsutil/v3/disk"
	"github.com/shirou/gopsutil/v3/host"
	"github.com/shirou/gopsutil/v3/load"
	"github.com/shirou/gopsutil/v3/mem"
	"github.com/shirou/gopsutil/v3/net"

	"atalaya/agent/probe"
	"atalaya/agent/probe/memory"
	"atalaya/agent/probe/network"
	"atalaya/agent/probe/process"
	"atalaya/agent/probe/sensor"
	"atalaya/agent/probe/sockets"
	"atalaya/agent/probe/system"
)

// oracleProbes are the raw readers that gopsutil can be asked about.
func oracleProbes() []probe.Probe {
	return slices.Concat(tickProbes(), memory.Probes(), network.Probes(), system.Probes(), sensor.Probes(), sockets.Probes(),
		[]probe.Probe{process.New(process.Config{Top: 100})})
}

// oracle is what gopsutil says of this machine, under our names.
type oracle map[string]float64

// ask reads everything that gopsutil has and we have too.
func ask(t *testing.T) oracle {
	t.Helper()
	o := make(oracle)
	for _, read := range []func(context.Context) error{o.processors, o.memory, o.paging, o.swap, o.disks, o.filesystems, o.interfaces, o.protocols, o.host, o.sensors} {
		if err := read(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

func (o oracle) processors(ctx context.Context) error {
	times, err := cpu.TimesWithContext(ctx, true)
	for _, c := range times {
		id := strings.TrimPrefix(c.CPU, "cpu") + "/"
		for mode, v := range map[string]float64{
			"user": c.User, "nice": c.Nice, "system": c.System, "idle": c.Idle, "iowait": c.Iowait, "irq": c.Irq, "softirq": c.Softirq, "steal": c.Steal,
		} {
			o["node_cpu_seconds_total/"+id+mode] = v
		}
		o["node_cpu_guest_seconds_total/"+id+"user"], o["node_cpu_guest_seconds_total/"+id+"nice"] = c.Guest, c.GuestNice
	}
	return err
}

func (o oracle) memory(ctx context.Context) error {
	m, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return err
	}
	for name, v := range map[string]uint64{
		"MemTotal": m.Total, "MemFree": m.Free, "MemAvailable": m.Available, "Buffers": m.Buffers, "Cached": m.Cached - m.Sreclaimable,
		"Active": m.Active, "Inactive": m.Inactive, "Dirty": m.Dirty, "Writeback": m.WriteBack, "WritebackTmp": m.WriteBackTmp, "Shmem": m.Shared,
		"Slab": m.Slab, "SReclaimable": m.Sreclaimable, "SUnreclaim": m.Sunreclaim, "PageTables": m.PageTables, "SwapCached": m.SwapCached,
		"CommitLimit": m.CommitLimit, "Committed_AS": m.CommittedAS, "SwapTotal": m.SwapTotal, "SwapFree": m.SwapFree, "Mapped": m.Mapped,
		"VmallocTotal": m.VmallocTotal, "VmallocUsed": m.VmallocUsed, "AnonHugePages": m.AnonHugePages, "Hugepagesize": m.HugePageSize,
	} {
		o["node_memory_"+name+"_bytes"] = float64(v)
	}
	o["node_memory_HugePages_Total"], o["node_memory_HugePages_Free"] = float64(m.HugePagesTotal), float64(m.HugePagesFree)
	o["node_memory_HugePages_Rsvd"], o["node_memory_HugePages_Surp"] = float64(m.HugePagesRsvd), float64(m.HugePagesSurp)
	return nil
}

// paging: gopsutil takes the counters of /proc/vmstat for pages of 4 KiB throughout.
func (o oracle) paging(ctx context.Context) error {
	m, err := mem.SwapMemoryWithContext(ctx)
	if err != nil {
		return err
	}
	const page = 4096
	for name, v := range map[string]uint64{
		"pswpin": m.Sin, "pswpout": m.Sout, "pgpgin": m.PgIn, "pgpgout": m.PgOut, "pgfault": m.PgFault, "pgmajfault": m.PgMajFault,
	} {
		o["node_vmstat_"+name] = float64(v) / page
	}
	return nil
}

func (o oracle) swap(ctx context.Context) error {
	devices, err := mem.SwapDevicesWithContext(ctx)
	for _, d := range devices {
		o["node_swap_used_bytes/"+d.Name] = float64(d.UsedBytes)
		o["node_swap_size_bytes/"+d.Name] = float64(d.UsedBytes + d.FreeBytes)
	}
	return err
}

func (o oracle) disks(ctx context.Context) error {
	disks, err := disk.IOCountersWithContext(ctx)
	for name, d := range disks {
		for family, v := range map[string]float64{
			"reads_completed_total": float64(d.ReadCount), "reads_merged_total": float64(d.MergedReadCount), "read_bytes_total": float64(d.ReadBytes),
			"read_time_seconds_total": float64(d.ReadTime) / 1e3, "writes_completed_total": float64(d.WriteCount),
			"writes_merged_total": float64(d.MergedWriteCount), "written_bytes_total": float64(d.WriteBytes),
			"write_time_seconds_total": float64(d.WriteTime) / 1e3, "io_now": float64(d.IopsInProgress),
			"io_time_seconds_total": float64(d.IoTime) / 1e3, "io_time_weighted_seconds_total": float64(d.WeightedIO) / 1e3,
		} {
			o["node_disk_"+family+"/"+name] = v
		}
	}
	return err
}

func (o oracle) filesystems(ctx context.Context) error {
	parts, err := disk.PartitionsWithContext(ctx, false)
	for _, p := range parts {
		u, err := disk.UsageWithContext(ctx, p.Mountpoint)
		if err != nil {
			continue // of another user
		}
		series := "/" + p.Device + "/" + p.Fstype + "/" + p.Mountpoint
		o["node_filesystem_size_bytes"+series], o["node_filesystem_avail_bytes"+series] = float64(u.Total), float64(u.Free)
		o["node_filesystem_files"+series], o["node_filesystem_files_free"+series] = float64(u.InodesTotal), float64(u.InodesFree)
		o["node_filesystem_readonly"+series] = 0
		if slices.Contains(p.Opts, "ro") {
			o["node_filesystem_readonly"+series] = 1
		}
	}
	return err
}

func (o oracle) interfaces(ctx context.Context) error {
	nics, err := net.IOCountersWithContext(ctx, true)
	for _, n := range nics {
		for family, v := range map[string]uint64{
			"receive_bytes": n.BytesRecv, "receive_packets": n.PacketsRecv, "receive_errs": n.Errin, "receive_drop": n.Dropin, "receive_fifo": n.Fifoin,
			"transmit_bytes": n.BytesSent, "transmit_packets": n.PacketsSent, "transmit_errs": n.Errout, "transmit_drop": n.Dropout, "transmit_fifo": n.Fifoout,
		} {
			o["node_network_"+family+"_total/"+n.Name] = float64(v)
		}
	}
	return err
}

// protocolNames are ours for those of gopsutil.
var protocolNames = map[string]string{"ip": "Ip", "icmp": "Icmp", "tcp": "Tcp", "udp": "Udp", "udplite": "UdpLite"}

func (o oracle) protocols(ctx context.Context) error {
	stats, err := net.ProtoCountersWithContext(ctx, nil)
	for _, s := range stats {
		for name, v := range s.Stats {
			if ours := protocolNames[s.Protocol]; ours != "" {
				o["node_netstat_"+ours+"_"+name] = float64(v)
			}
		}
	}
	if filter, err := net.FilterCountersWithContext(ctx); err == nil { // else no netfilter here
		o["node_nf_conntrack_entries"], o["node_nf_conntrack_entries_limit"] = float64(filter[0].ConnTrackCount), float64(filter[0].ConnTrackMax)
	}
	connections, errTCP := net.ConnectionsWithoutUidsWithContext(ctx, "tcp")
	for state, name := range map[string]string{"ESTABLISHED": "established", "LISTEN": "listen", "TIME_WAIT": "time_wait", "CLOSE_WAIT": "close_wait"} {
		n := 0
		for _, c := range connections {
			if c.Status == state {
				n++
			}
		}
		o["node_tcp_connection_states/"+name] = float64(n)
	}
	return errors.Join(err, errTCP)
}

func (o oracle) host(ctx context.Context) error {
	avg, errLoad := load.AvgWithContext(ctx)
	misc, errMisc := load.MiscWithContext(ctx)
	boot, errBoot := host.BootTimeWithContext(ctx)
	info, errInfo := host.InfoWithContext(ctx)
	if err := errors.Join(errLoad, errMisc, errBoot, errInfo); err != nil {
		return err
	}
	o["node_load1"], o["node_load5"], o["node_load15"] = avg.Load1, avg.Load5, avg.Load15
	o["node_procs_running"], o["node_procs_blocked"] = float64(misc.ProcsRunning), float64(misc.ProcsBlocked)
	o["node_forks_total"], o["node_context_switches_total"] = float64(misc.ProcsCreated), float64(misc.Ctxt)
	o["node_boot_time_seconds"], o["node_processes_pids"] = float64(boot), float64(info.Procs)
	return nil
}

// sensors: gopsutil names a sensor by chip and label, so that the values are compared
// by their number alone.
func (o oracle) sensors(ctx context.Context) error {
	found, err := host.SensorsTemperaturesWithContext(ctx)
	if err != nil || len(found) == 0 {
		return nil // a virtual machine has none
	}
	for _, s := range found {
		o["sensors"]++
		o["sensors_celsius"] += s.Temperature
	}
	return nil
}

// leftOut says why a value of gopsutil is none of ours.
func leftOut(name string) bool {
	family, rest, _ := strings.Cut(name, "/")
	switch {
	case strings.HasPrefix(family, "node_disk_"): // partitions, RAM and loop devices
		return strings.ContainsAny(rest[len(rest)-1:], "0123456789") && !strings.HasPrefix(rest, "dm-") && !strings.HasPrefix(rest, "md")
	case strings.HasPrefix(family, "node_netstat_"): // we report what rules and dashboards use
		return true
	}
	return strings.HasPrefix(family, "sensors")
}

// moves is how far a gauge may be from both readings of gopsutil: the machine goes on
// working meanwhile. Counters and settings have none.
func moves(name string, total float64) float64 {
	family, _, _ := strings.Cut(name, "/")
	switch family {
	case "node_load1", "node_load5", "node_load15":
		return 0.5
	case "node_processes_pids", "node_procs_running", "node_procs_blocked", "node_tcp_connection_states", "node_netstat_Tcp_CurrEstab", "node_nf_conntrack_entries":
		return 40
	case "node_memory_MemTotal_bytes", "node_memory_SwapTotal_bytes", "node_memory_CommitLimit_bytes", "node_memory_VmallocTotal_bytes", "node_memory_Hugepagesize_bytes":
		return 0
	case "node_filesystem_avail_bytes":
		return 2 << 30
	case "node_filesystem_files_free":
		return 50_000
	case "node_disk_io_now":
		return 100
	case "node_boot_time_seconds": // gopsutil reckons it from the time since
		return 1
	}
	if strings.HasPrefix(name, "node_memory_") || strings.HasPrefix(name, "node_swap_used") {
		return total / 10
	}
	if strings.HasPrefix(name, "node_cpu_") { // the kernel's idle and iowait step back a little
		return 0.05
	}
	return 1e-3 // milliseconds as seconds
}

// TestRawReadersAgreeWithGopsutil holds the two ways of reading this machine to each
// other. Ours reads between two readings of gopsutil: what only grows lies between them.
func TestRawReadersAgreeWithGopsutil(t *testing.T) {
	before := ask(t)
	res := probe.RunOnce(t.Context(), probe.LiveHost(), oracleProbes()...)
	after := ask(t)
	got := named(res)
	for name, v := range got {
		if strings.HasPrefix(name, "node_hwmon_temp_celsius/") {
			got["sensors"]++
			got["sensors_celsius"] += v
		}
	}
	compared := make(map[string]int)
	for name, want := range before {
		v, ours := got[name]
		last, still := after[name]
		if !ours || !still {
			if still && !leftOut(name) {
				t.Errorf("%s is not told, gopsutil has %v", name, want)
			}
			continue
		}
		slack := moves(name, before["node_memory_MemTotal_bytes"]) + 1e-9*math.Abs(want)
		if v < min(want, last)-slack || v > max(want, last)+slack {
			t.Errorf("%s = %v, gopsutil has %v before and %v after", name, v, want, last)
		}
		family, _, _ := strings.Cut(name, "/")
		compared[strings.Join(strings.SplitN(family, "_", 3)[:min(2, strings.Count(family, "_")+1)], "_")]++
	}
	for group, least := range map[string]int{
		"node_cpu": 10, "node_memory": 25, "node_vmstat": 6, "node_network": 10, "node_netstat": 8, "node_tcp": 4, "node_load1": 1, "node_forks": 1, "node_boot": 1,
	} {
		if compared[group] < least {
			t.Errorf("%s: %d readings compared, want %d or more", group, compared[group], least)
		}
	}
	t.Logf("compared by family: %v", compared)
}
