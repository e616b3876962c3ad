//go:build !linux

package timesync

import "errors"

func synchronised() (bool, error) { return false, errors.ErrUnsupported }
