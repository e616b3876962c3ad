package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"atalaya/collector/api/v1"
)

// maxRuleFile bounds what rule check reads; the API takes no more.
const maxRuleFile = 1_000_000

func (c *client) ruleCommands() *cobra.Command {
	return noun("rule", "Alert rules", c.ruleList(), c.ruleCheck())
}

func (c *client) ruleList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the alert rules that are evaluated",
		Example: "  atalaya rule list\n  atalaya rule list --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				doc, err := api.Rules(ctx)
				return c.answer(err, doc, func() view { return list(ruleTable(doc), "no rules") })
			})
		},
	}
}

func ruleTable(doc v1.RuleList) table {
	t := table{columns: []column{
		{title: "GROUP", name: "group"}, {title: "RULE", name: "name"}, {title: "STATE", name: "state"}, {title: "ALERTS", name: "alerts", right: true},
		{title: "SEVERITY", name: "severity"}, {title: "FOR", name: "for_seconds", right: true}, {title: "EVALUATED", name: "evaluated_at"},
		{title: "EXPRESSION", name: "expr"}, {title: "ERROR", name: "error"},
	}}
	failing := false
	for _, r := range doc.Rules {
		hold := cell{text: span(time.Duration(r.ForSeconds * float64(time.Second))), value: fmt.Sprint(r.ForSeconds), number: true}
		fault := text(r.Error)
		fault.tone = bad
		failing = failing || r.Error != ""
		t.add(text(r.Group), text(r.Name), word(r.State), notable(r.Alerts, warn), word(r.Labels["severity"]), hold, ago(doc.Now, r.EvaluatedAt), text(r.Expr), fault)
	}
	t.columns[8].exact = !failing
	return t
}

func (c *client) ruleCheck() *cobra.Command {
	return &cobra.Command{
		Use:     "check FILE",
		Short:   "Check a rule file by the code that would use it",
		Long:    "Check a rule file by the running collector's own code, without using it. The exit\nstatus is 1 when the file has problems.",
		Example: "  atalaya rule check /etc/atalaya/rules.yml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			content, err := readRules(args[0])
			if err != nil {
				return err
			}
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				doc, err := api.CheckRules(ctx, content)
				if err != nil {
					return err
				}
				if err := c.show(doc, func() view { return checkView(args[0], doc) }); err != nil {
					return err
				}
				if n := len(doc.Problems); n > 0 {
					return fmt.Errorf("%s: problems: %d", args[0], n)
				}
				return nil
			})
		},
	}
}

func readRules(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() // only read
	b, err := io.ReadAll(io.LimitReader(f, maxRuleFile+1))
	if err != nil {
		return "", err
	}
	if len(b) > maxRuleFile {
		return "", fmt.Errorf("%s has more than %s", path, human(maxRuleFile))
	}
	return string(b), nil
}

func checkView(path string, doc v1.RuleCheck) view {
	if len(doc.Problems) == 0 {
		p := &pairs{}
		p.add("file", text(path))
		p.add("rules", number(doc.Rules))
		p.add("problems", text("none"))
		return view{pairs: p}
	}
	t := table{columns: []column{{title: "PROBLEM", name: "problem"}}}
	for _, problem := range doc.Problems {
		t.add(text(problem))
	}
	return list(t, "")
}

func (c *client) alertCommands() *cobra.Command {
	return noun("alert", "Alerts: what the rules found", c.alertList(), c.alertShow())
}

func (c *client) alertList() *cobra.Command {
	var q v1.AlertQuery
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List alerts, firing ones first",
		Example: "  atalaya alert list\n  atalaya alert list --state firing --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				var doc v1.AlertPage
				alerts, _, err := all(0, func(p v1.Page) ([]v1.Alert, string, error) {
					q.Page = p
					page, err := api.Alerts(ctx, q)
					doc.Now = page.Now
					return page.Alerts, page.Next, err
				})
				doc.Alerts = notNil(alerts)
				return c.answer(err, doc, func() view { return list(alertTable(doc), "no alerts") })
			})
		},
	}
	choice{&q.State, v1.OpenAlertStates()}.flag(cmd, "state", "only alerts in this `state` (default both)")
	return cmd
}

func alertTable(doc v1.AlertPage) table {
	t := table{columns: []column{
		{title: "STATE", name: "state"}, {title: "SEVERITY", name: "severity"}, {title: "ALERT", name: "name"}, {title: "HOST", name: "host"},
		{title: "SINCE", name: "active_at"}, {title: "VALUE", name: "value", right: true}, {title: "SUMMARY", name: "summary"}, {title: "ID", name: "id"},
		{name: "fired_at", exact: true}, {name: "resolved_at", exact: true}, {name: "labels", exact: true},
	}}
	for _, a := range doc.Alerts {
		t.add(word(a.State), word(a.Severity), text(a.Name), orAbsent(a.Host), ago(doc.Now, a.ActiveAt), valueCell(a.Value), text(a.Summary), text(a.ID),
			ago(doc.Now, a.FiredAt), ago(doc.Now, a.ResolvedAt), text(labels(a.Labels)))
	}
	return t
}

func valueCell(v *float64) cell {
	if v == nil {
		return orAbsent("")
	}
	return float(*v)
}

func (c *client) alertShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show ID",
		Short:   "Show an alert with its history",
		Example: "  atalaya alert show 5c1f09ab",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				doc, err := api.Alert(ctx, args[0])
				return c.answer(err, doc, func() view { return alertView(doc) })
			})
		},
	}
}

func alertView(doc v1.AlertDetail) view {
	a, p := doc.Alert, &pairs{}
	p.add("alert", text(a.Name))
	p.add("id", text(a.ID))
	p.add("state", word(a.State))
	p.add("severity", text(a.Severity))
	p.add("host", text(a.Host))
	p.add("summary", text(a.Summary))
	if a.Value != nil {
		p.add("value", float(*a.Value))
	}
	for _, e := range []struct {
		name string
		at   time.Time
	}{{"condition holds", a.ActiveAt}, {"fired", a.FiredAt}, {"resolved", a.ResolvedAt}} {
		if !e.at.IsZero() {
			p.add(e.name, ago(doc.Now, e.at))
		}
	}
	p.add("labels", text(labels(a.Labels)))
	for _, name := range slices.Sorted(maps.Keys(a.Annotations)) {
		if name != "summary" {
			p.add(name, text(a.Annotations[name]))
		}
	}
	t := table{columns: []column{{title: "TIME (UTC)", name: "time"}, {title: "STATE", name: "state"}, {title: "NOTE", name: "note"}}}
	for _, e := range doc.History {
		t.add(moment(e.At), word(e.State), text(e.Note))
	}
	return view{pairs: p, blocks: []block{{table: t}}}
}
