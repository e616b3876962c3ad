package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"atalaya/collector/api/v1"
	"atalaya/shared/facts"
)

func (c *client) hostCommands() *cobra.Command {
	return noun("host", "Hosts: who they are, what is on them, what changed", c.hostList(), c.hostShow(), c.hostHistory(), c.hostDiff(), c.hostChanged(),
		c.hostTag(), c.hostRemove(), c.hostRevive(),
		c.hostWhySame(), c.hostWhySplit(), c.hostMerge(), c.hostUnmerge(), c.hostAccept())
}

func (c *client) hostList() *cobra.Command {
	var q v1.HostQuery
	var removed bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List hosts with their state and patch verdict",
		Example: "  atalaya host list\n  atalaya host list --verdict pending --output csv\n  atalaya host list --name 'web*' --state silent\n  atalaya host list --tag web\n  atalaya host list --removed",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				if removed {
					return c.listRemoved(ctx, api)
				}
				var doc v1.HostPage
				hosts, _, err := all(0, func(p v1.Page) ([]v1.Host, string, error) {
					q.Page = p
					page, err := api.Hosts(ctx, q)
					doc.Now = page.Now
					return page.Hosts, page.Next, err
				})
				slices.SortFunc(hosts, func(a, b v1.Host) int { return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID)) })
				doc.Hosts = notNil(hosts)
				return c.answer(err, doc, func() view { return list(hostTable(doc), noHosts(q)) })
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.Name, "name", "", "only hosts whose name holds this `part`, or matches it where it has * or ?")
	choice{&q.State, v1.HostStates()}.flag(cmd, "state", "only hosts in this `state`")
	choice{&q.Verdict, v1.Verdicts()}.flag(cmd, "verdict", "only hosts with this patch `verdict`")
	f.StringVar(&q.Tag, "tag", "", "only hosts with this `tag`")
	f.BoolVar(&removed, "removed", false, "list the hosts that were removed instead")
	for _, name := range []string{"name", "state", "verdict", "tag"} {
		cmd.MarkFlagsMutuallyExclusive("removed", name)
	}
	return cmd
}

func noHosts(q v1.HostQuery) string {
	if q.Name+q.State+q.Verdict+q.Tag != "" {
		return "no host matches"
	}
	return "no hosts yet: `atalaya token create` makes a token with which an agent enrols"
}

func hostTable(doc v1.HostPage) table {
	t := table{columns: []column{
		{title: "HOST", name: "host"}, {title: "STATE", name: "state"}, {title: "OPERATING SYSTEM", name: "os"},
		{title: "PACKAGES", name: "packages", right: true}, {title: "PATCHES", name: "verdict"},
		{title: "PENDING", name: "pending", right: true}, {title: "SECURITY", name: "security", right: true},
		{title: "REBOOT", name: "reboot_required"}, {title: "SEEN", name: "last_seen"},
		{name: "id", exact: true}, {name: "reason", exact: true}, {name: "index_time", exact: true}, {name: "agent_version", exact: true},
		{name: "kernel", exact: true}, {name: "arch", exact: true}, {name: "machine", exact: true}, {name: "cpus", exact: true}, {name: "memory_bytes", exact: true},
		{name: "tags", exact: true},
	}}
	for _, h := range doc.Hosts {
		pending, security := patchCounts(h.Patch)
		t.add(text(h.Name), word(h.State), orAbsent(h.OS), count(h.Packages), word(h.Patch.Verdict), pending, security,
			yesNo(h.Patch.RebootRequired, warn), ago(doc.Now, h.LastSeen),
			text(h.ID), text(h.Patch.Reason), ago(doc.Now, h.Patch.IndexTime), text(h.AgentVersion),
			text(h.Kernel), text(h.Arch), text(h.Machine), known(h.CPUs, number), known(h.MemoryBytes, size), text(strings.Join(h.Tags, " ")))
	}
	return t
}

