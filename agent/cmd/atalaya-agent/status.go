package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"atalaya/agent"
	"atalaya/agent/probe"
	"atalaya/installers"
	"atalaya/shared/facts"
)

// asked is what `status` and `cost` share: whom to ask and how to answer.
type asked struct {
	settings
	format string
}

func (a *asked) command(use, short, long, example string, table func(w io.Writer, st agent.Status)) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Example: example, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.format != "table" && a.format != "json" {
				return usageError{fmt.Errorf("--format %q: want table or json", a.format)}
			}
			c, err := a.load()
			if err != nil {
				return err
			}
			st, err := agent.ReadStatus(c.StateDir)
			if errors.Is(err, agent.ErrNotRunning) {
				return fmt.Errorf("%w%s", err, managerSays(c.StateDir))
			}
			if err != nil {
				return err
			}
			if a.format == "json" {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", " ")
				return enc.Encode(st)
			}
			table(cmd.OutOrStdout(), st)
			return nil
		},
	}
	a.register(cmd)
	cmd.Flags().StringVar(&a.format, "format", "table", "table or json")
	return cmd
}

// managerSays is what the service manager thinks of an agent that does not answer.
func managerSays(dir string) string {
	if _, err := os.Stat(filepath.Join(dir, "host.key")); errors.Is(err, fs.ErrNotExist) {
		return ": this host is not enrolled; run: atalaya-agent enroll --token-file FILE && atalaya-agent install && atalaya-agent start"
	}
	st, err := service.Status()
	switch {
	case errors.Is(err, installers.ErrNotInstalled), err != nil:
		return ": the service is not installed; run: atalaya-agent install && atalaya-agent start"
	case st == "running":
		return ", although the service manager says it runs: it is starting, or it crashes; see its log (journalctl -u atalaya-agent)"
	}
	return ": the service is stopped; run: atalaya-agent start"
}

func newStatus() *cobra.Command {
	return new(asked).command("status", "Say how the running agent is", "Ask the running agent how it is: its session, what waits for the collector, what it used.",
		"  sudo atalaya-agent status\n  sudo atalaya-agent status --format json", writeStatus)
}

func writeStatus(w io.Writer, st agent.Status) {
	tw := newAligned(w)
	defer tw.Flush()
	up, sp := st.Uplink, st.Spool
	fmt.Fprintf(tw, "agent\t%s, process %d, running for %s\n", st.Version, st.PID, span(st.Now.Sub(st.StartedAt)))
	fmt.Fprintf(tw, "collector\t%s, %s for %s\n", up.Address, up.State, span(st.Now.Sub(up.Since)))
	if up.LastError != "" {
		fmt.Fprintf(tw, "last error\t%s\n", plain(up.LastError))
	}
	if !up.NextTry.IsZero() && up.NextTry.After(st.Now) {
		fmt.Fprintf(tw, "next try\tin %s\n", span(up.NextTry.Sub(st.Now)))
	}
	if up.LastAck.IsZero() {
		fmt.Fprintf(tw, "acknowledged\tnothing yet\n")
	} else {
		fmt.Fprintf(tw, "acknowledged\t%s\n", age(st.Now.Sub(up.LastAck)))
	}
	fmt.Fprintf(tw, "waiting\t%s, %s in the spool", count(sp.Batches, "batch", "batches"), size(sp.Bytes))
	if sp.Batches > 0 && !sp.Oldest.IsZero() {
		fmt.Fprintf(tw, ", oldest %s", age(st.Now.Sub(sp.Oldest)))
	}
	fmt.Fprintln(tw)
	if sp.Lost > 0 || sp.HeldFrames > 0 || sp.Refused > 0 {
		fmt.Fprintf(tw, "lost\t%s dropped; %d readings in memory because the disk is full; %d of too many series\n",
			count(int(sp.Lost), "batch", "batches"), sp.HeldFrames, sp.Refused)
	}
	if !up.CertUntil.IsZero() {
		fmt.Fprintf(tw, "certificate\tends in %s, renewed before that\n", span(up.CertUntil.Sub(st.Now)))
	}
	fmt.Fprintf(tw, "sent\t%s out, %s in, %d packets, %s\n", size(int64(up.BytesOut)), size(int64(up.BytesIn)), up.Packets, count(int(up.Sessions), "session", "sessions"))
	fmt.Fprintf(tw, "used\t%.2f s of CPU\n", st.Process.CPUSeconds)
	writeDegraded(tw, st)
	writeProbes(tw, st)
}

