package main

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	order "atalaya/shared/version"
)

func newVercmp() *cobra.Command {
	var scheme string
	cmd := &cobra.Command{
		Use:   "vercmp --scheme SCHEME",
		Short: "Compare versions as their package system does",
		Long: "Read lines of two versions with a tab between them and print -1, 0 or 1 for each:\n" +
			"the first is lower, equal, higher. The schemes are: " + strings.Join(order.Schemes(), " ") + ".",
		Example: "  printf '1.2~rc1\\t1.2\\n' | atalaya-agent vercmp --scheme deb",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := order.Compare(scheme, "1", "1"); err != nil {
				return usageError{err}
			}
			in := bufio.NewScanner(cmd.InOrStdin())
			out := bufio.NewWriter(cmd.OutOrStdout())
			defer out.Flush()
			for n := 1; in.Scan(); n++ {
				a, b, ok := strings.Cut(in.Text(), "\t")
				if !ok {
					return usageError{fmt.Errorf("line %d: want two versions with a tab between them", n)}
				}
				c, err := order.Compare(scheme, a, b)
				if err != nil {
					return fmt.Errorf("line %d: %w", n, err)
				}
				fmt.Fprintln(out, c)
			}
			return in.Err()
		},
	}
	cmd.Flags().StringVar(&scheme, "scheme", "", "package system: "+strings.Join(order.Schemes(), ", "))
	cobra.CheckErr(cmd.MarkFlagRequired("scheme"))
	return cmd
}