// patchCounts shows counts only where the verdict stands on them: zero of an
// unknown state would be a guess.
func patchCounts(v v1.Verdict) (pending, security cell) {
	if v.Verdict != v1.VerdictCurrent && v.Verdict != v1.VerdictPending && v.Pending == 0 {
		return orAbsent(""), orAbsent("")
	}
	return number(v.Pending), notable(v.Security, bad)
}

func (c *client) hostShow() *cobra.Command {
	var section string
	cmd := &cobra.Command{
		Use:   "show [HOST]",
		Short: "Show a host and the state of its sections, or one section with its rows",
		Long: "Show what is known of a host: its properties and, for each section of its inventory,\n" +
			"status, number of rows and age. --section shows the rows of one section; with\n" +
			"--output json the answer holds the rows of all. HOST may be left out when there is\n" +
			"only one.",
		Example: "  atalaya host show web1\n  atalaya host show web1 --section packages\n  atalaya host show web1 --output json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				host, err := hostOf(ctx, api, args)
				if err != nil {
					return err
				}
				if section != "" {
					return c.showSection(ctx, api, host, section)
				}
				doc, err := api.Host(ctx, host, c.output == formatJSON)
				return c.answer(err, doc, func() view { return hostView(doc) })
			})
		},
	}
	cmd.Flags().StringVar(&section, "section", "", "`name` of a section, e.g. packages")
	return cmd
}

// hostOf is the host that a command line names, or the only one there is.
func hostOf(ctx context.Context, api *v1.Client, args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	page, err := api.Hosts(ctx, v1.HostQuery{Page: v1.Page{Limit: 2}})
	switch {
	case err != nil:
		return "", err
	case len(page.Hosts) == 0:
		return "", errors.New(noHosts(v1.HostQuery{}))
	case len(page.Hosts) > 1:
		return "", usagef("there are several hosts: name one of `atalaya host list`")
	}
	return page.Hosts[0].ID, nil
}

func (c *client) showSection(ctx context.Context, api *v1.Client, host, section string) error {
	if _, ok := facts.ByName(section); !ok {
		return usagef("section %q: want one of %s", section, strings.Join(sectionNames(), ", "))
	}
	doc, err := api.Section(ctx, host, section)
	if err != nil {
		return err
	}
	if c.output != formatJSON {
		c.say(sectionNote(doc))
	}
	doc.Rows = notNil(doc.Rows)
	return c.show(doc, func() view { return list(rowTable(doc.Columns, doc.Rows), "no rows") })
}

// say talks beside the answer.
func (c *client) say(line string) {
	if line != "" {
		io.WriteString(c.env.Stderr, clean(line)+"\n") // talk that cannot be written is no failure
	}
}

// notNil makes lists [] in JSON, never null.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// sectionNote tells what the rows alone do not: how old they are and what is wrong.
func sectionNote(doc v1.SectionDocument) string {
	note := fmt.Sprintf("%s: %s, read %s", doc.Name, doc.Status, ago(doc.Now, doc.ObservedAt).text)
	if doc.Reason != "" {
		note += ": " + doc.Reason
	}
	if !doc.KnownAt.IsZero() && doc.KnownAt.Before(doc.ObservedAt) {
		note += "; the rows are from " + ago(doc.Now, doc.KnownAt).text
	}
	return note
}

func sectionNames() []string {
	var names []string
	for _, s := range facts.Sections() {
		names = append(names, s.Name)
	}
	return names
}

