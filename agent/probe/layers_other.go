//go:build !linux

package probe

import "io/fs"

func isWhiteout(fs.FileInfo) bool { return false }

func mark(_, _ string) byte { return 0 }
