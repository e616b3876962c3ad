//go:build !linux

package system

import "errors"

func readTimex() (map[string]float64, error) { return nil, errors.ErrUnsupported }
