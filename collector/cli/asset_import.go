package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"atalaya/collector/api/v1"
)

// maxImport bounds a file to import; the collector takes no larger one.
const maxImport = 16 << 20

func readAtMost(r io.Reader, name string) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxImport+1))
	switch {
	case err != nil:
	case len(b) > maxImport:
		err = fmt.Errorf("%s has more than %d bytes: cut it in two", name, maxImport)
	case len(bytes.TrimSpace(b)) == 0 && name == "-":
		err = errors.New("the standard input is empty: want a CSV file whose first line names the fields (`atalaya asset fields`)")
	case len(bytes.TrimSpace(b)) == 0:
		err = fmt.Errorf("%s is empty: want a CSV file whose first line names the fields (`atalaya asset fields`)", name)
	}
	return b, err
}

func (c *client) assetImport() *cobra.Command {
	in := v1.AssetImport{Key: "asset_tag"}
	var maps []string
	missing, yes := "no", false
	cmd := &cobra.Command{
		Use:   "import FILE.csv",
		Short: "Show what a CSV file would change of the assets, and do it with --yes",
		Long: "Compare a CSV file with the records and show what would be added, changed (old and new) or\n" +
			"refused (with line and reason). --yes does it, in one transaction, and nothing when a row\n" +
			"is refused, unless --skip-refused. The same file again changes nothing. Refused rows are exit\n" +
			"status 1, in the preview too, unless --skip-refused.\n\n" +
			"The first line names the fields (`atalaya asset fields`); common other names are known\n" +
			"(Serial Number, Purchase Date, ...), --map gives others. Rows find their assets by --key.\n" +
			"Empty cells leave what is declared. Commas, semicolons and tabs, UTF-8 with and without\n" +
			"mark, and CR LF are taken as they come. - is the standard input.",
		Example: "  atalaya asset import assets.csv\n  atalaya asset import assets.csv --yes\n" +
			"  atalaya asset import snipe.csv --map 'Inventory No=asset_tag' --map 'Image=-' --currency EUR\n" +
			"  atalaya asset import laptops.csv --key serial --skip-refused --yes",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.Map, err = columnMap(maps); err != nil {
				return err
			}
			if in.Content, err = readImport(cmd, args[0]); err != nil {
				return err
			}
			in.File, in.Apply, in.DeleteMissing = filepath.Base(args[0]), yes, missing == "yes"
			if in.Separator == "tab" {
				in.Separator = "\t"
			}
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				doc, err := api.ImportAssets(ctx, in)
				if err != nil {
					return err
				}
				if err := c.show(doc, func() view { return list(planTable(doc), "") }); err != nil {
					return err
				}
				return c.concludeImport(doc, yes, in.SkipRefused)
			})
		},
	}
	f := cmd.Flags()
	choice{&in.Key, []string{"asset_tag", "serial", "name"}}.flag(cmd, "key", "`field` by which rows find their assets")
	f.StringArrayVar(&maps, "map", nil, "`column=field` for a column that is called otherwise; column=- leaves it out")
	f.StringVar(&in.Currency, "currency", "", "`currency` of amounts without one, such as EUR")
	f.StringVar(&in.Separator, "separator", "", "`character` between cells: , ; or tab; found out when absent")
	f.BoolVar(&in.ClearEmpty, "clear-empty", false, "an empty cell takes away what is declared")
	choice{&missing, []string{"no", "yes"}}.flag(cmd, "delete-missing", "remove assets that have the key and no row in the file (`answer`)")
	f.BoolVar(&in.SkipRefused, "skip-refused", false, "with --yes: apply the other rows when some are refused")
	f.BoolVar(&yes, "yes", false, "do it; without, nothing is changed")
	return cmd
}

// columnMap reads --map COLUMN=FIELD; the column's title may hold = too.
func columnMap(texts []string) (map[string]string, error) {
	out := map[string]string{}
	for _, text := range texts {
		i := strings.LastIndex(text, "=")
		if i <= 0 {
			return nil, usagef("--map %q: want COLUMN=FIELD", text)
		}
		out[text[:i]] = text[i+1:]
	}
	return out, nil
}

func planTable(doc v1.AssetPlan) table {
	t := table{columns: []column{
		{title: "LINE", name: "line", right: true}, {title: "ASSET", name: "asset"}, {title: "ROW", name: "action"}, {title: "FIELD", name: "field"},
		{title: "OLD", name: "old"}, {title: "NEW, OR WHY NOT", name: "new"}, {name: "reason", exact: true},
	}}
	for _, r := range doc.Rows {
		label := r.Label
		if r.Action == "added" {
			label = strings.TrimSpace(r.Asset + " (" + label + ")")
		}
		action := text(r.Action)
		if r.Action == "refused" {
			action.tone = bad
		}
		if len(r.Fields) == 0 {
			t.add(known(r.Line, number), orAbsent(label), action, orAbsent(""), orAbsent(""), cell{text: r.Reason}, text(r.Reason))
		}
		for _, fc := range r.Fields {
			t.add(known(r.Line, number), orAbsent(label), action, text(fc.Field), orAbsent(fc.Old), orAbsent(fc.New), text(""))
		}
	}
	return t
}

// concludeImport says what the plan comes to, and fails when it was to be carried out and
// was not, or would not be.
func (c *client) concludeImport(doc v1.AssetPlan, yes, skip bool) error {
	sum := fmt.Sprintf("%d added, %d changed, %d unchanged, %d refused", doc.Added, doc.Changed, doc.Unchanged, doc.Refused)
	if doc.Removed > 0 {
		sum += fmt.Sprintf(", %d removed", doc.Removed)
	}
	if doc.More > 0 {
		sum += fmt.Sprintf(" (%d rows not shown)", doc.More)
	}
	if len(doc.Ignored) > 0 {
		sum += "; columns left out: " + strings.Join(doc.Ignored, ", ")
	}
	switch {
	case doc.Applied && doc.Linked > 0:
		sum += fmt.Sprintf("; %d found their hosts", doc.Linked)
	case yes && !doc.Applied:
		return fmt.Errorf("nothing was changed, because rows are refused: %s (mend them, or apply the others with --skip-refused)", sum)
	case !yes && doc.Refused > 0 && !skip:
		return fmt.Errorf("preview: %s; nothing was changed, and --yes would change nothing: mend these rows, or leave them out with --skip-refused", sum)
	case !yes && doc.Added+doc.Changed+doc.Removed > 0:
		sum = "preview: " + sum + "; nothing was changed yet, --yes does it"
	}
	if c.output != formatJSON {
		c.say(sum)
	}
	return nil
}
