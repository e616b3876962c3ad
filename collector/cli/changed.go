package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"atalaya/collector/api/v1"
)

// maxChanged is how many changes the collector gives at most.
const maxChanged = 10_000

func (c *client) hostChanged() *cobra.Command {
	q := v1.FleetChangeQuery{}
	var when rangeFlags
	cmd := &cobra.Command{
		Use:   "changed [HOST...]",
		Short: "Say what changed on hosts between two moments, what likely matters first",
		Long: "Say what is different on the fleet, on the named hosts or on those with a tag, between two\n" +
			"moments. What changed in the same way on several hosts is one line. First comes what likely\n" +
			"matters: software, configuration and services before what follows from them, rare before\n" +
			"common, once before often. What came and went between the moments is left out.",
		Example: "  atalaya host changed\n  atalaya host changed web1 web2 --from 2h\n  atalaya host changed --tag web --from 2026-03-10 --to 2026-03-11 --output csv",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if q.From, q.To, err = when.parse(c.env.Now()); err != nil {
				return err
			}
			switch {
			case len(args) > 0 && q.Tag != "":
				return usagef("hosts and --tag: want one of them")
			case q.Limit < 0 || q.Limit > maxChanged:
				return usagef("--limit: want 0 to %d", maxChanged)
			case q.Limit == 0:
				q.Limit = maxChanged
			}
			q.Hosts = args
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error { return c.changed(ctx, api, q) })
		},
	}
	when.add(cmd, "24h")
	f := cmd.Flags()
	f.StringVar(&q.Tag, "tag", "", "only hosts with this `tag`")
	f.IntVar(&q.Limit, "limit", 50, "at most `n` changes; 0 means all")
	return cmd
}

func (c *client) changed(ctx context.Context, api *v1.Client, q v1.FleetChangeQuery) error {
	doc, err := api.Changed(ctx, q)
	if err != nil {
		return err
	}
	if err := c.show(doc, func() view { return list(changedTable(doc), "nothing changed") }); err != nil {
		return err
	}
	if more := doc.Total - len(doc.Changes); more > 0 && c.output == formatTable {
		c.say(fmt.Sprintf("%d more: --limit 0 lists them all", more))
	}
	return nil
}

func changedTable(doc v1.FleetChanges) table {
	t := table{columns: []column{
		{title: "HOSTS", name: "host_count", right: true}, {title: "FIRST OF THEM", name: "hosts"}, {title: "SECTION", name: "section"},
		{title: "CHANGE", name: "change"}, {title: "ITEM", name: "item"}, {title: "DETAIL", name: "detail"},
		{name: "received_at", exact: true}, {name: "fleet_count", exact: true}, {name: "times", exact: true}, {name: "at", exact: true},
	}}
	for _, ch := range doc.Changes {
		var names []string
		for _, h := range ch.Hosts {
			names = append(names, h.Host)
		}
		first := text(strings.Join(names, " "))
		if len(names) > 0 {
			first.text = names[0]
		}
		t.add(number(ch.HostCount), first, text(ch.Section), word(ch.Kind), orAbsent(ch.Item), text(ch.Text),
			moment(ch.ReceivedAt), known(ch.FleetCount, number), number(ch.Times), moment(ch.At))
	}
	return t
}
