package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"atalaya/collector/api/v1"
)

func (c *client) scrubCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "scrub",
		Short: "Verify the collector's whole state file while it runs, and mend what can be mended",
		Long: "Read the whole state file and verify the structure of its pages and each record's checksum,\n" +
			"while the collector goes on. Damaged records are mended from others, or thrown away and\n" +
			"asked from the hosts again; the answer says which. The collector does the same once a\n" +
			"day. Exit status 1 when there is damage that was not mended.",
		Example: "  atalaya scrub\n  atalaya scrub --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.ask(cmd.Context(), func(ctx context.Context, api *v1.Client) error { // as long as it takes
				doc, err := api.Scrub(ctx)
				if err := c.answer(err, doc, func() view { return scrubView(doc) }); err != nil {
					return err
				}
				if doc.Problem != "" {
					return errors.New(doc.Problem)
				}
				return nil
			})
		},
	}
}

func scrubView(doc v1.Scrub) view {
	p := &pairs{}
	p.add("read", size(doc.Bytes))
	p.add("pages", number(doc.Pages))
	p.add("records", number(doc.Records))
	p.add("took", text(time.Duration(doc.ElapsedSeconds*float64(time.Second)).Round(time.Millisecond).String()))
	verdict := cell{text: "sound", value: "sound", tone: good}
	switch {
	case doc.Count > 0 && doc.Mended:
		verdict = cell{text: fmt.Sprintf("%d findings, mended", doc.Count), value: "mended", tone: warn}
	case doc.Count > 0:
		verdict = cell{text: fmt.Sprintf("%d findings, not mended", doc.Count), value: "damaged", tone: bad}
	}
	p.add("verdict", verdict)
	out := view{pairs: p}
	if len(doc.Damage) > 0 {
		t := table{columns: []column{{title: "TABLE", name: "table"}, {title: "PAGE", name: "page", right: true}, {title: "DAMAGE", name: "damage"}}}
		for _, d := range doc.Damage {
			t.add(orAbsent(d.Table), number(d.Page), text(d.Detail))
		}
		out.blocks = append(out.blocks, block{table: t})
	}
	if len(doc.Lost) > 0 {
		t := table{columns: []column{{title: "TIME", name: "at"}, {title: "TABLE", name: "table"}, {title: "RECORDS", name: "records", right: true}, {title: "BECAME", name: "became"}, {title: "WHAT", name: "what"}}}
		for _, l := range doc.Lost {
			t.add(moment(l.At), text(l.Table), number(l.Records), text(l.Became), text(l.What))
		}
		out.blocks = append(out.blocks, block{heading: "What damage took", table: t})
	}
	if doc.AskedCount > 0 {
		t := table{columns: []column{{title: "HOST", name: "host"}, {title: "SECTION", name: "section"}, {name: "id", exact: true}}}
		for _, d := range doc.AskedAgain {
			t.add(text(d.Host), text(d.Section), text(d.HostID))
		}
		out.blocks = append(out.blocks, block{heading: fmt.Sprintf("Asked for again: %d", doc.AskedCount), table: t})
	}
	return out
}
