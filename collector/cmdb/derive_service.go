package cmdb

import (
	"atalaya/shared/facts"
	"atalaya/shared/identity"
)

// deriveService: a service that is meant to run, or does, runs on the operating
// system. Units that are only installed are none: a host has hundreds of them.
func deriveService(host identity.HostID, row facts.Row) []observation {
	r := row.(*facts.ServiceRow)
	if r.Enabled != "enabled" && r.State != "running" && r.State != "failed" {
		return nil
	}
	return []observation{{
		item:       item{class: Service, host: host, name: r.Name},
		attributes: attributes("description", r.Description, "enabled", r.Enabled, "state", r.State, "exec", r.Exec, "manager", r.Manager),
		relation:   serviceRunsOnOS,
		target:     item{class: OperatingSystem, host: host},
	}}
}
