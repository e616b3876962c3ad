package agent_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"atalaya/agent"
	"atalaya/agent/probe"
	"atalaya/agent/probe/filesystem"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
	"atalaya/shared/metric"
)

// The test program is, by its first argument, also what it tests.
const (
	asHelper = "atalaya-test-helper"
	asAgent  = "atalaya-test-agent"
	asLooker = "atalaya-test-looker"
)

func TestMain(m *testing.M) {
	var err error
	switch {
	case len(os.Args) == 2 && os.Args[1] == asHelper:
		err = probe.ServeHelper(os.Stdin, os.Stdout, agent.HelperTasks())
	case len(os.Args) == 4 && os.Args[1] == asAgent:
		err = readCycles(os.Args[2], os.Args[3])
	case len(os.Args) == 3 && os.Args[1] == asLooker:
		err = lookAtRemotes()
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const (
	cycles   = 100
	interval = 100 * time.Millisecond
)

// cycleReport is what an agent in a namespace of its own saw.
type cycleReport struct {
	Frames     int
	LateMillis []int // how long after its tick each frame was ready
	FirstTasks int   // threads after ten cycles
	MaxTasks   int   // threads from then on
	Helpers    int   // processes it had at the end, hanging ones among them
	Errors     cycleErrors
	Sizes      map[string]float64
	Failed     []string // probes that failed at the last cycle
	Status     string   // of the section filesystems
	Reason     string
	Facts      map[string]int64 // sizes in it
	CPUMillis  int              // of the agent and its helpers
	Once       cycleErrors      // of a command that reads once
}

// cycleErrors are what was told of file systems, by their names: 1 where one has an error.
type cycleErrors map[string]float64

// TestAHungFileSystemDelaysNothing runs two agents, each in namespaces of its own, one of
// them with file systems in user space: one that answers, one that takes no requests, and
// one that takes them and never answers, so that not even a kill ends who asked.
func TestAHungFileSystemDelaysNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	if os.Getuid() != 0 {
		t.Skip("only root may make namespaces and mounts")
	}
	var stops []func()
	var files []*os.File
	for _, m := range []probetest.Manner{probetest.Answers, probetest.Deaf, probetest.Mute} {
		dev, stop := probetest.Fuse(t, m)
		files, stops = append(files, dev), append(stops, stop)
	}
	quiet := startAgent(t, nil, asAgent, t.TempDir(), "")
	hung := startAgent(t, files, asAgent, t.TempDir(), "answers deaf mute")
	var a, b cycleReport
	quiet.report(t, &a)
	hung.report(t, &b)
	for _, stop := range stops {
		stop() // or the hanging helper would keep its namespace
	}
	for name, r := range map[string]cycleReport{"without": a, "with": b} {
		slices.Sort(r.LateMillis)
		t.Logf("%-7s hung file systems: %d cycles, late by %d ms at the median, %d at the 95th, %d at most; threads %d, at most %d later; %d helper processes; %d ms CPU",
			name, r.Frames, r.LateMillis[len(r.LateMillis)/2], r.LateMillis[len(r.LateMillis)*95/100], r.LateMillis[len(r.LateMillis)-1],
			r.FirstTasks, r.MaxTasks, r.Helpers, r.CPUMillis)
		if r.Frames < cycles {
			t.Errorf("%s: %d cycles of %d", name, r.Frames, cycles)
		}
		if late := r.LateMillis[len(r.LateMillis)*9/10]; late > int(interval.Milliseconds()) {
			t.Errorf("%s: one cycle in ten is late by %d ms or more", name, late)
		}
		if r.MaxTasks > r.FirstTasks+3 { // the runtime starts some when the machine is busy
			t.Errorf("%s: %d threads at first, %d later", name, r.FirstTasks, r.MaxTasks)
		}
		if bad := slices.DeleteFunc(r.Failed, func(s string) bool { return s == "filesystem" && name == "with" }); len(bad) > 0 {
			t.Errorf("%s: probes failed: %v", name, bad)
		}
	}
	if b.Errors["answers"] != 0 || b.Errors["deaf"] != 1 || b.Errors["mute"] != 1 {
		t.Errorf("errors of the file systems: %v", b.Errors)
	}
	if b.Once["answers"] != 0 || b.Once["deaf"] != 1 || b.Once["mute"] != 1 {
		t.Errorf("errors of the file systems, to a command that reads once: %v", b.Once)
	}
	if want := float64(probetest.FuseBlocks * 4096); b.Sizes["answers"] != want || b.Facts["answers"] != int64(want) || len(b.Sizes) != 1 {
		t.Errorf("sizes: metrics %v, facts %v; section is %s: %s", b.Sizes, b.Facts, b.Status, b.Reason)
	}
	if b.Helpers > 3 || b.Status != "partial" || !strings.Contains(b.Reason, "mute: no answer within") {
		t.Errorf("%d helper processes; section is %s: %s", b.Helpers, b.Status, b.Reason)
	}
}

// namespaced is an agent that runs in namespaces of its own.
type namespaced struct {
	cmd *exec.Cmd
	out *bufio.Reader
}

func startAgent(t *testing.T, fuse []*os.File, args ...string) namespaced {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET}
	cmd.ExtraFiles, cmd.Stderr = fuse, os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if errors.Is(err, unix.EPERM) {
		t.Skipf("namespaces: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended long since, unless the test failed
		_ = cmd.Wait()
	})
	return namespaced{cmd, bufio.NewReader(out)}
}

