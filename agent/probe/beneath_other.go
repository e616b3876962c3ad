//go:build !linux

package probe

import (
	"io/fs"
	"os"
)

const (
	toRead = iota
	toList
)

func openBeneath(_, name string, how int) (*os.File, error) {
	if how == toList {
		return openFolder(name)
	}
	return openFile(name)
}

func lookBeneath(_, name string) (fs.FileInfo, error) { return os.Lstat(name) }

func linkBeneath(_, name string) (string, error) { return os.Readlink(name) }
