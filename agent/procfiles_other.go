//go:build !linux

package agent

import "atalaya/agent/probe"

// procParsers: the probes that read /proc are those of Linux.
func procParsers() []probe.Parser { return nil }
