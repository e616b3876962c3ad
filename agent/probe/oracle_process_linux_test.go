package probe_test

import (
	"math"
	"os"
	"strings"
	"testing"

	"github.com/shirou/gopsutil/v3/host"
	gopsutil "github.com/shirou/gopsutil/v3/process"

	"atalaya/agent/probe"
	"atalaya/agent/probe/process"
	"atalaya/agent/probe/system"
)

// TestProcessesAgreeWithGopsutil holds the scan of processes, and the name of the
// kernel, to what gopsutil says of this machine at the same time.
func TestProcessesAgreeWithGopsutil(t *testing.T) {
	ctx := t.Context()
	if _, err := os.Stat("/proc/1/stat"); err != nil {
		t.Skip("processes of others are hidden")
	}
	got := readings(t, probe.LiveHost(), process.New(process.Config{Top: 100}))
	pids, err := gopsutil.PidsWithContext(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if d := math.Abs(got["node_processes_pids"] - float64(len(pids))); d > 30 { // other tests run programs
		t.Errorf("%v processes, gopsutil has %d", got["node_processes_pids"], len(pids))
	}
	own, err := gopsutil.NewProcessWithContext(ctx, int32(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	name, errName := own.NameWithContext(ctx)
	memory, errMemory := own.MemoryInfoWithContext(ctx)
	user, errUser := own.UsernameWithContext(ctx)
	if errName != nil || errMemory != nil || errUser != nil {
		t.Fatal(errName, errMemory, errUser)
	}
	key := "/" + name[:min(len(name), 15)] + "/" + user
	if v := got["atalaya_process_resident_memory_bytes"+key]; v < float64(memory.RSS)/2 {
		t.Errorf("%s has %v bytes, gopsutil says %d", key, v, memory.RSS)
	}

	info, err := host.InfoWithContext(ctx)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for series := range readings(t, probe.LiveHost(), system.Probes()[1]) {
		found = found || strings.HasPrefix(series, "node_uname_info/") && strings.Contains(series, "/"+info.KernelVersion+"/")
	}
	if !found {
		t.Errorf("no node_uname_info of the kernel %q", info.KernelVersion)
	}
}
