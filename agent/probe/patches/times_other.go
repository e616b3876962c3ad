//go:build !linux

package patches

import "io/fs"

// times returns nothing: apt runs on Linux; elsewhere its files are only looked at in
// a copy, whose change times say nothing.
func times(fs.FileInfo) fileTimes { return fileTimes{} }
