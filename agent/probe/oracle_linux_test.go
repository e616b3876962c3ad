package probe_test

import (
	"math"
	"strings"
	"testing"

	"github.com/shirou/gopsutil/v3/cpu"
	"github.com/shirou/gopsutil/v3/disk"
	"github.com/shirou/gopsutil/v3/host"
	"github.com/shirou/gopsutil/v3/load"
	"github.com/shirou/gopsutil/v3/mem"
	"github.com/shirou/gopsutil/v3/net"

	"atalaya/agent/probe"
)

// TestRawReadersAgreeWithGopsutil holds the two ways of reading this machine to each
// other. Ours reads first, so that counters may only be higher in gopsutil's reading.
func TestRawReadersAgreeWithGopsutil(t *testing.T) {
	ctx := t.Context()
	got := readings(t, probe.LiveHost(), linuxProbes()...)
	near := func(name string, want, slack float64) {
		t.Helper()
		v, ok := got[name]
		if !ok || math.Abs(v-want) > slack {
			t.Errorf("%s = %v (present: %v), gopsutil has %v", name, v, ok, want)
		}
	}

	m, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		t.Fatal(err)
	}
	near("node_memory_MemTotal_bytes", float64(m.Total), 0)
	near("node_memory_MemAvailable_bytes", float64(m.Available), 1<<30)
	near("node_memory_SwapTotal_bytes", float64(m.SwapTotal), 0)
	near("node_memory_SwapFree_bytes", float64(m.SwapFree), 1<<28)

	times, err := cpu.TimesWithContext(ctx, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range times {
		id := "node_cpu_seconds_total/" + strings.TrimPrefix(c.CPU, "cpu")
		near(id+"/user", c.User, 2)
		near(id+"/system", c.System, 2)
		near(id+"/idle", c.Idle, 3)
		near(id+"/iowait", c.Iowait, 3)
		near(id+"/steal", c.Steal, 2)
	}

	avg, err := load.AvgWithContext(ctx)
	if err != nil {
		t.Fatal(err)
	}
	near("node_load1", avg.Load1, 1)
	near("node_load15", avg.Load15, 0.2)

	nics, err := net.IOCountersWithContext(ctx, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nics {
		near("node_network_receive_bytes_total/"+n.Name, float64(n.BytesRecv), 64<<20)
		near("node_network_transmit_packets_total/"+n.Name, float64(n.PacketsSent), 100_000)
		near("node_network_receive_drop_total/"+n.Name, float64(n.Dropin), 1000)
	}

	disks, err := disk.IOCountersWithContext(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range disks {
		if _, ours := got["node_disk_reads_completed_total/"+name]; !ours {
			continue // partitions and RAM disks
		}
		near("node_disk_reads_completed_total/"+name, float64(d.ReadCount), 10_000)
		near("node_disk_written_bytes_total/"+name, float64(d.WriteBytes), 256<<20)
		near("node_disk_io_time_seconds_total/"+name, float64(d.IoTime)/1e3, 5)
	}

	boot, err := host.BootTimeWithContext(ctx)
	if err != nil {
		t.Fatal(err)
	}
	near("node_boot_time_seconds", float64(boot), 2)

	root, err := disk.UsageWithContext(ctx, "/")
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range got {
		if strings.HasPrefix(name, "node_filesystem_size_bytes/") && strings.HasSuffix(name, "//") && v != float64(root.Total) {
			t.Errorf("%s = %v, gopsutil has %v", name, v, root.Total)
		}
	}
}