func hostView(doc v1.HostDetail) view {
	h, now := doc.Host, doc.Now
	p := &pairs{}
	p.add("host", text(h.Name))
	p.add("id", text(h.ID))
	p.add("state", stateCell(doc))
	p.add("system", text(h.OS))
	if h.Kernel != "" {
		p.add("kernel", text(strings.TrimSpace(h.Kernel+" "+h.Arch)))
	}
	p.add("machine", text(h.Machine))
	if h.CPUs > 0 {
		p.add("cpus", number(h.CPUs))
	}
	if h.MemoryBytes > 0 {
		p.add("memory", size(h.MemoryBytes))
	}
	p.add("addresses", text(strings.Join(h.Addresses, ", ")))
	if len(h.Tags) > 0 {
		p.add("tags", text(strings.Join(h.Tags, " ")))
	}
	p.add("packages", count(h.Packages))
	p.add("patches", verdictCell(now, h.Patch))
	p.add("reboot", yesNo(h.Patch.RebootRequired, warn))
	if h.ClockOffsetSeconds != 0 {
		p.add("clock offset", text(fmt.Sprintf("%+.3f s", h.ClockOffsetSeconds)))
	}
	if h.LostBatches > 0 {
		p.add("lost", cell{text: fmt.Sprintf("%d batches", h.LostBatches), value: fmt.Sprint(h.LostBatches), tone: warn})
	}
	p.add("agent", text(h.AgentVersion))
	if !h.EnrolledAt.IsZero() {
		p.add("enrolled", ago(now, h.EnrolledAt))
	}
	for _, e := range doc.Identity {
		p.add("identity", eventCell(now, e))
	}
	none := "no inventory yet"
	if doc.Removed != nil {
		none = "its past: atalaya host history " + h.ID
	}
	return view{pairs: p, blocks: []block{{table: sectionTable(doc), none: none}}}
}

// stateCell is whether a host is heard of, or when and why it left the fleet.
func stateCell(doc v1.HostDetail) cell {
	if gone := doc.Removed; gone != nil {
		c := ago(doc.Now, gone.RemovedAt)
		c.text, c.tone = "removed "+c.text, warn
		if gone.Reason != "" {
			c.text += ": " + gone.Reason
		}
		return c
	}
	c := word(doc.Host.State)
	c.text += ", seen " + ago(doc.Now, doc.Host.LastSeen).text
	return c
}

// verdictCell is a patch verdict with what it rests on, in one line.
func verdictCell(now time.Time, v v1.Verdict) cell {
	c := word(v.Verdict)
	if v.Pending > 0 {
		c.text += fmt.Sprintf(": %d pending, %d security", v.Pending, v.Security)
	}
	if v.Reason != "" {
		c.text += ": " + v.Reason
	}
	if !v.IndexTime.IsZero() {
		c.text += ", index " + ago(now, v.IndexTime).text
	}
	return c
}

func sectionTable(doc v1.HostDetail) table {
	t := table{columns: []column{
		{title: "SECTION", name: "section"}, {title: "STATUS", name: "status"}, {title: "ROWS", name: "rows", right: true},
		{title: "READ", name: "observed_at"}, {title: "REASON", name: "reason"}, {name: "known_at", exact: true},
	}}
	for _, name := range sectionNames() {
		s, ok := doc.Sections[name]
		if !ok {
			continue
		}
		t.add(text(name), word(s.Status), number(s.RowCount), ago(doc.Now, s.ObservedAt), text(s.Reason), ago(doc.Now, s.KnownAt))
	}
	return t
}

// rangeFlags are --from and --to.
type rangeFlags struct{ from, to string }

func (r *rangeFlags) add(cmd *cobra.Command, from string) {
	cmd.Flags().StringVar(&r.from, "from", from, "`time` of the beginning: RFC 3339, a date, or an age such as 7d or 1h30m")
	cmd.Flags().StringVar(&r.to, "to", "", "`time` of the end, to the end of its second (default now)")
}

func (r *rangeFlags) parse(now time.Time) (from, to time.Time, err error) {
	if from, err = parseFrom("from", r.from, now); err != nil {
		return from, to, err
	}
	if to, err = parseState("to", r.to, now); err != nil {
		return from, to, err
	}
	if !from.IsZero() && !to.IsZero() && to.Before(from) {
		return from, to, usagef("--to is before --from")
	}
	return from, to, nil
}

