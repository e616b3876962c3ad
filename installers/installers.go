// Package installers holds what the two programs need to live under a service
// manager: their systemd units and the notification protocol of sd_notify(3).
// The unit files in systemd/ are the ones that packages ship; a program that
// installs itself writes the same text with its own path in it.
package installers

import (
	_ "embed"
	"strings"
)

//go:embed systemd/atalaya-agent.service
var agentUnit string

// AgentSysusers is the sysusers.d(5) file of the agent's system user. dbus-daemon talks to
// no passing user: without this one, failed services would be shown as stopped.
//
//go:embed systemd/atalaya-agent.sysusers
var AgentSysusers string

//go:embed systemd/atalaya.service
var collectorUnit string

// AgentUnit returns the agent's systemd unit with the given command line after ExecStart=.
func AgentUnit(command string) string {
	return strings.Replace(agentUnit, "/usr/bin/atalaya-agent run", command, 1)
}

// CollectorUnit returns the collector's systemd unit with the given command line after ExecStart=.
func CollectorUnit(command string) string {
	return strings.Replace(collectorUnit, "/usr/bin/atalaya serve", command, 1)
}

// Quote makes a word safe in ExecStart= (systemd.service(5), "Command lines"):
// blanks and quotes by quoting, % and $ by doubling.
func Quote(word string) string {
	word = strings.NewReplacer("%", "%%", "$", "$$").Replace(word)
	if word != "" && !strings.ContainsAny(word, " \t\"'\\;") {
		return word
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(word) + `"`
}
