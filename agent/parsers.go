package agent

import (
	"atalaya/agent/probe"
	"atalaya/agent/probe/packages"
)

// Parsers returns the formats that `atalaya-agent parse` knows, on every system.
func Parsers() []probe.Parser {
	return packages.Parsers()
}
