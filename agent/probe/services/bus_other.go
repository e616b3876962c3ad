//go:build !linux

package services

import (
	"context"
	"errors"
)

func loadedUnits(context.Context) (map[string]loaded, error) { return nil, errors.ErrUnsupported }

func onBus(context.Context, func(*session) error) error { return errors.ErrUnsupported }
