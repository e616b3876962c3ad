//go:build !linux

package store

import "errors"

// FreeBytes cannot tell here.
func FreeBytes(string) (int64, error) { return 0, errors.ErrUnsupported }
