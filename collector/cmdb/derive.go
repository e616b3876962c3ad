package cmdb

import (
	"atalaya/shared/facts"
	"atalaya/shared/identity"
)

// item names a configuration item. host is zero for classes that the fleet shares;
// name is empty where a host has only one of the class.
type item struct {
	class Class
	host  identity.HostID
	name  string
}

// observation is what one row of facts says: there is an item with these attributes,
// and it stands in a relation to another one. The item or the target belongs to the
// host that has the row.
type observation struct {
	item       item
	attributes map[string]string // nil: none
	relation   RelationID
	target     item
}

// derivations are pure functions from one row of a section to what it says. They see
// nothing else, so that a change of a row is a change of what it alone said.
var derivations = map[facts.ID]func(identity.HostID, facts.Row) []observation{
	facts.OS:        deriveOS,
	facts.Packages:  deriveSoftware,
	facts.Services:  deriveService,
	facts.Addresses: deriveAddress,
}

// attributes leaves out what is empty.
func attributes(pairs ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			m[pairs[i]] = pairs[i+1]
		}
	}
	return m
}
