package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"atalaya/agent"
	"atalaya/agent/probe"
	"atalaya/shared/facts"
	"atalaya/shared/metric"
)

func newInventory() *cobra.Command {
	var m machine
	var format string
	var names []string
	cmd := &cobra.Command{
		Use:   "inventory",
		Short: "Take an inventory now and print it; no collector is needed",
		Long: "Take an inventory of this machine, or of the one whose files lie below --root, and\n" +
			"print it. Each section says how its reading went: ok, partial, empty, unsupported,\n" +
			"denied or failed. Run as root to see what only root may read.\n\n" + machineHelp + "\n\nThe sections are:\n" + sectionNames(),
		Example: "  atalaya-agent inventory\n" +
			"  atalaya-agent inventory --section packages --section patches --format json\n" +
			"  atalaya-agent inventory --root /mnt/disk-of-another-machine",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			sections, err := sectionIDs(names)
			if err != nil {
				return err
			}
			host, c, err := m.open(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if sections, err = gathered(c, sections, names); err != nil {
				return err
			}
			takeLittle()
			res := probe.RunOnce(cmd.Context(), host, agent.InventoryProbes(c, probed(sections)...)...)
			doc := agent.NewDocument(res.Readings, host.Now())
			doc.Keep(sections)
			switch format {
			case "json":
				return doc.WriteJSON(cmd.OutOrStdout())
			case "table":
				return writeTables(cmd.OutOrStdout(), doc, time.Now(), len(names) == 0)
			}
			return usageError{fmt.Errorf("--format %q: want json or table", format)}
		},
	}
	m.register(cmd)
	cmd.Flags().StringArrayVar(&names, "section", nil, "only this `section`; repeat for several")
	cmd.Flags().StringVar(&format, "format", "table", "table or json")
	return cmd
}

// sectionIDs translates names; patches brings its verdict along.
func sectionIDs(names []string) ([]facts.ID, error) {
	var ids []facts.ID
	for _, n := range names {
		s, ok := facts.ByName(n)
		if !ok {
			return nil, usageError{agent.NoSection(n)}
		}
		ids = append(ids, s.ID)
		if s.ID == facts.Patches && !slices.Contains(names, facts.PatchState.String()) {
			ids = append(ids, facts.PatchState)
		}
	}
	return ids, nil
}

// helpWidth is how wide the texts of --help are, in columns.
const helpWidth = 88

// sectionNames lists the sections in lines of a help text.
func sectionNames() string {
	text, line := "", ""
	for _, s := range facts.Sections() {
		if len(line)+len(s.Name)+1 > helpWidth {
			text, line = text+line+"\n", ""
		}
		line += " " + s.Name
	}
	return text + line
}

// probed are the sections to read for those asked for: the head of the document names
// the host, which section os knows.
func probed(sections []facts.ID) []facts.ID {
	if len(sections) == 0 {
		return nil
	}
	return append(slices.Clone(sections), facts.OS)
}

func newMetrics() *cobra.Command {
	var m machine
	var format, compat string
	cmd := &cobra.Command{
		Use:   "metrics",
		Short: "Take one reading of the metrics and print it; no collector is needed",
		Long: "Take one reading of the metrics of this machine, or of the one whose files lie below\n" +
			"--root, and print it. Names, labels and units are node_exporter's. With --compat node\n" +
			"also what is off by default, and nothing that node_exporter does not have: in the textfile\n" +
			"folder of a node_exporter of this machine each series would come twice.\n\n" + machineHelp,
		Example: "  atalaya-agent metrics\n" +
			"  atalaya-agent metrics --format json\n" +
			"  atalaya-agent metrics --compat node > /srv/metrics/new && mv /srv/metrics/new /srv/metrics/web1.prom",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if compat != "" && compat != "node" {
				return usageError{fmt.Errorf("--compat %q: only node is known", compat)}
			}
			if format != "prometheus" && format != "json" {
				return usageError{fmt.Errorf("--format %q: want prometheus or json", format)}
			}
			host, c, err := m.open(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			probes := agent.MetricProbes(c, version)
			if compat == "node" {
				probes = agent.CompatProbes(c)
			}
			takeLittle()
			res := probe.RunOnce(cmd.Context(), host, probes...)
			if len(res.Frame.Samples) == 0 {
				return m.nothing()
			}
			tellProblems(cmd.ErrOrStderr(), res.Err)
			if compat == "node" {
				agent.AddCollectors(&res)
				res.Frame.Samples = slices.DeleteFunc(res.Frame.Samples, func(s metric.Sample) bool {
					return strings.HasPrefix(res.Series[s.Series].Name, "atalaya_")
				})
			}
			if format == "json" {
				return probe.WriteJSON(cmd.OutOrStdout(), res)
			}
			return probe.WriteExposition(cmd.OutOrStdout(), res)
		},
	}
	m.register(cmd)
	cmd.Flags().StringVar(&format, "format", "prometheus", "prometheus or json")
	cmd.Flags().StringVar(&compat, "compat", "", "node: only what node_exporter gives too")
	return cmd
}
