package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"atalaya/collector/api/v1"
)

func (c *client) backupCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the collector's state to a file while it runs",
		Long: "Copy the collector's state (hosts, inventory with its history, configuration items,\n" +
			"alerts, tokens in their hashed form) to FILE, mode 0600. The file appears when it is\n" +
			"complete. Metrics and the keys of the collector's CA are not in it. A file that is\n" +
			"there is replaced with --force only; what is not a file, and what lies in the data\n" +
			"folder of a collector, never.",
		Example: "  atalaya backup /var/backups/atalaya-$(date +%F).db\n  atalaya backup --force /var/backups/atalaya.db",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := c.saveBackup(cmd.Context(), args[0], force)
			if err != nil {
				return err
			}
			c.say(fmt.Sprintf("%s: %s", args[0], human(n)))
			return nil
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace the file that is there")
	return cmd
}

// saveBackup writes beside the file and renames: a file of that name is complete.
// The file is made before the collector is asked: its errors are not the collector's.
func (c *client) saveBackup(ctx context.Context, path string, force bool) (n int64, err error) {
	if err := mayReplace(path, force); err != nil {
		return 0, fmt.Errorf("backup %q: %w", path, err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return 0, fmt.Errorf("backup %q: %w", path, err)
	}
	defer os.Remove(f.Name()) // in vain when all went well: it has its name then
	err = c.ask(ctx, func(ctx context.Context, api *v1.Client) error {
		n, err = api.Backup(ctx, f)
		return err
	})
	if err != nil {
		return 0, errors.Join(fmt.Errorf("backup is not complete: %w", err), f.Close())
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return 0, err
	}
	if err := mayReplace(path, force); err != nil { // another may have come meanwhile
		return 0, fmt.Errorf("backup %q: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return 0, err
	}
	return n, syncFolder(filepath.Dir(path))
}

// mayReplace refuses a place where a backup would take something away.
func mayReplace(path string, force bool) error {
	folder, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return err
	}
	if folder, err = filepath.EvalSymlinks(folder); err != nil {
		return err
	}
	for up := folder; ; up = filepath.Dir(up) {
		if holdsState(up) {
			return fmt.Errorf("%s is the data folder of a collector: name a file elsewhere, best on another disk", up)
		}
		if up == filepath.Dir(up) {
			break
		}
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("it is there and not a regular file: name a file")
	case !force:
		return fmt.Errorf("it is there already, of %s: name another file, or replace it with --force", info.ModTime().UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	return nil
}

// holdsState reports whether a folder is the data folder of a collector: its state has
// a lock beside it, which no copy has.
func holdsState(folder string) bool {
	for _, name := range []string{"state.db", "state.db.lock"} {
		if _, err := os.Lstat(filepath.Join(folder, name)); err != nil {
			return false
		}
	}
	return true
}
