package cli

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"atalaya/collector/api/v1"
)

func (c *client) assetCommands() *cobra.Command {
	return noun("asset", "What you declare of the things you own, with an agent or without", c.assetList(), c.assetShow(), c.assetAdd(), c.assetSet(), c.assetUnset(),
		c.assetLock(), c.assetUnlock(), c.assetHistory(), c.assetRemove(), c.assetFields(), c.assetImport(), c.assetExport())
}

func (c *client) assetList() *cobra.Command {
	var q v1.AssetQuery
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List assets, and hosts of which nothing is declared",
		Long: "List what is declared: first the assets by their numbers, then the hosts of which\n" +
			"nothing is declared yet. --where takes any field, custom ones too.",
		Example: "  atalaya asset list\n  atalaya asset list --where status=in_use --where 'location=Madrid*'\n" +
			"  atalaya asset list --before warranty_end=2026-12-31 --output csv\n  atalaya asset list --where owner=     # without an owner\n  atalaya asset list --undeclared",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				var doc v1.AssetPage
				list, _, err := all(0, func(p v1.Page) ([]v1.Asset, string, error) {
					q.Page = p
					page, err := api.Assets(ctx, q)
					doc.Now = page.Now
					return page.Assets, page.Next, err
				})
				slices.SortStableFunc(list, func(a, b v1.Asset) int {
					if a.ID != "" || b.ID != "" { // those that have one come first, by number
						return 0
					}
					return strings.Compare(a.Host, b.Host)
				})
				doc.Assets = notNil(list)
				return c.answer(err, doc, func() view { return assetList(doc) })
			})
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&q.Where, "where", nil, "only assets whose `field=value`, in any case and with * and ?; several times: all of them")
	f.StringArrayVar(&q.Before, "before", nil, "only assets with a date before a day, `field=day`")
	f.StringVar(&q.Tag, "tag", "", "only assets with this `tag`")
	f.BoolVar(&q.Undeclared, "undeclared", false, "only hosts of which nothing is declared")
	return cmd
}

func assetList(doc v1.AssetPage) view { return list(assetTable(doc), "no asset matches") }

// assetColumns are the fields that lists show beside number and host; those of the second
// list only as CSV.
var (
	assetColumns = []string{"asset_tag", "name", "status", "owner", "location", "warranty_end"}
	assetExact   = []string{
		"kind", "serial", "manufacturer", "model", "department", "cost_centre", "supplier", "order_number", "purchased", "price", "end_of_life", "tags", "notes",
	}
)

func assetTable(doc v1.AssetPage) table {
	t := table{columns: []column{
		{title: "ASSET", name: "asset"}, {title: "TAG", name: "asset_tag"}, {title: "NAME", name: "name"}, {title: "STATUS", name: "status"},
		{title: "OWNER", name: "owner"}, {title: "LOCATION", name: "location"}, {title: "WARRANTY", name: "warranty_end"}, {title: "HOST", name: "host"},
		{name: "host_id", exact: true},
	}}
	for _, name := range assetExact {
		t.columns = append(t.columns, column{name: name, exact: true})
	}
	for _, a := range doc.Assets {
		cells := []cell{orAbsent(a.ID)}
		for _, name := range assetColumns {
			cells = append(cells, orAbsent(a.Fields[name]))
		}
		cells = append(cells, assetHost(a), text(a.HostID))
		for _, name := range assetExact {
			cells = append(cells, text(a.Fields[name]))
		}
		t.add(cells...)
	}
	return t
}

func assetHost(a v1.Asset) cell {
	c := orAbsent(a.Host)
	if a.HostGone {
		c.text, c.tone = strings.TrimSpace(a.Host+" (removed)"), faint
	}
	return c
}

func (c *client) assetShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show ASSET",
		Short: "Show an asset: what is declared, and where its host says something else",
		Long: "Show what is declared of an asset beside what its host says of itself. ASSET is its\n" +
			"number, tag, serial number, name, or the name or number of its host.",
		Example: "  atalaya asset show IT-0042\n  atalaya asset show web1 --output json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				doc, err := api.Asset(ctx, args[0])
				return c.answer(err, doc, func() view { return assetView(doc) })
			})
		},
	}
}

func assetView(doc v1.AssetDocument) view {
	a := doc.Asset
	p := &pairs{}
	p.add("asset", orAbsent(a.ID))
	if a.Host != "" || a.HostID != "" {
		host := assetHost(a)
		host.text += ", " + a.HostID
		p.add("host", host)
	}
	if a.ID != "" {
		changed := ago(doc.Now, a.ChangedAt)
		if a.ChangedBy != "" { // else damage took who changed it last
			changed.text += " by " + a.ChangedBy
		}
		p.add("changed", changed)
	}
	t := table{columns: []column{
		{title: "FIELD", name: "field"}, {title: "DECLARED", name: "declared"}, {title: "THE HOST SAYS", name: "observed"}, {title: "LOCKED", name: "locked"},
	}}
	for _, name := range assetNames(a) {
		observed := orAbsent(a.Observed[name])
		if slices.Contains(a.Differs, name) {
			observed.tone = warn
		}
		lock := orAbsent("")
		if l, ok := a.Locks[name]; ok {
			lock = text("by " + l.By + ", " + ago(doc.Now, l.At).text)
			if l.Reason != "" {
				lock.text += ": " + l.Reason
			}
			lock.value = l.By + ": " + l.Reason
		}
		t.add(text(name), orAbsent(a.Fields[name]), observed, lock)
	}
	v := view{pairs: p, blocks: []block{{table: t, none: "nothing is declared"}}}
	return v
}

