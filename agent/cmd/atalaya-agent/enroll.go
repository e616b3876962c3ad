package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"atalaya/agent"
	"atalaya/installers"
)

func newEnroll() *cobra.Command {
	var s settings
	var o agent.EnrollOptions
	cmd := &cobra.Command{
		Use:   "enroll --token-file FILE",
		Short: "Make this machine known to a collector",
		Long: "Make a key on this machine and let the collector certify it. The token comes from\n" +
			"`atalaya token create` at the collector; it holds the collector's address and the hash\n" +
			"of its CA, lives for a day and works once. It is read from a file so that it does not\n" +
			"show in the list of processes; - reads standard input.",
		Example: "  atalaya-agent enroll --token-file token.txt\n" +
			"  ssh collector atalaya token create | atalaya-agent enroll --token-file -\n" +
			"  atalaya-agent stop && atalaya-agent enroll --replace --token-file token.txt && atalaya-agent start",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.load()
			if err != nil {
				return err
			}
			host, err := agent.Enroll(cmd.Context(), c, o)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "enrolled at %s as host %s; now: atalaya-agent install && atalaya-agent start\n", host.Collector, host.ID)
			return nil
		},
	}
	s.register(cmd)
	cmd.Flags().StringVar(&o.TokenFile, "token-file", "", "`file` that holds the token, - for standard input")
	cmd.Flags().BoolVar(&o.Replace, "replace", false, "give an enrolled host a new key and identity, for one that was revoked")
	cmd.Flags().StringVar(&o.Address, "collector", "", "`host:port` of the collector, where the token's own does not reach it from here")
	cobra.CheckErr(cmd.MarkFlagRequired("token-file"))
	return cmd
}

// gcPercent trades processor time for memory: measured, 1.6 MB less resident memory at
// rest and 2 MB less at the peak than with Go's 100, for some 20 ms at an inventory.
const gcPercent = 30

// takeLittle is for commands that read the machine. One reading, one writing and one
// sending at a time need no second processor: measured, a fifth less CPU, since no thread
// looks for work that there is not.
func takeLittle() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
	agent.CoalesceTimers()
}

func newRun() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the agent in the foreground, as the service does",
		Long: "Run the agent until it is told to stop. It needs to be enrolled. While the collector\n" +
			"cannot be reached it keeps what it gathers and tries again.",
		Example: "  atalaya-agent run --state ./state",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := s.load()
			if err != nil {
				return err
			}
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(gcPercent)
			}
			takeLittle()
			return service.Run(func(ctx context.Context) error {
				return agent.Run(ctx, c, agent.Options{
					Version: version,
					Log:     agent.NewLog(os.Stderr, c.LogLevel),
					Host:    liveHost(),
					Ready:   func() error { return installers.Notify(installers.ReadyEvery(c.Interval)) },
					Alive:   func() error { return installers.Notify(installers.Alive) },
				})
			})
		},
	}
	s.register(cmd)
	return cmd
}
