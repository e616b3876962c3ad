package main

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"atalaya/collector/store"
)

func newRestore() *cobra.Command {
	var data, config string
	cmd := &cobra.Command{
		Use:   "restore BACKUP",
		Short: "Put a backup in the place of the state of a collector that does not run",
		Long: "Verify BACKUP, a file that `atalaya backup` wrote, and put a copy of it in the place of the\n" +
			"state file. What was there is kept beside it. The collector must not run. When it starts\n" +
			"again it notices that its state is older than what its hosts were told, and asks every\n" +
			"host for its facts; what only the collector knew since the backup is lost.",
		Example: "  atalaya stop && atalaya restore /var/backups/atalaya.db && atalaya start\n" +
			"  atalaya restore /var/backups/atalaya.db --data ./var/collector",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if data == "" {
				c, err := load(config)
				if err != nil {
					return err
				}
				data = c.DataDir
			}
			return restore(cmd.OutOrStdout(), cmd.Flag("output").Value.String(), args[0], data)
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "data `folder` (default from the configuration)")
	cmd.Flags().StringVar(&config, "config", "", "configuration `file`")
	return cmd
}

// restored is the answer of a restore.
type restored struct {
	State string `json:"state"`
	Kept  string `json:"kept,omitempty"` // what was there before
	Next  string `json:"next"`
}

// restore does it, says what it did and what comes next.
func restore(out io.Writer, format, backup, data string) error {
	state := filepath.Join(data, store.FileName)
	kept, err := store.Restore(backup, state)
	if err != nil {
		return err
	}
	if err := giveToOwner(data, state, state+".lock"); err != nil {
		return fmt.Errorf("restored, but the collector's user may not read it: %w", err)
	}
	r := restored{state, kept, "start the collector; its hosts send what is newer"}
	if _, err := os.Stat(filepath.Join(data, "ca.key")); errors.Is(err, fs.ErrNotExist) {
		r.Next = fmt.Sprintf("copy ca.key and ca.pem, and revoked if there is one, from the folder of the collector that was backed up into %s: without ca.key its hosts trust no collector; then start it", data)
	}
	switch format {
	case "json":
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(r)
	case "csv":
		return csv.NewWriter(out).WriteAll([][]string{{"state", "kept", "next"}, {r.State, r.Kept, r.Next}})
	}
	_, err = fmt.Fprintf(out, "restored  %s\nkept      %s\nnext      %s\n", r.State, cmp.Or(r.Kept, "-"), r.Next)
	return err
}