// assetNames are the fields of an asset of which anything is known: in the order of lists,
// then the others by name.
func assetNames(a v1.Asset) []string {
	known := map[string]bool{}
	for name := range a.Fields {
		known[name] = true
	}
	for name := range a.Observed {
		known[name] = true
	}
	for name := range a.Locks {
		known[name] = true
	}
	var out []string
	for _, name := range append(slices.Clone(assetColumns), assetExact...) {
		if known[name] {
			out = append(out, name)
			delete(known, name)
		}
	}
	return append(out, slices.Sorted(maps.Keys(known))...)
}

// fieldValues reads arguments of the form FIELD=VALUE.
func fieldValues(args []string) (map[string]string, error) {
	out := map[string]string{}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok || name == "" {
			return nil, usagef("%q: want FIELD=VALUE, as in owner='Ana Gil'", arg)
		}
		if _, twice := out[name]; twice {
			return nil, usagef("%s is set twice", name)
		}
		if value == "" {
			return nil, usagef("%s: the value is empty; to take a value away: atalaya asset unset ASSET %s", name, name)
		}
		out[name] = value
	}
	return out, nil
}

func (c *client) assetAdd() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "add FIELD=VALUE...",
		Short: "Declare an asset",
		Long: "Declare an asset, with a host or without. Without one it finds its host by itself, now or\n" +
			"once the host reports: by serial number, else by asset tag, else by name. The first edit\n" +
			"of a host makes its record: `atalaya asset set HOST owner=Ana`.",
		Example: "  atalaya asset add asset_tag=IT-0042 kind=laptop serial=5CG1234XYZ status=in_stock purchased=2026-02-01 price='1249.90 EUR'\n" +
			"  atalaya asset add name=printer-2 kind=printer location='Madrid, 3rd floor'",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			values, err := fieldValues(args)
			if err != nil {
				return err
			}
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				doc, err := api.AddAsset(ctx, v1.AssetEdit{Set: values, Reason: reason})
				return c.edited(doc, err, "added")
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`text` that says why, kept in the history")
	return cmd
}

// edited shows what an edit did.
func (c *client) edited(doc v1.AssetEdited, err error, verb string) error {
	if err != nil {
		return err
	}
	doc.Changes = notNil(doc.Changes)
	if c.output != formatJSON {
		note := fmt.Sprintf("%s %s", doc.Asset.ID, verb)
		if doc.Asset.Host != "" && verb == "added" {
			note += ", its host is " + doc.Asset.Host
		}
		if len(doc.Changes) == 0 {
			note = doc.Asset.ID + ": nothing to change, all is so already"
		}
		c.say(note)
	}
	return c.show(doc, func() view { return list(fieldChangeTable(doc.Changes), "") })
}

func fieldChangeTable(changes []v1.AssetFieldChange) table {
	t := table{columns: []column{{title: "FIELD", name: "field"}, {title: "OLD", name: "old"}, {title: "NEW", name: "new"}}}
	for _, fc := range changes {
		t.add(text(fc.Field), orAbsent(fc.Old), orAbsent(fc.New))
	}
	return t
}

func (c *client) assetSet() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "set ASSET FIELD=VALUE...",
		Short: "Set values of an asset",
		Long: "Set values of an asset, all or none. ASSET is its number, tag, serial number, name, or its\n" +
			"host; a host of which nothing was declared gets its record. The status takes the steps of\n" +
			"the life cycle: planned, in_stock, in_use, in_repair, retired, disposed.",
		Example: "  atalaya asset set web1 owner='Ana Gil' location=Madrid status=in_use\n  atalaya asset set IT-0042 host=web1\n" +
			"  atalaya asset set IT-0042 status=retired --reason 'screen broken'",
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			values, err := fieldValues(args[1:])
			if err != nil {
				return err
			}
			return c.edit(cmd.Context(), args[0], v1.AssetEdit{Set: values, Reason: reason})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`text` that says why, kept in the history")
	return cmd
}

func (c *client) edit(ctx context.Context, ref string, e v1.AssetEdit) error {
	return c.call(ctx, func(ctx context.Context, api *v1.Client) error {
		doc, err := api.EditAsset(ctx, ref, e)
		return c.edited(doc, err, "changed")
	})
}

