package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"atalaya/collector/api/v1"
)

func (c *client) tokenCommands() *cobra.Command {
	return noun("token", "Tokens: for agents to enrol, for programs to use the API", c.tokenCreate(), c.tokenList(), c.tokenRevoke())
}

func (c *client) tokenCreate() *cobra.Command {
	var r v1.TokenRequest
	var ttl string
	count := 1
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create a token; it is shown this once",
		Long: "Create a token and write it to standard output, where it is shown this once. Without\n" +
			"--role it lets one agent enrol, within a day. With --role it lets a program use the API\n" +
			"for 90 days: reader sees all, operator may also revoke, remove and tag hosts, admin may do everything.",
		Example: "  atalaya token create --note 'web servers' > token\n  atalaya token create --address collector.example.org:7443 --ttl 1h > token\n  atalaya token create --role reader --note grafana > grafana.token\n  atalaya token create --count 500 --note 'roll-out in May' > tokens",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r.Kind = v1.TokenEnrol
			if r.Role != "" {
				r.Kind = v1.TokenAPI
			}
			if ttl != "" {
				d, err := v1.ParseDuration(ttl)
				if err != nil || d < time.Second {
					return usagef("--ttl: want e.g. 1h or 90d")
				}
				r.TTLSeconds = int64(d / time.Second)
			}
			if count < 1 {
				return usagef("--count: want 1 or more")
			}
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				doc, err := createTokens(ctx, api, r, count)
				if err != nil {
					return err
				}
				return c.showNewToken(doc)
			})
		},
	}
	f := cmd.Flags()
	f.IntVar(&count, "count", 1, "`number` of tokens for enrolment, one a line")
	f.StringVar(&ttl, "ttl", "", "`duration` of its life (default 1d, with --role 90d)")
	f.StringVar(&r.Note, "note", "", "`text` that says what it is for")
	choice{&r.Role, v1.Roles()}.flag(cmd, "role", "`role` of a token for the API")
	f.StringVar(&r.Address, "address", "", "`host:port` at which agents reach the collector (default as configured)")
	return cmd
}

// createTokens asks for as many tokens, in requests of what one may ask for.
func createTokens(ctx context.Context, api *v1.Client, r v1.TokenRequest, count int) (doc v1.NewToken, err error) {
	for have := 0; have < count; {
		r.Count = min(count-have, v1.MaxTokens)
		got, err := api.CreateToken(ctx, r)
		if err != nil {
			return doc, err
		}
		if have += 1 + len(got.More); doc.ID == "" {
			doc = got
			continue
		}
		more := got.More
		got.More = nil
		doc.More = append(append(doc.More, got), more...)
	}
	return doc, nil
}

// showNewToken writes the token alone to standard output, so that it can go to a
// file, and what to do with it beside that.
func (c *client) showNewToken(doc v1.NewToken) error {
	if c.output != formatTable {
		return c.show(doc, func() view { return list(newTokenTable(c.env.Now(), doc), "") })
	}
	if n := 1 + len(doc.More); n > 1 {
		c.say(fmt.Sprintf("%d tokens, valid until %s UTC, shown this once", n, moment(doc.ExpiresAt).text))
	} else {
		c.say(fmt.Sprintf("token %s, valid until %s UTC, shown this once", doc.ID, moment(doc.ExpiresAt).text))
	}
	if doc.Kind == v1.TokenEnrol {
		c.say("on the host, with the token in a file: atalaya-agent enroll --token-file FILE")
	} else {
		c.say("with the token in a file: atalaya host list --server ADDRESS --token-file FILE")
	}
	lines := []string{doc.Secret}
	for _, m := range doc.More {
		lines = append(lines, m.Secret)
	}
	_, err := fmt.Fprintln(c.env.Stdout, strings.Join(lines, "\n"))
	return err
}

func (c *client) tokenList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List tokens, newest first; never their secrets",
		Example: "  atalaya token list",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				doc, err := api.Tokens(ctx)
				return c.answer(err, doc, func() view { return list(tokenTable(doc.Now, doc.Tokens), "no tokens") })
			})
		},
	}
}

