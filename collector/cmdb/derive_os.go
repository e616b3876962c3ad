package cmdb

import (
	"atalaya/shared/facts"
	"atalaya/shared/identity"
)

// deriveOS: the operating system runs on its host.
func deriveOS(host identity.HostID, row facts.Row) []observation {
	r := row.(*facts.OSRow)
	version := r.Version
	if version == "" {
		version = r.VersionID
	}
	return []observation{{
		item:       item{class: OperatingSystem, host: host},
		attributes: attributes("name", r.Name, "id", r.ID, "version", version, "family", r.Family, "arch", r.Arch),
		relation:   osRunsOnHost,
		target:     item{class: Host, host: host},
	}}
}
