package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"atalaya/collector/api/v1"
)

func (c *client) hostWhySame() *cobra.Command {
	return &cobra.Command{
		Use:   "why-same HOST [OTHER]",
		Short: "Show by which facts a host is known, and what happened to its identity",
		Long: "Show the facts by which the machine of a host is known again, with what each counts, and\n" +
			"what happened to its identity with the reasons: renames, reinstallations, swapped boards,\n" +
			"copies that were refused. With OTHER, compare the two fact by fact.",
		Example: "  atalaya host why-same web1\n  atalaya host why-same web1 web1-old\n  atalaya host why-same web1 --output json",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				if len(args) == 2 {
					return c.compare(ctx, api, args[0], args[1])
				}
				doc, err := api.Identity(ctx, args[0])
				return c.answer(err, doc, func() view { return identityView(doc) })
			})
		},
	}
}

func (c *client) hostWhySplit() *cobra.Command {
	return &cobra.Command{
		Use:   "why-split HOST OTHER",
		Short: "Say why two hosts are taken for two machines",
		Long: "Compare two hosts fact by fact, and say what keeps them apart or would make them one.\n" +
			"`atalaya host merge` makes them one if they are.",
		Example: "  atalaya host why-split web1 web1-old",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				return c.compare(ctx, api, args[0], args[1])
			})
		},
	}
}

func (c *client) compare(ctx context.Context, api *v1.Client, host, other string) error {
	doc, err := api.CompareIdentity(ctx, host, other)
	return c.answer(err, doc, func() view { return comparisonView(doc) })
}

func comparisonView(doc v1.IdentityComparison) view {
	p := &pairs{}
	p.add("host", text(fmt.Sprintf("%s (%s)", doc.Host, doc.HostID)))
	p.add("other", text(fmt.Sprintf("%s (%s)", doc.Other, doc.OtherID)))
	p.add("one machine", yesNo(&doc.Same))
	p.add("weight", text(fmt.Sprintf("%d for, %d against", doc.For, doc.Against)))
	p.add("because", text(doc.Text))
	return view{pairs: p, blocks: []block{{table: factTable(doc.Facts, doc.Host, doc.Other), none: "no facts of the hardware are known of either"}}}
}

// factTable shows facts on two sides.
func factTable(facts []v1.IdentityFact, known, now string) table {
	t := table{columns: []column{
		{title: "FACT", name: "fact"}, {title: heading(known), name: "known"}, {title: heading(now), name: "now"}, {title: "AGREEMENT", name: "agreement"},
		{title: "WEIGHT", name: "weight", right: true}, {title: "WHY", name: "why"},
	}}
	for _, f := range facts {
		t.add(text(f.Fact), orAbsent(f.Known), orAbsent(f.Now), word(f.Agreement), text(fmt.Sprintf("%+d", f.Weight)), text(f.Why))
	}
	return t
}

// heading keeps a host's name from making a heading that cannot be told from others.
func heading(name string) string { return "ON " + clean(name) }

func identityView(doc v1.Identity) view {
	p := &pairs{}
	p.add("host", text(doc.Host))
	p.add("id", text(doc.HostID))
	for _, a := range doc.Addresses {
		p.add("address", text(fmt.Sprintf("%s since %s", a.Address, moment(a.First).text)))
	}
	for _, m := range doc.Merges {
		line := mergeLine(m)
		if m.Keep == doc.HostID && m.Undone.IsZero() {
			line += "; to take it back: atalaya host unmerge " + m.Keep
		}
		p.add("merge", text(line))
	}
	for _, k := range doc.Copies {
		p.add("refused copy", cell{text: fmt.Sprintf("%s at %s: %s, %d times, last %s", k.Hostname, k.Address, k.Kind, k.Times, ago(doc.Now, k.Last).text), value: k.Hostname, tone: bad})
	}
	facts := table{columns: []column{{title: "FACT", name: "fact"}, {title: "VALUE", name: "value"}, {title: "COUNTS", name: "weight", right: true}, {title: "WHY", name: "why"}}}
	for _, f := range doc.Facts {
		facts.add(text(f.Fact), text(f.Known), text(fmt.Sprint(f.Weight)), text(f.Why))
	}
	happened := table{columns: []column{{title: "WHEN (UTC)", name: "at"}, {title: "WHAT", name: "kind"}, {title: "TIMES", name: "times", right: true}, {title: "BY", name: "by"}, {title: "WHY", name: "text"}}}
	for _, e := range doc.Events {
		happened.add(moment(e.At), word(e.Kind), number(max(e.Times, 1)), text(byWhom(e.By)), text(e.Text))
	}
	return view{pairs: p, blocks: []block{
		{table: facts, none: "its agent tells no facts: it is known by its key alone"},
		{heading: "What happened", table: happened, none: "nothing"},
	}}
}

