//go:build !linux

package firewall

import "errors"

func readRuleset() (*ruleset, error) { return nil, errors.ErrUnsupported }

func errorOf([]byte) error { return errNetlink }
