package devices

import "atalaya/agent/probe"

// filesTell says whether the files that this package reads describe the host.
func filesTell(*probe.Host) error { return nil }
