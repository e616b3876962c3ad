//go:build !linux

package probe

import "errors"

// StatFS is not needed here: other systems have no table of mounts in /proc, so that
// only a folder of files is ever read, and its file systems are not asked.
func StatFS(string) (Usage, error) { return Usage{}, errors.ErrUnsupported }
