//go:build !linux

package filesystem

import "errors"

// statfs is not needed here: other systems have no table of mounts in /proc, so that
// only a folder of files is ever read, and its file systems are not asked.
func statfs(string) (usage, error) { return usage{}, errors.ErrUnsupported }
