package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"atalaya/collector/api/v1"
)

func (c *client) searchCommand() *cobra.Command {
	limit := 20
	cmd := &cobra.Command{
		Use:   "search TEXT...",
		Short: "Find hosts and assets by anything that is known of them",
		Long: "Find hosts and assets by names, addresses, MACs, serial numbers, users, packages, services,\n" +
			"certificates, tags and what is declared of them, in any case. All words must be found of one\n" +
			"host; exact matches come before beginnings and parts, names before what a host has.",
		Example: "  atalaya search 5CG1234XYZ\n  atalaya search nginx madrid\n  atalaya search '\"PowerEdge R640\"' --limit 100 --output csv",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(strings.Join(args, "")) == "" {
				return usagef("want a text to search for, as in: atalaya search nginx madrid")
			}
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				var doc v1.SearchAnswer
				found, more, err := all(limit, func(p v1.Page) ([]v1.SearchGroup, string, error) {
					p.Limit = min(p.Limit, 200)
					page, err := api.Search(ctx, v1.SearchQuery{Text: strings.Join(args, " "), Page: p})
					doc.Now, doc.Total, doc.Partial = page.Now, page.Total, page.Partial
					return page.Found, page.Next, err
				})
				if err != nil {
					return err
				}
				doc.Found = notNil(found)
				if c.output != formatJSON {
					c.say(searchNote(doc, more))
				}
				return c.show(doc, func() view { return list(searchTable(doc), "nothing is known of that: a shorter text finds more") })
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", limit, "at most so many `hosts`; 0: all")
	return cmd
}

// searchNote tells what the answer lacks.
func searchNote(doc v1.SearchAnswer, more bool) string {
	var notes []string
	if more {
		notes = append(notes, fmt.Sprintf("the first %d of %d: --limit shows more", len(doc.Found), doc.Total))
	}
	if doc.Partial != "" {
		notes = append(notes, doc.Partial)
	}
	return strings.Join(notes, "; ")
}

func searchTable(doc v1.SearchAnswer) table {
	t := table{columns: []column{
		{title: "HOST", name: "name"}, {title: "MATCH", name: "rank"}, {title: "WHERE", name: "where"}, {title: "ITEM", name: "item"}, {title: "TEXT", name: "text"},
		{name: "host_id", exact: true}, {name: "asset", exact: true},
	}}
	for _, g := range doc.Found {
		name := text(g.Name)
		for _, m := range g.Matches {
			item := m.Item
			if item == m.Text {
				item = ""
			}
			t.add(name, text(m.Rank), text(m.Section+"."+m.Column), orAbsent(item), text(m.Text), text(g.HostID), text(g.Asset))
			name.text = ""
		}
		if g.More > 0 {
			t.add(cell{value: g.Name}, cell{}, cell{text: fmt.Sprintf("and %d more", g.More)}, cell{}, cell{}, text(g.HostID), text(g.Asset))
		}
	}
	return t
}