func (n namespaced) report(t *testing.T, into any) {
	t.Helper()
	line, err := n.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, into)
	}
	if err != nil {
		t.Fatalf("agent in its namespace: %v", err)
	}
}

// readCycles is the agent in its namespaces: it mounts the file systems that it was
// given as descriptors, reads for some cycles and prints its report.
func readCycles(dir, names string) error {
	if err := mountAll(dir, strings.Fields(names)); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dict := metric.NewDictionary(50_000, nil)
	c := &counter{cancel: cancel, dict: dict, dir: dir}
	probe.NewScheduler(probe.Config{
		Host:       probe.LiveHost().WithHelper("/proc/self/exe", asHelper),
		Probes:     append(agent.NodeProbes(agent.DefaultConfig()), agent.InventoryProbes(agent.DefaultConfig(), facts.BlockDevices, facts.Interfaces, facts.Services)...),
		Sink:       c,
		Dictionary: dict,
		Interval:   interval,
	}).Run(ctx)
	c.report.Helpers = children()
	var own, theirs unix.Rusage
	if err := errors.Join(unix.Getrusage(unix.RUSAGE_SELF, &own), unix.Getrusage(unix.RUSAGE_CHILDREN, &theirs)); err != nil {
		return err
	}
	c.report.CPUMillis = int((own.Utime.Nano() + own.Stime.Nano() + theirs.Utime.Nano() + theirs.Stime.Nano()) / 1e6)
	once := &counter{dir: dir}
	res := probe.RunOnce(context.Background(), probe.LiveHost().WithHelper("/proc/self/exe", asHelper), filesystem.New())
	once.last(res.Frame, res.Series)
	c.report.Once = once.report.Errors
	return json.NewEncoder(os.Stdout).Encode(c.report)
}

// ownMounts makes the mounts of this process its own.
func ownMounts() error {
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}

func mountAll(dir string, names []string) error {
	if err := ownMounts(); err != nil {
		return err
	}
	for i, name := range names {
		fd := 3 + i // exec.Cmd.ExtraFiles
		point := filepath.Join(dir, name)
		if err := os.Mkdir(point, 0o755); err != nil {
			return err
		}
		if err := probetest.MountFuse(fd, point); err != nil {
			return fmt.Errorf("mount: %w", err)
		}
		if err := unix.Close(fd); err != nil {
			return err
		}
	}
	return nil
}

// counter is the sink of the agent in its namespaces.
type counter struct {
	cancel func()
	dict   *metric.Dictionary
	dir    string
	report cycleReport
}

func (c *counter) Metrics(f metric.Frame) error {
	r := &c.report
	if r.Frames++; r.Frames > cycles {
		return nil
	}
	r.LateMillis = append(r.LateMillis, int(time.Since(time.UnixMilli(f.At)).Milliseconds()))
	tasks := entries("/proc/self/task")
	if r.Frames <= 10 {
		r.FirstTasks = max(r.FirstTasks, tasks)
	} else {
		r.MaxTasks = max(r.MaxTasks, tasks)
	}
	if r.Frames == cycles {
		c.last(f, c.dict.Series())
		c.cancel()
	}
	return nil
}

// last notes what the last cycle said.
func (c *counter) last(f metric.Frame, names []metric.Series) {
	r := &c.report
	r.Errors, r.Sizes = make(cycleErrors), make(map[string]float64)
	for _, s := range f.Samples {
		series := names[s.Series]
		last := ""
		if n := len(series.Labels); n > 0 {
			last = series.Labels[n-1].Value
		}
		name, ours := strings.CutPrefix(last, c.dir+"/")
		switch {
		case series.Name == metric.ProbeSuccess.Name && s.Value == 0:
			r.Failed = append(r.Failed, last)
		case ours && series.Name == metric.FilesystemError.Name:
			r.Errors[name] = s.Value
		case ours && series.Name == metric.FilesystemSize.Name:
			r.Sizes[name] = s.Value
		}
	}
}

func (c *counter) Inventory(readings []facts.Reading) error {
	for _, rd := range readings {
		if rd.Section != facts.Filesystems {
			continue
		}
		c.report.Status, c.report.Reason, c.report.Facts = rd.Status.String(), rd.Reason, make(map[string]int64)
		for _, row := range rd.Rows {
			if fs := row.(*facts.FilesystemRow); strings.HasPrefix(fs.Mount, c.dir+"/") {
				c.report.Facts[filepath.Base(fs.Mount)] = fs.SizeBytes
			}
		}
	}
	return nil
}

func entries(dir string) int {
	list, _ := os.ReadDir(dir) // it is ourselves
	return len(list)
}

// children counts the processes of this namespace but for the first, which we are.
func children() int {
	list, _ := os.ReadDir("/proc")
	n := 0
	for _, e := range list {
		if e.Name() != "1" && strings.Trim(e.Name(), "0123456789") == "" {
			n++
		}
	}
	return n
}
