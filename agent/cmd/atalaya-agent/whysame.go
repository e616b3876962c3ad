package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"atalaya/agent"
)

// sameness is the document of `why-same`.
type sameness struct {
	Facts     []sameFact `json:"facts"`
	HostID    string     `json:"host_id,omitempty"`   // of the certificate
	Collector string     `json:"collector,omitempty"` // what it concluded, or why it refused
}

type sameFact struct {
	Fact  string `json:"fact"`
	Value string `json:"value"`
	Junk  string `json:"junk,omitempty"` // why it does not count
}

func newWhySame() *cobra.Command {
	var s settings
	var root, format string
	cmd := &cobra.Command{
		Use:     "why-same",
		Short:   "Show by which facts this machine is known again",
		Long:    "Show the facts of the hardware by which the collector knows this machine again, those that\ndo not count because many machines have them, and what the collector concluded.",
		Example: "  sudo atalaya-agent why-same\n  atalaya-agent why-same --root /mnt/image --format json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "table" && format != "json" {
				return usageError{fmt.Errorf("--format %q: want table or json", format)}
			}
			doc, err := whySame(&s, root)
			if err != nil {
				return err
			}
			if format == "json" {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", " ")
				return enc.Encode(doc)
			}
			tw := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			defer tw.Flush()
			fmt.Fprintln(tw, "FACT\tVALUE\tCOUNTS")
			for _, f := range doc.Facts {
				counts := "yes"
				if f.Junk != "" {
					counts = "no: " + f.Junk
				}
				fmt.Fprintf(tw, "%s\t%s\t%s\n", f.Fact, plain(f.Value), counts)
			}
			if doc.HostID != "" {
				fmt.Fprintf(tw, "host id\t%s\t\n", doc.HostID)
			}
			if doc.Collector != "" {
				fmt.Fprintf(tw, "\nThe collector says: %s\n", plain(doc.Collector))
			}
			return nil
		},
	}
	s.register(cmd)
	cmd.Flags().StringVar(&root, "root", "", "`folder` that holds another machine's files")
	cmd.Flags().StringVar(&format, "format", "table", "table or json")
	return cmd
}

func whySame(s *settings, root string) (doc sameness, err error) {
	host, err := hostAt(root)
	if err != nil {
		return doc, err
	}
	for _, f := range agent.IdentityFacts(host) {
		doc.Facts = append(doc.Facts, sameFact{f.Kind.String(), f.Value, f.Junk()})
	}
	if root != "" {
		return doc, nil
	}
	c, err := s.load()
	if err != nil {
		return doc, err
	}
	doc.HostID = agent.HostID(c.StateDir)
	st, err := agent.ReadStatus(c.StateDir)
	if err != nil {
		doc.Collector = err.Error()
		return doc, nil
	}
	doc.Collector = st.Uplink.Identity
	if st.Uplink.LastError != "" {
		doc.Collector = st.Uplink.LastError
	}
	return doc, nil
}