// writeProbes names the probes that do not work, the worst first; those that do, and those
// that this machine has nothing for, have a line together.
func writeProbes(w io.Writer, st agent.Status) {
	well, waiting, absent := 0, 0, 0
	bad := map[facts.Status][]probe.Cost{}
	for _, c := range st.Costs {
		switch c.Status {
		case facts.StatusOK, facts.StatusEmpty:
			well++
		case facts.StatusUnknown:
			waiting++
		case facts.StatusUnsupported:
			absent++
		default:
			bad[c.Status] = append(bad[c.Status], c)
		}
	}
	fmt.Fprintf(w, "probes\t%d work", well)
	for _, status := range []facts.Status{facts.StatusFailed, facts.StatusDenied, facts.StatusPartial} {
		if n := len(bad[status]); n > 0 {
			fmt.Fprintf(w, ", %d %s", n, status)
		}
	}
	if waiting > 0 {
		fmt.Fprintf(w, ", %d not run yet", waiting)
	}
	if absent > 0 {
		fmt.Fprintf(w, "; %d have nothing to read on this machine", absent)
	}
	fmt.Fprintln(w)
	for _, status := range []facts.Status{facts.StatusFailed, facts.StatusDenied, facts.StatusPartial} {
		for _, c := range bad[status] {
			fmt.Fprintf(w, "  %s\t%s, %s: %s\n", c.Probe, status, age(st.Now.Sub(c.LastRun.Time())), plain(c.Reason))
		}
	}
}

// writeDegraded says what is given up to stay within the budget.
func writeDegraded(w io.Writer, st agent.Status) {
	if st.Degraded > 0 {
		fmt.Fprintf(w, "given up\t%s (level %d)\n", plain(st.DegradedReason), st.Degraded)
	}
}

func newCost() *cobra.Command {
	return new(asked).command("cost", "Say what each probe costs", "Ask the running agent what each of its probes has cost since it started.",
		"  sudo atalaya-agent cost\n  sudo atalaya-agent cost --format json", writeCost)
}

func writeCost(w io.Writer, st agent.Status) {
	tw := newAligned(w)
	defer tw.Flush()
	fmt.Fprintln(tw, "PROBE\tEVERY\tRUNS\tCPU/RUN\tCPU\tLAST TOOK\tREAD\tITEMS\tLAST RUN\tSTATUS")
	for _, c := range st.Costs {
		last, perRun := "never", "-"
		if c.Runs > 0 {
			last, perRun = age(st.Now.Sub(c.LastRun.Time())), millis(c.CPUSeconds/float64(c.Runs))
		}
		fmt.Fprintf(tw, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%d\t%s\t%s", c.Probe, every(c), c.Runs, perRun, millis(c.CPUSeconds),
			millis(c.LastWallSeconds), size(c.LastReadBytes), c.LastItems, last, c.Status)
		if c.Suspended {
			fmt.Fprint(tw, ", given up for now")
		}
		if c.Reason != "" {
			fmt.Fprintf(tw, ": %s", plain(c.Reason))
		}
		fmt.Fprintln(tw)
	}
	writeDegraded(tw, st)
	fmt.Fprintf(tw, "the whole agent\t\t\t%s\n", millis(st.Process.CPUSeconds))
}

func millis(seconds float64) string { return fmt.Sprintf("%.2f ms", seconds*1000) }

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// span formats a duration roughly: "3 min".
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// every says how often a probe runs.
func every(c probe.Cost) string {
	switch {
	case c.PeriodSeconds > 0:
		return span(time.Duration(c.PeriodSeconds * float64(time.Second)))
	case c.Metrics:
		return "tick"
	}
	return "inventory"
}
