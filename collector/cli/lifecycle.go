package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"atalaya/collector/api/v1"
)

func (c *client) hostRemove() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "remove HOST",
		Short: "Take a host out of the fleet and refuse its certificate",
		Long: "Take a host out of the fleet. Its facts leave all lists and queries of the present, its\n" +
			"session ends and its certificate is refused. Its past stays for as long as history is kept,\n" +
			"and a record with number, name, tags and reason for ever: `atalaya host list --removed`.\n" +
			"`atalaya host revive` brings the record back.",
		Example: "  atalaya host remove web1 --reason 'sold in May'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				doc, err := api.RemoveHost(ctx, args[0], reason)
				if err != nil {
					return err
				}
				c.say("removed, and its certificate is refused; to bring its record back: atalaya host revive " + doc.HostID)
				if c.output == formatCSV {
					return c.show(doc, func() view { return list(removedTable(v1.RemovedHosts{Hosts: []v1.RemovedHost{doc}}), "") })
				}
				return c.show(doc, func() view {
					p := &pairs{}
					p.add("host", text(doc.Host))
					p.add("id", text(doc.HostID))
					p.add("removed", moment(doc.RemovedAt))
					p.add("reason", text(doc.Reason))
					return view{pairs: p}
				})
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`text` that says why, kept with the record")
	return cmd
}

func (c *client) hostRevive() *cobra.Command {
	return &cobra.Command{
		Use:   "revive HOST",
		Short: "Bring a removed host back, by its number or its last name",
		Long: "Bring the record of a removed host back into the fleet, under its number and with its tags.\n" +
			"Certificates that were refused because it was removed are good again. Those that were\n" +
			"revoked otherwise stay so: then its agent can only come back with a new token.",
		Example: "  atalaya host revive web1\n  atalaya host revive 3e3e3e3e3e3e3e3e",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				doc, err := api.ReviveHost(ctx, args[0])
				if err != nil {
					return err
				}
				if doc.Keys == 0 {
					c.say("none of its keys is trusted, so its agent stays refused; on the host, with a new token in a file: atalaya-agent enroll --replace --token-file FILE")
				}
				return c.show(doc, func() view {
					t := table{columns: []column{{title: "HOST", name: "host"}, {title: "ID", name: "id"}, {title: "KEYS TRUSTED AGAIN", name: "keys", right: true}, {title: "REVOKED", name: "revoked"}}}
					t.add(text(doc.Host), text(doc.HostID), number(doc.Keys), yesNo(&doc.Revoked, warn))
					return list(t, "")
				})
			})
		},
	}
}

// listRemoved is `host list --removed`.
func (c *client) listRemoved(ctx context.Context, api *v1.Client) error {
	doc, err := api.RemovedHosts(ctx)
	doc.Hosts = notNil(doc.Hosts)
	return c.answer(err, doc, func() view { return list(removedTable(doc), "no host was removed") })
}

func removedTable(doc v1.RemovedHosts) table {
	t := table{columns: []column{
		{title: "HOST", name: "host"}, {title: "ID", name: "id"}, {title: "REMOVED (UTC)", name: "removed_at"}, {title: "REASON", name: "reason"},
		{title: "TAGS", name: "tags"},
	}}
	for _, h := range doc.Hosts {
		t.add(text(h.Host), text(h.HostID), moment(h.RemovedAt), orAbsent(h.Reason), orAbsent(strings.Join(h.Tags, " ")))
	}
	return t
}

func (c *client) hostTag() *cobra.Command {
	add := c.tagVerb("add", "Add tags to a host", func(tags []string) v1.TagChange { return v1.TagChange{Add: tags} })
	add.Example = "  atalaya host tag add web1 web production"
	remove := c.tagVerb("remove", "Take tags away from a host", func(tags []string) v1.TagChange { return v1.TagChange{Remove: tags} })
	remove.Example = "  atalaya host tag remove web1 production"
	return noun("tag", "Tags of hosts: given by you, for --tag and queries", add, remove)
}

func (c *client) tagVerb(name, short string, change func(tags []string) v1.TagChange) *cobra.Command {
	return &cobra.Command{
		Use:   name + " HOST TAG...",
		Short: short,
		Long: short + ", and show all it has then. A tag begins with a letter or digit and holds\n" +
			"those and . _ : / = - . Agents cannot change tags.",
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				doc, err := api.TagHost(ctx, args[0], change(args[1:]))
				return c.answer(err, doc, func() view {
					t := table{columns: []column{{title: "HOST", name: "host"}, {title: "TAGS", name: "tags"}, {name: "id", exact: true}}}
					t.add(text(doc.Host), orAbsent(strings.Join(doc.Tags, " ")), text(doc.HostID))
					return list(t, "")
				})
			})
		},
	}
}