func (c *client) hostHistory() *cobra.Command {
	var q v1.HistoryQuery
	var when rangeFlags
	var limit int
	cmd := &cobra.Command{
		Use:   "history HOST",
		Short: "List what changed on a host and what happened to it, newest first",
		Long: "List what changed on a host, newest first, and what happened to it: renames, merges, removals,\n" +
			"reinstallations. A first reading, a removal and a merge are a line each; --details lists\n" +
			"every change that came with them. A host that was removed is named by its number.",
		Example: "  atalaya host history web1\n  atalaya host history web1 --details\n  atalaya host history web1 --section packages --from 7d\n  atalaya host history web1 --from 2026-03-01 --to 2026-03-02 --limit 0",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if q.From, q.To, err = when.parse(c.env.Now()); err != nil {
				return err
			}
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				var doc v1.History
				changes, more, err := all(limit, func(p v1.Page) ([]v1.Change, string, error) {
					q.Page = p
					page, err := api.History(ctx, args[0], q)
					doc = page
					return page.Changes, page.Next, err
				})
				if err != nil {
					return err
				}
				doc.Changes = notNil(changes)
				if err := c.show(doc, func() view { return list(changeTable(changes), "no changes") }); err != nil {
					return err
				}
				if c.output == formatTable {
					c.say(olderNote(doc, more))
				}
				return nil
			})
		},
	}
	when.add(cmd, "")
	cmd.Flags().StringVar(&q.Section, "section", "", "`name` of a section")
	cmd.Flags().IntVar(&limit, "limit", 50, "at most `n` changes; 0 means all")
	cmd.Flags().BoolVar(&q.Details, "details", false, "list every change, also those of a first reading, a removal or a merge")
	return cmd
}

// olderNote says what a history leaves out.
func olderNote(doc v1.History, more bool) string {
	switch {
	case more:
		return "there are older changes: --limit 0 lists them all"
	case !doc.KeptFrom.IsZero():
		return fmt.Sprintf("history begins at %s UTC: what changed before is no longer kept", moment(doc.KeptFrom).text)
	}
	return ""
}

func (c *client) hostDiff() *cobra.Command {
	var q v1.DiffQuery
	var when rangeFlags
	var all bool
	cmd := &cobra.Command{
		Use:   "diff HOST",
		Short: "Show the net difference of a host between two moments",
		Long: "Show what is different on a host between two moments, and what happened to it: what came and\n" +
			"went between them is left out. A host or a section that was not known at the first moment\n" +
			"is one line with its counts; --all lists its rows.",
		Example: "  atalaya host diff web1\n  atalaya host diff web1 --from 2026-03-01 --to 2026-03-08 --section packages",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if q.From, q.To, err = when.parse(c.env.Now()); err != nil {
				return err
			}
			q.Details = all
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				doc, err := api.Diff(ctx, args[0], q)
				if err != nil {
					return err
				}
				if c.output == formatTable && len(doc.Changes) > 0 {
					c.say(fmt.Sprintf("%s from %s to %s UTC", doc.Host, moment(doc.From.Add(time.Millisecond)).text, moment(doc.To).text)) // it is the end of the second before
				}
				v, left := diffView(doc, all || c.output != formatTable)
				if err := c.show(doc, func() view { return v }); err != nil || left == "" {
					return err
				}
				c.say(left)
				return nil
			})
		},
	}
	when.add(cmd, "24h")
	cmd.Flags().StringVar(&q.Section, "section", "", "`name` of a section")
	cmd.Flags().BoolVar(&all, "all", false, fmt.Sprintf("list every difference, also when there are more than %d, and every row of what was not known before", maxDiff))
	return cmd
}

// diffTable is changeTable without times: a net difference has none of its own.
func diffTable(doc v1.Diff) table {
	t := changeTable(doc.Changes)
	t.columns[0].exact = true
	return t
}
