//go:build !linux

package probe

import (
	"os"
	"path/filepath"
	"time"
)

func (d *Dir) modified(name string) time.Time {
	info, err := os.Lstat(filepath.Join(d.f.Name(), name))
	if err != nil || !info.Mode().IsRegular() {
		return time.Time{}
	}
	return info.ModTime()
}
