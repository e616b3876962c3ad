//go:build !linux

package probe

import "io/fs"

func isWhiteout(fs.FileInfo) bool { return false }

func markedOpaque(string) bool { return false }
