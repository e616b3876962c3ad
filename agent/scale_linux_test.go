package agent_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"atalaya/agent"
	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// crowd is a machine of many processes and sockets. `ATALAYA_SCALE=1 go test -run Crowd`
// makes it as large as the limits that the probes promise.
type crowd struct {
	root               string
	processes, sockets int
}

func newCrowd(t *testing.T) *crowd {
	t.Helper()
	c := &crowd{root: t.TempDir(), processes: 300, sockets: 3000}
	if os.Getenv("ATALAYA_SCALE") != "" {
		c.processes, c.sockets = 30_000, 100_000
	}
	c.write(t, "etc/os-release", "ID=example\nVERSION_ID=1\n")
	c.write(t, "proc/uptime", "100000.00 1.00\n")
	c.write(t, "proc/stat", "cpu  1 1 1 1\ncpu0 1 1 1 1\nbtime 1700000000\n")
	c.write(t, "proc/loadavg", "0.10 0.20 0.30 1/2 3\n")
	for i := range c.processes {
		c.process(t, i)
	}
	var table strings.Builder
	table.WriteString("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n")
	for i := range c.sockets {
		state, remote := "01", fmt.Sprintf("%02X%02X000A:%04X", i%250, i/250%250, 1024+i%50_000)
		if i%100 == 0 {
			state, remote = "0A", "00000000:0000"
		}
		fmt.Fprintf(&table, "%4d: 0100000A:%04X %s %s 00000000:00000000 00:00000000 00000000    33        0 %d 1 0 100 0 0 10 0\n",
			i, 1024+i%60_000, remote, state, 1000+i)
	}
	c.write(t, "proc/net/tcp", table.String())
	return c
}

func (c *crowd) write(t *testing.T, name, content string) {
	t.Helper()
	path := filepath.Join(c.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// process writes what /proc has of one.
func (c *crowd) process(t *testing.T, i int) {
	t.Helper()
	pid, name := 100+i, fmt.Sprintf("prog%d", i%200)
	if i == 0 {
		pid = 1
	}
	dir := fmt.Sprintf("proc/%d/", pid)
	c.write(t, dir+"stat", fmt.Sprintf("%d (%s) S 1 1 1 0 -1 4194560 0 0 0 0 %d 5 0 0 20 0 3 0 %d 1000000 250\n", pid, name, i, i))
	c.write(t, dir+"comm", name+"\n")
	c.write(t, dir+"cmdline", "/usr/bin/"+name+"\x00--number\x00"+fmt.Sprint(i)+"\x00")
	c.write(t, dir+"cgroup", fmt.Sprintf("0::/system.slice/svc%d.service\n", i%500))
	links := map[string]string{"exe": "/usr/bin/" + name, "ns/net": "net:[4026531840]"}
	each := max(c.sockets/c.processes, 1)
	for k := range each {
		links[fmt.Sprintf("fd/%d", k+3)] = fmt.Sprintf("socket:[%d]", 1000+i*each+k)
	}
	for link, target := range links {
		path := filepath.Join(c.root, dir, link)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
	}
}

// shrink removes every third process, one after the other, until stop is closed.
func (c *crowd) shrink(stop <-chan struct{}) (removed int) {
	for i := 3; i < c.processes; i += 3 {
		select {
		case <-stop:
			return removed
		default:
			if os.RemoveAll(filepath.Join(c.root, fmt.Sprintf("proc/%d", 100+i))) == nil {
				removed++
			}
		}
	}
	return removed
}

// peak is the largest heap while work runs, above what it was before.
func peak(work func()) uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	read := func() uint64 {
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	before, most := read(), new(atomic.Uint64)
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			most.Store(max(most.Load(), read()))
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	})
	work()
	close(stop)
	watching.Wait()
	return most.Load() - min(before, most.Load())
}

// TestACrowdIsReadInTimeAndMemory reads everything of a machine of many processes and
// sockets, first while it is quiet, then while its processes end one after the other.
func TestACrowdIsReadInTimeAndMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("writes thousands of files")
	}
	c := newCrowd(t)
	full := os.Getenv("ATALAYA_SCALE") != "" // then a probe may run out of its time, and says so
	probes := append(agent.NodeProbes(agent.DefaultConfig()), agent.InventoryProbes(agent.DefaultConfig())...)
	read := func() (res probe.Result) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		// The agent's own bound on what it holds beside its program is 128 MiB.
		if most := peak(func() { res = probe.RunOnce(ctx, probe.RootHost(c.root), probes...) }); most > 64<<20 {
			t.Errorf("%d MiB were held", most>>20)
		}
		if ctx.Err() != nil {
			t.Error("not done after five minutes")
		}
		if strings.Contains(fmt.Sprint(res.Err), "panic") {
			t.Error(res.Err)
		}
		return res
	}
	quiet := read()
	found := make(map[string]int)
	for _, r := range quiet.Readings {
		found[r.Section.String()] = len(r.Rows)
		if r.Status == facts.StatusFailed && (!full || r.Reason == "") {
			t.Errorf("%s: %s", r.Section, r.Reason)
		}
	}
	if found["listening_sockets"] < c.sockets/200 && !full || found["processes"] < 150 || len(quiet.Frame.Samples) < 50 || len(quiet.Frame.Samples) > 5000 {
		t.Errorf("found %v, %d samples", found, len(quiet.Frame.Samples))
	}
	stop := make(chan struct{})
	removed := 0
	var shrinking sync.WaitGroup
	shrinking.Go(func() { removed = c.shrink(stop) })
	for _, r := range read().Readings {
		if r.Status == facts.StatusFailed && (!full || r.Reason == "") {
			t.Errorf("while processes end: %s: %s", r.Section, r.Reason)
		}
	}
	close(stop)
	shrinking.Wait()
	if removed == 0 {
		t.Error("no process ended meanwhile")
	}
}

// TestAMachineWithoutSysAndGroups: what is not there is not told of, and nothing fails.
func TestAMachineWithoutSysAndGroups(t *testing.T) {
	c := &crowd{root: t.TempDir(), processes: 3, sockets: 3}
	for i := range c.processes {
		c.process(t, i)
		if err := os.Remove(filepath.Join(c.root, fmt.Sprintf("proc/%d/cgroup", max(1, 100*min(i, 1)+i)))); err != nil {
			t.Fatal(err)
		}
	}
	probes := append(agent.NodeProbes(agent.DefaultConfig()), agent.InventoryProbes(agent.DefaultConfig())...)
	res := probe.RunOnce(t.Context(), probe.RootHost(c.root), probes...)
	for _, s := range res.Frame.Samples {
		if name := res.Series[s.Series].Name; strings.HasPrefix(name, "atalaya_cgroup_") || strings.HasPrefix(name, "node_hwmon_") {
			t.Errorf("%s is told", name)
		}
	}
	for _, r := range res.Readings {
		if r.Status == facts.StatusFailed || r.Status == facts.StatusDenied {
			t.Errorf("%s is %v: %s", r.Section, r.Status, r.Reason)
		}
	}
	for _, r := range res.Readings {
		if r.Section == facts.Processes && len(r.Rows) == 0 {
			t.Errorf("no processes: %s", r.Reason)
		}
	}
}
