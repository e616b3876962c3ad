package cli

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"atalaya/collector/api/v1"
)

func (c *client) ciCommands() *cobra.Command {
	return noun("ci", "Configuration items and their relations", c.ciList(), c.ciShow(), c.ciImpact())
}

func (c *client) ciList() *cobra.Command {
	var q v1.CIQuery
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List configuration items",
		Example: "  atalaya ci list --class service\n  atalaya ci list --host web1\n  atalaya ci list --class software --name 'openssl*'\n  atalaya ci list --gone --output csv",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				var doc v1.CIPage
				items, _, err := all(0, func(p v1.Page) ([]v1.CI, string, error) {
					q.Page = p
					page, err := api.CIs(ctx, q)
					doc.Now = page.Now
					return page.CIs, page.Next, err
				})
				doc.CIs = notNil(items)
				return c.answer(err, doc, func() view { return list(ciTable(doc), "no configuration item matches") })
			})
		},
	}
	f := cmd.Flags()
	choice{&q.Class, v1.CIClasses()}.flag(cmd, "class", "only this `class`")
	f.StringVar(&q.Name, "name", "", "only items whose name matches the `pattern`, with * and ?")
	f.StringVar(&q.Host, "host", "", "only items that belong to this `host`, by name or number")
	f.BoolVar(&q.Gone, "gone", false, "those that are gone, too")
	return cmd
}

func ciTable(doc v1.CIPage) table {
	t := table{columns: []column{
		{title: "CLASS", name: "class"}, {title: "NAME", name: "name"}, {title: "HOST", name: "host"}, {title: "SEEN", name: "last_seen"},
		{title: "ID", name: "id"}, {name: "first_seen", exact: true}, {name: "present", exact: true},
	}}
	for _, ci := range doc.CIs {
		present := yesNo(&ci.Present)
		t.add(text(ci.Class), text(ci.Name), orAbsent(ci.Host), presence(ci.Present, ago(doc.Now, ci.LastSeen)), text(ci.ID), ago(doc.Now, ci.FirstSeen), present)
	}
	return t
}

// presence marks the age of something that is gone.
func presence(present bool, seen cell) cell {
	if !present {
		seen.text, seen.tone = "gone, "+seen.text, faint
	}
	return seen
}

func (c *client) ciShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show ID",
		Short:   "Show a configuration item with its relations",
		Long:    "Show a configuration item with its relations. ID is as `ci list` shows it, or\nCLASS:NAME where that names one item only.",
		Example: "  atalaya ci show host:web1\n  atalaya ci show service/4f3a09c1d2e8b765/nginx",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				doc, err := api.CI(ctx, args[0])
				return c.answer(err, doc, func() view { return ciView(doc) })
			})
		},
	}
}

func ciView(doc v1.CIDetail) view {
	t := table{columns: []column{
		{title: "RELATION", name: "relation"}, {title: "CLASS", name: "class"}, {title: "NAME", name: "name"},
		{title: "SEEN", name: "last_seen"}, {title: "ID", name: "id"}, {title: "DETAIL", name: "attributes"}, {name: "first_seen", exact: true}, {name: "present", exact: true},
	}}
	for _, r := range doc.Relations {
		t.add(text(spaced(r.Relation)), text(r.Class), text(r.Name), presence(r.Present, ago(doc.Now, r.LastSeen)), text(r.ID), text(labels(r.Attributes)), ago(doc.Now, r.FirstSeen), yesNo(&r.Present))
	}
	return view{pairs: ciPairs(doc), blocks: []block{{table: t, none: "no relations"}}}
}

func ciPairs(doc v1.CIDetail) *pairs {
	ci, p := doc.CI, &pairs{}
	p.add("id", text(ci.ID))
	p.add("class", text(ci.Class))
	p.add("name", text(ci.Name))
	p.add("host", text(ci.Host))
	p.add("first seen", ago(doc.Now, ci.FirstSeen))
	p.add("last seen", presence(ci.Present, ago(doc.Now, ci.LastSeen)))
	for _, name := range slices.Sorted(maps.Keys(ci.Attributes)) {
		p.add(name, text(ci.Attributes[name]))
	}
	return p
}

func (c *client) ciImpact() *cobra.Command {
	return &cobra.Command{
		Use:     "impact ID",
		Short:   "Show what suffers if a configuration item fails, nearest first",
		Example: "  atalaya ci impact host:web1",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				doc, err := api.Impact(ctx, args[0])
				if err == nil && doc.Truncated && c.output != formatJSON {
					c.say("there is more: the search stopped at its limit")
				}
				return c.answer(err, doc, func() view { return list(impactTable(doc), "nothing depends on it") })
			})
		},
	}
}

func impactTable(doc v1.Impact) table {
	t := table{columns: []column{
		{title: "DISTANCE", name: "distance", right: true}, {title: "CLASS", name: "class"}, {title: "NAME", name: "name"},
		{title: "BECAUSE", name: "why"}, {title: "ID", name: "id"},
	}}
	names := map[string]string{doc.CI.ID: doc.CI.Name}
	for _, a := range doc.Affected {
		names[a.ID] = a.Name
	}
	for _, a := range doc.Affected {
		t.add(number(a.Distance), text(a.Class), text(a.Name), text(because(a.Why, names)), text(a.ID))
	}
	return t
}

// because tells the last relation on the way to what is hit: the one that reaches it.
func because(why []v1.Step, names map[string]string) string {
	if len(why) == 0 {
		return ""
	}
	last := why[len(why)-1]
	from, ok := names[last.From]
	if !ok {
		from = last.From
	}
	return from + " " + spaced(last.Relation) + " it"
}

func spaced(relation string) string { return strings.ReplaceAll(relation, "_", " ") }
