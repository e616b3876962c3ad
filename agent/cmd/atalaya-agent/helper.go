package main

import (
	"github.com/spf13/cobra"

	"atalaya/agent"
	"atalaya/agent/probe"
)

// ownProgram is this program even after its file was replaced by an update.
const ownProgram = "/proc/self/exe"

// newHelper is the process that the agent starts to take readings that may hang.
func newHelper() *cobra.Command {
	return &cobra.Command{
		Use:    "helper",
		Short:  "Take readings that may never return, for the agent",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return probe.ServeHelper(cmd.InOrStdin(), cmd.OutOrStdout(), agent.HelperTasks())
		},
	}
}

// liveHost is this machine, with a helper for what may hang.
func liveHost() *probe.Host { return probe.LiveHost().WithHelper(ownProgram, "helper") }
