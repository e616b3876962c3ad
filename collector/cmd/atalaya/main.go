// Command atalaya is the collector and the administrator's command line.
package main

import (
	"context"
	"errors"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"atalaya/collector"
	"atalaya/collector/cli"
	"atalaya/collector/store"
	"atalaya/installers"
)

// version is set by the linker.
var version = "unknown"

func main() {
	os.Exit(cli.Execute(newRoot(), os.Args[1:]))
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "atalaya",
		Short: "Keep and question the inventory, CMDB, metrics and alerts of a fleet",
		Long: "Atalaya's collector and command line. `atalaya serve` takes what agents report;\n" +
			"every other command asks a running collector, by default the one on this machine.",
		Example: "  atalaya serve --data /var/lib/atalaya\n" +
			"  atalaya host list\n" +
			"  atalaya package find openssl --below 3.0.11",
		Version: version,
	}
	root.AddCommand(newServe(), newRestore(), newVerify())
	root.AddCommand(service.Verbs(func(config string) error {
		_, err := load(config)
		return err
	})...)
	return root
}

func newServe() *cobra.Command {
	var data, config string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the collector",
		Long: "Run the collector until it is told to stop. All state lies in the data folder; a\n" +
			"second collector on the same folder is refused.",
		Example: "  atalaya serve\n  atalaya serve --data ./var/collector --config ./collector.yml",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := load(config)
			if err != nil {
				return err
			}
			if data != "" {
				c.DataDir = data
			}
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(gcPercent)
			}
			return service.Run(func(ctx context.Context) error {
				return lasting(collector.Run(ctx, c, collector.Options{
					Version: version,
					Verify:  verifyCommand(),
					Log:     collector.NewLog(os.Stderr, c.LogLevel),
					Ready:   func() error { return installers.Notify(installers.Ready) },
					Status:  func(text string) error { return installers.Notify(installers.Status + text) },
				}))
			})
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "data `folder` (default from the configuration, else "+collector.DefaultDataDir+")")
	cmd.Flags().StringVar(&config, "config", "", "configuration `file` (default "+collector.DefaultConfigFile+" if it exists)")
	return cmd
}

// gcPercent trades processor time for memory: what ten thousand connected agents keep is
// collected rarely, and half of it again is enough to let lie about
// (docs/adr/0036-connected-fleet.md). GOGC overrides it.
const gcPercent = 50

// newVerify is run by the collector, see collector.Verify.
func newVerify() *cobra.Command {
	return &cobra.Command{
		Use:    "verify-state",
		Short:  "Verify a state file that is in use; the collector runs it",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return collector.Verify(cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}

// verifyCommand is this program as newVerify; nil when it cannot be found.
func verifyCommand() []string {
	self, err := os.Executable()
	if err != nil {
		return nil
	}
	return []string{self, "verify-state"}
}

// exitLasting tells the service manager that starting again would end the same way
// (EX_DATAERR in sysexits.h; RestartPreventExitStatus in the unit).
const exitLasting = 65

// lastingError is one that only an administrator can end.
type lastingError struct{ error }

func (lastingError) ExitCode() int   { return exitLasting }
func (e lastingError) Unwrap() error { return e.error }

// lasting marks that the state file is damaged in its structure or was written by a
// newer collector.
func lasting(err error) error {
	if errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrNewer) {
		return lastingError{err}
	}
	return err
}

func load(config string) (collector.Config, error) {
	if config == "" {
		return collector.LoadConfig(collector.DefaultConfigFile, true)
	}
	return collector.LoadConfig(config, false)
}

// service describes the collector to the service manager.
var service = installers.Service{
	Name:        "atalaya",
	Title:       "Atalaya collector",
	Description: "Asset inventory, CMDB, metrics and alerts",
	Args:        []string{"serve"},
	Unit:        installers.CollectorUnit,
}
