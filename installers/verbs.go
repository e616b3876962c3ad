package installers

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
)

// uninstalled says what stays: the owner of the state folder stays with it.
func (s Service) uninstalled() string {
	if s.Sysusers == "" {
		return "uninstalled; its state folder stays"
	}
	return "uninstalled; its state folder stays, and the system user " + s.Name + " if it was made"
}

// Verbs returns the commands install, uninstall, start and stop of a program.
// check refuses a configuration file that the service could not start with.
func (s Service) Verbs(check func(config string) error) []*cobra.Command {
	verb := func(name, short, done string, f func(Service) error) *cobra.Command {
		return &cobra.Command{
			Use:     name,
			Short:   short,
			Example: "  sudo " + s.Name + " " + name,
			Args:    cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				if err := f(s); err != nil {
					return err
				}
				fmt.Fprintln(cmd.ErrOrStderr(), done)
				return nil
			},
		}
	}
	var config string
	install := verb("install", "Register the service, to start at every boot", "installed; now: "+s.Name+" start",
		func(s Service) error {
			if config != "" {
				abs, err := filepath.Abs(config)
				if err != nil {
					return err
				}
				if err := check(abs); err != nil {
					return err
				}
				s.Args = append(slices.Clone(s.Args), "--config", abs)
			}
			return s.Install()
		})
	install.Flags().StringVar(&config, "config", "", "configuration `file` that the service shall read")
	return []*cobra.Command{
		install,
		verb("uninstall", "Stop the service and remove it; its state stays", s.uninstalled(), Service.Uninstall),
		verb("start", "Start the service", "started; see: "+s.Name+" status", Service.Start),
		verb("stop", "Stop the service", "stopped", Service.Stop),
	}
}
