//go:build !linux

package agent

import (
	"atalaya/agent/probe"
	"atalaya/agent/probe/portable"
)

// NodeProbes returns the metric probes whose readings node_exporter has too.
func NodeProbes(Config) []probe.Probe { return portable.Probes() }
