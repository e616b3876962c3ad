// Command atalaya-sim is a fleet of simulated agents in one process, for sizing a
// collector and for its tests. It is built by make and not installed.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"atalaya/agent/sim"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// errDiffers: the collector does not have what it acknowledged.
var errDiffers = errors.New("the collector differs from the ledger")

func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{
		Use:   "atalaya-sim",
		Short: "Simulate a fleet of agents, and check that nothing acknowledged is lost",
		Example: "  atalaya token create --count 1000 > tokens\n" +
			"  atalaya-sim run --agents 1000 --tokens tokens --state sim --duration 10m\n" +
			"  atalaya-sim check --state sim --server /var/lib/atalaya/atalaya.sock",
		SilenceErrors: true, SilenceUsage: true,
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.AddCommand(newRun(), newCheck())
	cmd, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return 0
	case cmd.Flags().Parsed() && cmd.HasParent():
		fmt.Fprintf(stderr, "%s: %v\n", cmd.CommandPath(), err)
		return 1
	}
	fmt.Fprintf(stderr, "%s: %v\nSee: %s --help\n", cmd.CommandPath(), err, cmd.CommandPath())
	return 2
}

func shapeFlags(cmd *cobra.Command, s *sim.Shape) {
	f := cmd.Flags()
	f.Uint64Var(&s.Seed, "seed", 1, "`number` that decides what the hosts have")
	f.IntVar(&s.Packages, "packages", 1500, "installed on each host")
	f.IntVar(&s.Series, "series", 150, "metrics of each host")
	f.StringVar(&s.Prefix, "name-prefix", "", "`text` before the number in names of hosts, so that fleets differ (default that of the run before, then sim-)")
}

// givenShape is what was said of the shape, zero where nothing was: if the state folder does
// not say either, a fleet has the numbers of a run without flags.
func givenShape(cmd *cobra.Command, s sim.Shape) sim.Shape {
	if !cmd.Flags().Changed("seed") {
		s.Seed = 0
	}
	if !cmd.Flags().Changed("packages") {
		s.Packages = 0
	}
	if !cmd.Flags().Changed("series") {
		s.Series = 0
	}
	return s
}

func newRun() *cobra.Command {
	var c sim.Config
	var duration time.Duration
	cmd := &cobra.Command{
		Use:   "run --agents N --tokens FILE --state DIR",
		Short: "Run a fleet against a collector",
		Long: "Enrol hosts that are not yet enrolled, tell their past, and report as agents do, until\n" +
			"the duration is over or Ctrl-C; then wait until all is acknowledged. Run again with the\n" +
			"same state and seed, the hosts go on where the ledger says. The ledger, ledger.tsv in the state folder, has a line for each\n" +
			"batch that the collector acknowledged.",
		Example: "  atalaya-sim run --agents 1000 --tokens tokens --state sim --days 30 --changes-per-day 5 --settle\n" +
			"  atalaya-sim run --agents 50 --tokens more --state lab --seed 2 --name-prefix lab- --settle\n" +
			"  atalaya-sim run --agents 100 --state sim --loss 0.05 --cut 1m --down 10s --duration 10m",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			if duration > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, duration)
				defer cancel()
			}
			if cmd.Flags().Changed("changes-per-day") && c.Days == 0 {
				return errors.New("--changes-per-day is of the past that a host has to tell: give its --days, or --change-every for changes from now on")
			}
			c.Talk = cmd.ErrOrStderr()
			return sim.Run(ctx, c)
		},
	}
	shapeFlags(cmd, &c.Shape)
	f := cmd.Flags()
	f.IntVar(&c.Agents, "agents", 100, "`number` of hosts")
	f.StringVar(&c.Address, "address", "", "of the collector, `host:port` (default that in the tokens, then that of the run before)")
	f.StringVar(&c.Tokens, "tokens", "", "`file` with a token a line, for hosts that are not yet enrolled")
	f.StringVar(&c.StateDir, "state", "", "`folder` for keys, certificates and the ledger")
	f.Float64Var(&c.Ramp, "ramp", 100, "hosts that start in a second")
	f.IntVar(&c.Days, "days", 0, "`number` of days of the past that each host has to tell")
	f.IntVar(&c.ChangesPerDay, "changes-per-day", 5, "`number` of changes of each host on each of these days; each changes at least one row")
	f.DurationVar(&c.Interval, "interval", time.Minute, "between readings of the metrics; 0: none")
	f.DurationVar(&c.ChangeEvery, "change-every", time.Hour, "between changes of each host; 0: none")
	f.DurationVar(&c.InventoryEvery, "inventory-every", 15*time.Minute, "between inventories that find nothing new; 0: none")
	f.DurationVar(&duration, "duration", 0, "of the run; 0: until Ctrl-C")
	f.BoolVar(&c.Settle, "settle", false, "tell the past only, and end once it is acknowledged")
	f.Float64Var(&c.Faults.Loss, "loss", 0, "`share` of packets lost, 0 to 1")
	f.DurationVar(&c.Faults.Cut, "cut", 0, "mean time between outages of a host; 0: none")
	f.DurationVar(&c.Faults.Down, "down", 10*time.Second, "mean length of an outage")
	cobra.CheckErr(cmd.MarkFlagRequired("state"))
	return cmd
}

func newCheck() *cobra.Command {
	var c sim.CheckConfig
	var tokenFile string
	cmd := &cobra.Command{
		Use:   "check --state DIR",
		Short: "Compare what the collector says with the ledger of a run that has ended",
		Long: "For each host compare the rows of every section with those after its last acknowledged\n" +
			"change, and count the changes in its history and its samples. Exit 0: nothing was lost\n" +
			"and nothing is there twice. Hosts that an administrator removed, brought back or merged are\n" +
			"named, and compared as far as they can be. Seed, packages and series are those of the run,\n" +
			"which the state folder says.",
		Example: "  atalaya-sim check --state sim --server ./var/collector/atalaya.sock --sample 200",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if tokenFile != "" {
				text, err := os.ReadFile(tokenFile)
				if err != nil {
					return err
				}
				c.Token = strings.TrimSpace(string(text))
			}
			c.Shape = givenShape(cmd, c.Shape)
			c.Talk = cmd.ErrOrStderr()
			tally, findings, err := sim.Check(cmd.Context(), c)
			for _, f := range findings {
				fmt.Fprintf(cmd.OutOrStdout(), "%s  %s\n", f.Host, f.What)
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s, %d differences\n", tally, len(findings))
			if len(findings) > 0 {
				return errDiffers
			}
			return nil
		},
	}
	shapeFlags(cmd, &c.Shape)
	f := cmd.Flags()
	f.StringVar(&c.StateDir, "state", "", "`folder` of the run")
	f.StringVar(&c.Server, "server", "/var/lib/atalaya/atalaya.sock", "the collector's `socket`, or the URL of its API")
	f.StringVar(&tokenFile, "token-file", "", "`file` with a token for the API, for a URL")
	f.IntVar(&c.Sample, "sample", 0, "`number` of hosts to look at; 0: all")
	cobra.CheckErr(cmd.MarkFlagRequired("state"))
	return cmd
}
