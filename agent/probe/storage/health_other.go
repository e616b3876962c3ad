//go:build !linux

package storage

import "errors"

// HealthAnswer asks a disk how it feels; only on Linux so far.
func HealthAnswer(string) ([]byte, error) { return nil, errors.ErrUnsupported }
