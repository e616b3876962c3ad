//go:build !linux

package probe

func (f *File) pollChanged() bool { return true }

type pollFds struct{}
