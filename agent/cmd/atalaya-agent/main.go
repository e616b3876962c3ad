// Command atalaya-agent gathers inventory, metrics and patch state of this machine
// and streams them to a collector.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"atalaya/agent"
	"atalaya/installers"
)

// version is set by the linker.
var version = "unknown"

// Exit statuses, a contract with scripts.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitUnsupported = 3
)

// usageError is a mistake on the command line.
type usageError struct{ error }

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run runs a command line and returns its exit status.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteC()
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "%s: %s\n", cmd.CommandPath(), oneLine(err.Error()))
	var usage usageError
	switch {
	case errors.As(err, &usage) || isCobraUsage(err):
		fmt.Fprintf(stderr, "See: %s --help\n", cmd.CommandPath())
		return exitUsage
	case errors.Is(err, errors.ErrUnsupported):
		return exitUnsupported
	}
	return exitFailed
}

// oneLine puts joined errors, and cobra's with its suggestions, on one line.
func oneLine(s string) string {
	text, near, ok := strings.Cut(s, "\n\nDid you mean this?\n")
	if ok {
		text += ": did you mean " + strings.Join(strings.Fields(near), ", ") + "?"
	}
	var pieces []string
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			pieces = append(pieces, line)
		}
	}
	return strings.Join(pieces, "; ")
}

// isCobraUsage recognises the errors cobra makes itself, which have no type.
func isCobraUsage(err error) bool {
	for _, p := range []string{"unknown command", "unknown flag", "unknown shorthand", "accepts ", "requires ", "required flag", "invalid argument", "flag needs an argument"} {
		if strings.HasPrefix(err.Error(), p) {
			return true
		}
	}
	return false
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "atalaya-agent",
		Short: "Gather inventory, metrics and patch state of this machine",
		Long: "The Atalaya agent gathers hardware and software inventory, metrics and patch state\n" +
			"of this machine, keeps them while the collector cannot be reached, and streams them\n" +
			"to it over QUIC. It listens on no port.",
		Example: "  atalaya-agent inventory --section packages --format json\n" +
			"  atalaya-agent enroll --token-file token.txt && atalaya-agent install && atalaya-agent start",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newEnroll(), newRun(), newInventory(), newMetrics(), newParse(), newHelper(), newVercmp(), newCost(), newStatus(), newWhySame())
	root.AddCommand(service.Verbs(func(config string) error {
		_, err := agent.LoadConfig(config, false)
		return err
	})...)
	return root
}

// settings are the flags that choose state and configuration.
type settings struct{ state, config string }

func (s *settings) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.state, "state", "", "state `folder` (default from the configuration, else "+agent.DefaultStateDir+")")
	cmd.Flags().StringVar(&s.config, "config", "", "configuration `file` (default "+agent.DefaultConfigFile+" if it exists)")
}

// load reads the configuration; flags win over the file.
func (s *settings) load() (agent.Config, error) {
	path, mayMiss := s.config, false
	if path == "" {
		path, mayMiss = agent.DefaultConfigFile, true
	}
	c, err := agent.LoadConfig(path, mayMiss)
	if s.state != "" {
		c.StateDir = s.state
	}
	return c, err
}

// service describes the agent to the service manager.
var service = installers.Service{
	Name:        "atalaya-agent",
	Title:       "Atalaya agent",
	Description: "Inventory, metrics and patch state of this machine",
	Args:        []string{"run"},
	Unit:        installers.AgentUnit,
	Sysusers:    installers.AgentSysusers,
	Hint:        "is this host enrolled? see: atalaya-agent enroll --help",
}
