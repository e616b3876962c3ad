package cmdb

import (
	"strconv"

	"atalaya/shared/facts"
	"atalaya/shared/identity"
)

// deriveAddress: an address by which others can reach the host is part of it;
// loopback addresses are not.
func deriveAddress(host identity.HostID, row facts.Row) []observation {
	r := row.(*facts.AddressRow)
	if r.Scope == "host" {
		return nil
	}
	return []observation{{
		item:       item{class: NetworkAddress, host: host, name: r.Address},
		attributes: attributes("interface", r.Interface, "prefix", strconv.Itoa(r.Prefix), "family", r.Family, "scope", r.Scope),
		relation:   addressPartOfHost,
		target:     item{class: Host, host: host},
	}}
}