func byWhom(by string) string {
	if by == "" {
		return "collector"
	}
	return by
}

func mergeLine(m v1.IdentityMerge) string {
	line := fmt.Sprintf("%d: %s, %s (%s) is part of %s since %s, by %s", m.Number, m.Kind, m.Name, m.Other, m.Keep, moment(m.At).text, byWhom(m.By))
	if !m.Undone.IsZero() {
		line += ", undone " + moment(m.Undone).text
	}
	return line
}

func eventCell(now time.Time, e v1.IdentityEvent) cell {
	at := e.At
	if !e.Last.IsZero() {
		at = e.Last
	}
	return text(fmt.Sprintf("%s %s: %s", e.Kind, ago(now, at).text, e.Text))
}

func (c *client) hostMerge() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "merge KEEP OTHER",
		Short: "Make OTHER part of KEEP: the two are one machine",
		Long: "Make two hosts one, for a machine that has two records. Without --yes, only say what that\n" +
			"would do and how much speaks for it. KEEP goes on with its number and tags; OTHER, which\n" +
			"may be a removed host, becomes part of its history. `atalaya host unmerge KEEP` takes it back.",
		Example: "  atalaya host merge web1 web1-new\n  atalaya host merge 3e3e3e3e3e3e3e3e 4f4f4f4f4f4f4f4f --yes",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				doc, err := api.MergeHosts(ctx, args[0], v1.MergeRequest{Other: args[1], Apply: yes})
				return c.answerMerge(err, doc, "merge", "into", args)
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	return cmd
}

func (c *client) hostUnmerge() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "unmerge HOST",
		Short: "Take the last merge into a host back, also one that the collector decided",
		Long: "Take the last merge into a host back: both are what they were before it. Without --yes,\n" +
			"only say what that would do. What came while they were one stays in the history of HOST.",
		Example: "  atalaya host unmerge web1\n  atalaya host unmerge web1 --yes",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				doc, err := api.UnmergeHost(ctx, args[0], v1.UnmergeRequest{Apply: yes})
				return c.answerMerge(err, doc, "unmerge", "from", args)
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	return cmd
}

// answerMerge says what a merge or its undo did, or would do and how to have it done.
func (c *client) answerMerge(err error, doc v1.MergeResult, verb, where string, args []string) error {
	if err != nil {
		return err
	}
	err = c.show(doc, func() view {
		p, effect := &pairs{}, "would do"
		if doc.Done {
			effect = "effect"
			p.add("merge", text(mergeLine(doc.Merge)))
		} else {
			p.add("preview", cell{text: "nothing was done yet", value: "true", tone: warn})
			p.add("would "+verb, text(fmt.Sprintf("%s (%s) %s %s", doc.Merge.Name, doc.Merge.Other, where, doc.Merge.Keep)))
		}
		if doc.Comparison.HostID != "" {
			p.add("one machine", yesNo(&doc.Comparison.Same))
			p.add("because", text(doc.Comparison.Text))
		}
		for _, e := range doc.Effects {
			p.add(effect, text(e))
		}
		v := view{pairs: p}
		if doc.Comparison.HostID != "" {
			v.blocks = []block{{table: factTable(doc.Comparison.Facts, doc.Comparison.Host, doc.Comparison.Other), none: "no facts of the hardware are known of either"}}
		}
		return v
	})
	if err == nil && !doc.Done {
		c.say("nothing was done yet; to do it: atalaya host " + verb + " " + strings.Join(args, " ") + " --yes")
	}
	return err
}

func (c *client) hostAccept() *cobra.Command {
	return &cobra.Command{
		Use:   "accept HOST",
		Short: "Give a host to the machine that was refused last as a copy",
		Long: "Let the machine that was refused last be this host from now on: one that was restored from\n" +
			"a backup onto other hardware. The machine before it is refused from then on.\n" +
			"`atalaya host why-same HOST` lists who was refused.",
		Example: "  atalaya host accept web1",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				doc, err := api.AcceptMachine(ctx, args[0])
				return c.answer(err, doc, func() view {
					p := &pairs{}
					p.add("host", text(doc.Host))
					p.add("id", text(doc.HostID))
					p.add("accepted", text(doc.Text))
					return view{pairs: p}
				})
			})
		},
	}
}
