//go:build !linux

package probe

import "os"

func stampOf(path string) Stamp {
	info, err := os.Stat(path)
	if err != nil {
		return Stamp{}
	}
	return stampFrom(info)
}
