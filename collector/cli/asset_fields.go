package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"atalaya/collector/api/v1"
)

func (c *client) assetFields() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "fields",
		Short:   "List the fields of assets; add and remove custom ones",
		Example: "  atalaya asset fields\n  atalaya asset fields add rack_units --type number",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.listFields(cmd.Context()) },
	}
	cmd.AddCommand(c.assetFieldAdd(), c.assetFieldRemove())
	return cmd
}

func (c *client) listFields(ctx context.Context) error {
	return c.call(ctx, func(ctx context.Context, api *v1.Client) error {
		doc, err := api.AssetFields(ctx)
		return c.answer(err, doc, func() view {
			t := table{columns: []column{
				{title: "FIELD", name: "field"}, {title: "TYPE", name: "type"}, {title: "CUSTOM", name: "custom"}, {title: "WHAT", name: "doc"}, {name: "choices", exact: true},
			}}
			for _, f := range doc.Fields {
				what := text(f.Doc)
				if choices := strings.Join(f.Choices, ", "); choices != "" {
					what.text = strings.TrimPrefix(what.text+": "+choices, ": ")
				}
				t.add(text(f.Name), text(f.Type), yesNo(&f.Custom), what, text(strings.Join(f.Choices, ",")))
			}
			return list(t, "")
		})
	})
}

func (c *client) assetFieldAdd() *cobra.Command {
	f := v1.AssetFieldRequest{Type: "text"}
	cmd := &cobra.Command{
		Use:     "add NAME",
		Short:   "Define a custom field",
		Example: "  atalaya asset fields add rack_units --type number --doc 'height in the rack'\n  atalaya asset fields add encryption --type choice --choice none --choice luks --choice bitlocker",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error { return api.AddAssetField(ctx, args[0], f) })
			if err == nil {
				c.say("field " + args[0] + " added: atalaya asset set ASSET " + args[0] + "=...")
			}
			return err
		},
	}
	choice{&f.Type, v1.AssetFieldTypes()}.flag(cmd, "type", "`type` of its values")
	cmd.Flags().StringArrayVar(&f.Choices, "choice", nil, "a `value` of a field of type choice; once for each")
	cmd.Flags().StringVar(&f.Doc, "doc", "", "`text` that says what it is for")
	return cmd
}

func (c *client) assetFieldRemove() *cobra.Command {
	return &cobra.Command{
		Use:     "remove NAME",
		Short:   "Take a custom field away that no asset has a value in",
		Example: "  atalaya asset fields remove rack_units",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error { return api.RemoveAssetField(ctx, args[0]) })
			if err == nil {
				c.say("field " + args[0] + " removed")
			}
			return err
		},
	}
}
