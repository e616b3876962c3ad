package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"atalaya/agent"
	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// machine is the one that `inventory` and `metrics` read, with its configuration.
type machine struct{ root, config string }

const machineHelp = "What the configuration of this machine leaves out is left out here too, and its limits\n" +
	"hold: " + agent.DefaultConfigFile + " where it is there, or the file of --config. With --root the\n" +
	"defaults hold."

func (m *machine) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&m.root, "root", "", "read the machine whose files lie below this `folder`; nothing asks this machine")
	cmd.Flags().StringVar(&m.config, "config", "", "configuration `file` (default "+agent.DefaultConfigFile+" if it exists)")
}

// open returns the host to read and the configuration to read it by.
func (m *machine) open(talk io.Writer) (*probe.Host, agent.Config, error) {
	if m.root != "" && m.config != "" {
		return nil, agent.Config{}, usageError{errors.New("--config is of this machine, --root names another: give one of them")}
	}
	host, err := hostAt(m.root)
	switch {
	case err != nil, m.root != "":
		return host, agent.DefaultConfig(), err
	case m.config != "":
		c, err := agent.LoadConfig(m.config, false)
		return host, c, err
	}
	c, err := agent.LoadConfig(agent.DefaultConfigFile, true)
	return host, c, unlessDenied(err, talk)
}

// nothingError says that there is nothing to read; the program ends with exitUnsupported.
type nothingError string

func (e nothingError) Error() string        { return string(e) }
func (e nothingError) Is(target error) bool { return target == errors.ErrUnsupported }

// nothing is the error of a machine of which no metric could be read.
func (m *machine) nothing() error {
	if m.root != "" {
		return nothingError(fmt.Sprintf("no metric could be read below %s: give the folder that holds proc, sys and etc of the machine", m.root))
	}
	return nothingError("no metric could be read: is /proc mounted?")
}

// tellProblems writes what could not be read, a line each, without what the machine does
// not have.
func tellProblems(talk io.Writer, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			tellProblems(talk, one)
		}
	} else if err != nil && !probe.Absent(err) {
		fmt.Fprintf(talk, "atalaya-agent: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
}

// unlessDenied drops the error of a configuration that this user may not read, with a
// remark: what LoadConfig gives beside it are the defaults.
func unlessDenied(err error, talk io.Writer) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	fmt.Fprintf(talk, "atalaya-agent: %v: the defaults hold (run as root to go by the configuration)\n", err)
	return nil
}

// hostAt returns the host to read; a root must be a folder, or a mistyped one would
// look like a machine without anything.
func hostAt(root string) (*probe.Host, error) {
	if root == "" {
		return liveHost(), nil
	}
	info, err := os.Stat(root)
	if err != nil {
		return nil, fmt.Errorf("--root: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("--root: %s is not a folder", root)
	}
	return probe.RootHost(root), nil
}

// gathered are the sections asked for, or all, without those that the configuration
// disables. To ask for a disabled one by its name is an error.
func gathered(c agent.Config, sections []facts.ID, names []string) ([]facts.ID, error) {
	if len(c.DisabledSections) == 0 {
		return sections, nil
	}
	for _, n := range names {
		if slices.Contains(c.DisabledSections, n) {
			return nil, fmt.Errorf("section %s is not gathered here: the configuration names it in disabled_sections", n)
		}
	}
	if len(sections) == 0 {
		for _, s := range facts.Sections() {
			sections = append(sections, s.ID)
		}
	}
	sections = slices.DeleteFunc(sections, func(id facts.ID) bool { return slices.Contains(c.DisabledSections, id.String()) })
	if len(sections) == 0 {
		return nil, errors.New("no section is gathered here: the configuration names all of them in disabled_sections")
	}
	return sections, nil
}
