package apitest

import (
	"slices"

	"atalaya/collector/auth"
)

// RoleTokens knows one token for each role, named after it.
type RoleTokens struct{}

// Verify implements api.Verifier.
func (RoleTokens) Verify(text string) (auth.Principal, error) {
	role := auth.Role(text)
	if !slices.Contains(auth.Roles(), role) {
		return auth.Principal{}, auth.ErrBadToken
	}
	return auth.Principal{Name: "token of " + text, Role: role}, nil
}
