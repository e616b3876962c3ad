// Package auth decides who may do what at the collector's interface: roles and
// their permissions, tokens for programs, and callers on the machine itself who
// are known by their Unix user.
//
// A token is shown once, at its creation. At rest there is only the SHA-256 of its
// secret, which suffices because the secret is 160 random bits.
package auth

import "slices"

// Permission is what a route asks of its caller.
type Permission string

// The permissions.
const (
	// Public needs no identity at all: only for answers that say nothing about
	// the fleet.
	Public Permission = "public"
	// Read sees inventory, metrics, alerts and the collector's own state.
	Read Permission = "read"
	// SaveQueries keeps and takes away saved queries.
	SaveQueries Permission = "save_queries"
	// RevokeHost ends a host's right to report.
	RevokeHost Permission = "revoke_host"
	// ManageHosts takes hosts out of the fleet, brings them back and tags them.
	ManageHosts Permission = "manage_hosts"
	// ManageAssets changes what is declared of assets, and the fields they have.
	ManageAssets Permission = "manage_assets"
	// ManageTokens creates, lists and revokes tokens; who has it can give any role.
	ManageTokens Permission = "manage_tokens"
	// Backup takes a copy of the whole state.
	Backup Permission = "backup"
	// Scrub verifies the whole state and mends it.
	Scrub Permission = "scrub"
)

// Role is a named set of permissions.
type Role string

// The roles.
const (
	Reader   Role = "reader"
	Operator Role = "operator"
	Admin    Role = "admin"
)

// roles is the one place that says what a role may do. Public is not listed:
// it needs no role.
var roles = []struct {
	role  Role
	grant []Permission
}{
	{Reader, []Permission{Read}},
	{Operator, []Permission{Read, SaveQueries, RevokeHost, ManageHosts, ManageAssets}},
	{Admin, []Permission{Read, SaveQueries, RevokeHost, ManageHosts, ManageAssets, ManageTokens, Backup, Scrub}},
}

// Roles returns all roles, the weakest first.
func Roles() []Role {
	var out []Role
	for _, r := range roles {
		out = append(out, r.role)
	}
	return out
}

// Allows reports whether the role holds the permission. An unknown role, and so
// the zero Role of a caller without identity, holds only Public.
func (r Role) Allows(p Permission) bool {
	if p == Public {
		return true
	}
	for _, e := range roles {
		if e.role == r {
			return slices.Contains(e.grant, p)
		}
	}
	return false
}

// Principal is a caller whose identity is established. The zero Principal is nobody.
type Principal struct {
	Name string // for logs: "token 4k2p7xza" or "uid 0"
	Role Role
}