func (c *client) assetUnset() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:     "unset ASSET FIELD...",
		Short:   "Take values of an asset away",
		Example: "  atalaya asset unset IT-0042 owner location\n  atalaya asset unset IT-0042 host --reason 'the serial number was mistyped'",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.edit(cmd.Context(), args[0], v1.AssetEdit{Unset: args[1:], Reason: reason})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`text` that says why, kept in the history")
	return cmd
}

func (c *client) assetLock() *cobra.Command {
	cmd := c.lockVerb("lock", "Keep fields of an asset from edits and imports", (*v1.Client).LockAsset)
	cmd.Example = "  atalaya asset lock IT-0042 owner cost_centre --reason 'audit 2026'"
	return cmd
}

func (c *client) assetUnlock() *cobra.Command {
	cmd := c.lockVerb("unlock", "End locks of fields", (*v1.Client).UnlockAsset)
	cmd.Example = "  atalaya asset unlock IT-0042 owner"
	return cmd
}

func (c *client) lockVerb(name, short string, call func(*v1.Client, context.Context, string, v1.AssetLocking) (v1.AssetDocument, error)) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   name + " ASSET FIELD...",
		Short: short,
		Args:  cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				doc, err := call(api, ctx, args[0], v1.AssetLocking{Fields: args[1:], Reason: reason})
				return c.answer(err, doc, func() view { return assetView(doc) })
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`text` that says why, kept in the history")
	return cmd
}

func (c *client) assetHistory() *cobra.Command {
	limit := 0
	cmd := &cobra.Command{
		Use:   "history [ASSET]",
		Short: "Show who changed what of an asset, or of all, newest first",
		Long: "Show every change: who, when, what it was and what it became. Removed assets keep their\n" +
			"history, by their numbers. `atalaya query --as-of TIME \"select * from assets\"` shows the\n" +
			"records as they were.",
		Example: "  atalaya asset history IT-0042\n  atalaya asset history --limit 20 --output json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				var doc v1.AssetHistory
				changes, more, err := all(limit, func(p v1.Page) ([]v1.AssetChange, string, error) {
					page, err := api.AssetHistory(ctx, strings.Join(args, ""), p)
					doc.Now = page.Now
					return page.Changes, page.Next, err
				})
				doc.Changes = notNil(changes)
				if more && c.output != formatJSON {
					c.say(fmt.Sprintf("only the last %d changes: --limit shows more", limit))
				}
				return c.answer(err, doc, func() view { return list(assetHistoryTable(doc), "no asset was ever changed") })
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 200, "at most so many `changes`; 0: all")
	return cmd
}

func assetHistoryTable(doc v1.AssetHistory) table {
	t := table{columns: []column{
		{title: "WHEN (UTC)", name: "at"}, {title: "ASSET", name: "asset"}, {title: "BY", name: "by"}, {title: "CHANGE", name: "kind"}, {title: "FIELD", name: "field"},
		{title: "OLD", name: "old"}, {title: "NEW", name: "new"}, {title: "REASON", name: "note"}, {name: "seq", exact: true},
	}}
	for _, ch := range doc.Changes {
		fields := ch.Fields
		if len(fields) == 0 {
			fields = []v1.AssetFieldChange{{}}
		}
		for _, fc := range fields {
			t.add(moment(ch.At), orAbsent(ch.Asset), text(ch.By), text(ch.Kind), orAbsent(fc.Field), orAbsent(fc.Old), orAbsent(fc.New), orAbsent(ch.Note), number(ch.Seq))
		}
	}
	return t
}

func (c *client) assetRemove() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "remove ASSET",
		Short: "Take the record of an asset away",
		Long: "Take the record of an asset away that should not have been made. Its history stays. What\n" +
			"left the house is not removed but set to status=disposed. The host of an asset stays:\n" +
			"`atalaya host remove` takes hosts out of the fleet.",
		Example: "  atalaya asset remove A17 --reason 'counted twice'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				doc, err := api.RemoveAsset(ctx, args[0], reason)
				if err == nil && c.output != formatJSON {
					c.say(doc.Asset.ID + " removed; its history stays: atalaya asset history " + doc.Asset.ID)
				}
				return c.answer(err, doc, func() view { return assetView(doc) })
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`text` that says why, kept in the history")
	return cmd
}

func (c *client) assetExport() *cobra.Command {
	return &cobra.Command{
		Use:   "export",
		Short: "Write all assets as a CSV file that can be imported again",
		Long: "Write all assets with all fields as CSV. `atalaya asset import` takes the file back as it\n" +
			"was. A text that a spreadsheet would run as a formula (it begins with = + - or @) has an\n" +
			"apostrophe before it, and so has one that begins with an apostrophe before one of these;\n" +
			"the import takes it away.",
		Example: "  atalaya asset export > assets.csv",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				return api.ExportAssets(ctx, c.env.Stdout)
			})
		},
	}
}

// readImport reads a file to import, - being the standard input.
func readImport(cmd *cobra.Command, name string) ([]byte, error) {
	if name == "-" {
		return readAtMost(cmd.InOrStdin(), name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	return readAtMost(f, name)
}
