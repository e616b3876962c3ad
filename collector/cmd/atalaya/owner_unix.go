//go:build unix

package main

import (
	"errors"
	"os"
	"syscall"
)

// giveToOwner gives files in a folder to the folder's owner: root restores, and the
// service runs as a user of its own.
func giveToOwner(dir string, files ...string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 {
		return nil // nobody else can, and who is not root is the owner
	}
	for _, f := range files {
		err = errors.Join(err, os.Chown(f, int(st.Uid), int(st.Gid)))
	}
	return err
}
