//go:build !linux

package storage

import "errors"

// SuperblockAnswer reads the beginning of a block device; only on Linux so far.
func SuperblockAnswer(string) ([]byte, error) { return nil, errors.ErrUnsupported }
