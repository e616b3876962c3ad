package storage

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// SuperblockAnswer reads the beginning of a block device. It may hang for as long as the
// device does.
func SuperblockAnswer(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENOMEDIUM) {
		return nil, nil // a drive without a medium: nothing is on it
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return describe(f)
}