// tokenTable lists tokens.
func tokenTable(now time.Time, tokens []v1.Token) table {
	t := table{columns: []column{
		{title: "ID", name: "id"}, {title: "KIND", name: "kind"}, {title: "ROLE", name: "role"}, {title: "STATE", name: "state"},
		{title: "CREATED", name: "created_at"}, {title: "EXPIRES", name: "expires_at"}, {title: "USED", name: "last_used_at"}, {title: "NOTE", name: "note"},
		{name: "host_id", exact: true},
	}}
	for _, k := range tokens {
		t.add(text(k.ID), text(k.Kind), orAbsent(k.Role), word(k.State), ago(now, k.CreatedAt), ago(now, k.ExpiresAt), ago(now, k.LastUsedAt), text(k.Note), text(k.HostID))
	}
	return t
}

// newTokenTable lists tokens with their secrets.
func newTokenTable(now time.Time, doc v1.NewToken) table {
	tokens, secrets := []v1.Token{doc.Token}, []string{doc.Secret}
	for _, m := range doc.More {
		tokens, secrets = append(tokens, m.Token), append(secrets, m.Secret)
	}
	t := tokenTable(now, tokens)
	t.columns = append(t.columns, column{name: "secret", exact: true})
	for i := range t.rows {
		t.rows[i] = append(t.rows[i], text(secrets[i]))
	}
	return t
}

func (c *client) tokenRevoke() *cobra.Command {
	return &cobra.Command{
		Use:     "revoke ID",
		Short:   "Make a token worthless at once",
		Example: "  atalaya token revoke 4k2p7xza",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				if err := api.RevokeToken(ctx, args[0]); err != nil {
					return err
				}
				c.say("token " + args[0] + " is revoked")
				return nil
			})
		},
	}
}

func (c *client) agentCommands() *cobra.Command {
	return noun("agent", "Agents and their right to report", c.agentRevoke())
}

func (c *client) agentRevoke() *cobra.Command {
	return &cobra.Command{
		Use:     "revoke HOST",
		Short:   "Refuse a host's certificate from now on and end its session",
		Long:    "Refuse a host's certificate from now on and end its session. What is known of the host\nstays. To let it report again it must enrol anew, with a new token.",
		Example: "  atalaya agent revoke web1",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				doc, err := api.RevokeHost(ctx, args[0])
				return c.answer(err, doc, func() view {
					p := &pairs{}
					p.add("host", text(doc.Host))
					p.add("id", text(doc.HostID))
					p.add("revoked", moment(doc.RevokedAt))
					return view{pairs: p}
				})
			})
		},
	}
}

func (c *client) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "Show how the collector is",
		Example: "  atalaya status\n  atalaya status --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				doc, err := api.Status(ctx)
				return c.answer(err, doc, func() view { return statusView(doc) })
			})
		},
	}
}

func statusView(s v1.Status) view {
	p := &pairs{}
	p.add("version", text(s.Version))
	p.add("running for", text(span(s.Now.Sub(s.StartedAt))))
	p.add("hosts", text(joined(s.Hosts.Total, part{s.Hosts.Online, "online"}, part{s.Hosts.Silent, "silent"}, part{s.Hosts.Revoked, "revoked"})))
	p.add("sessions", number(s.Sessions))
	p.add("cis", number(s.CIs))
	alerts := text(joined(s.Alerts.Firing+s.Alerts.Pending, part{s.Alerts.Firing, "firing"}, part{s.Alerts.Pending, "pending"}))
	if s.Alerts.Firing > 0 {
		alerts.tone = bad
	}
	p.add("alerts", alerts)
	p.add("changes", number(s.Changes))
	p.add("series", count(s.Series))
	p.add("state file", size(s.StoreBytes))
	p.add("metrics", size(s.SeriesBytes))
	p.add("lost batches", notable(s.LostBatches, warn))
	for _, w := range s.Warnings {
		p.add("warning", cell{text: w, value: w, tone: warn})
	}
	return view{pairs: p}
}

type part struct {
	n    int
	name string
}

// joined writes a total with its parts, leaving out those that are none.
func joined(total int, parts ...part) string {
	var names []string
	for _, p := range parts {
		if p.n > 0 {
			names = append(names, fmt.Sprintf("%d %s", p.n, p.name))
		}
	}
	if len(names) == 0 {
		return fmt.Sprint(total)
	}
	return fmt.Sprintf("%d (%s)", total, strings.Join(names, ", "))
}
