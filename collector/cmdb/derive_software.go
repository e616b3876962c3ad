package cmdb

import (
	"atalaya/shared/facts"
	"atalaya/shared/identity"
)

// deriveSoftware: a package, whatever its version, is one item for the whole fleet
// and part of the operating systems it is installed in; the version belongs to that
// relation. Packages that are not wholly installed count: their files are there.
func deriveSoftware(host identity.HostID, row facts.Row) []observation {
	r := row.(*facts.PackageRow)
	return []observation{{
		item:       item{class: Software, name: r.Source + "/" + r.Name},
		attributes: attributes("version", r.Version, "arch", r.Arch, "state", r.State),
		relation:   softwarePartOfOS,
		target:     item{class: OperatingSystem, host: host},
	}}
}
