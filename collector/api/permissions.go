package api

import "atalaya/collector/auth"

// permissions is the one table of who may call what. A route that is missing here
// keeps the collector from starting.
var permissions = map[string]auth.Permission{
	"GET /healthz":      auth.Public,
	"GET /openapi.json": auth.Public,

	"GET /api/v1/hosts":                           auth.Read,
	"GET /api/v1/hosts/{host}":                    auth.Read,
	"GET /api/v1/hosts/{host}/sections/{section}": auth.Read,
	"GET /api/v1/hosts/{host}/history":            auth.Read,
	"GET /api/v1/hosts/{host}/diff":               auth.Read,
	"GET /api/v1/changes":                         auth.Read,
	"GET /api/v1/packages":                        auth.Read,
	"GET /api/v1/patches":                         auth.Read,
	"GET /api/v1/cis":                             auth.Read,
	"GET /api/v1/cis/{id}":                        auth.Read,
	"GET /api/v1/cis/{id}/impact":                 auth.Read,
	"GET /api/v1/rules":                           auth.Read,
	"POST /api/v1/rules/check":                    auth.Read, // judges the text that it is given, changes nothing
	"GET /api/v1/alerts":                          auth.Read,
	"GET /api/v1/alerts/{id}":                     auth.Read,
	"GET /api/v1/status":                          auth.Read,

	"GET /api/v1/query":               auth.Read,
	"POST /api/v1/query":              auth.Read, // the form of a long query
	"GET /api/v1/query_range":         auth.Read,
	"POST /api/v1/query_range":        auth.Read,
	"GET /api/v1/labels":              auth.Read,
	"POST /api/v1/labels":             auth.Read,
	"GET /api/v1/label/{name}/values": auth.Read,
	"GET /api/v1/series":              auth.Read,
	"POST /api/v1/series":             auth.Read,
	"GET /api/v1/metadata":            auth.Read,
	"GET /api/v1/status/buildinfo":    auth.Read,

	"POST /api/v1/sql":                auth.Read, // a query changes nothing
	"GET /api/v1/sql/schema":          auth.Read,
	"GET /api/v1/sql/saved":           auth.Read,
	"PUT /api/v1/sql/saved/{name}":    auth.SaveQueries,
	"DELETE /api/v1/sql/saved/{name}": auth.SaveQueries,

	"POST /api/v1/hosts/{host}/revoke": auth.RevokeHost,
	"POST /api/v1/hosts/{host}/remove": auth.ManageHosts,
	"POST /api/v1/hosts/{host}/revive": auth.ManageHosts,
	"POST /api/v1/hosts/{host}/tags":   auth.ManageHosts,
	"GET /api/v1/removed-hosts":        auth.Read,

	"GET /api/v1/hosts/{host}/identity":         auth.Read,
	"GET /api/v1/hosts/{host}/identity/{other}": auth.Read,
	"POST /api/v1/hosts/{host}/merge":           auth.ManageHosts,
	"POST /api/v1/hosts/{host}/unmerge":         auth.ManageHosts,
	"POST /api/v1/hosts/{host}/accept":          auth.ManageHosts,
	"GET /api/v1/search":                        auth.Read,
	"GET /api/v1/assets":                        auth.Read,
	"GET /api/v1/assets/{asset}":                auth.Read,
	"POST /api/v1/assets":                       auth.ManageAssets,
	"POST /api/v1/assets/{asset}/edit":          auth.ManageAssets,
	"POST /api/v1/assets/{asset}/lock":          auth.ManageAssets,
	"POST /api/v1/assets/{asset}/unlock":        auth.ManageAssets,
	"POST /api/v1/assets/{asset}/remove":        auth.ManageAssets,
	"GET /api/v1/asset-history":                 auth.Read,
	"GET /api/v1/asset-fields":                  auth.Read,
	"PUT /api/v1/asset-fields/{name}":           auth.ManageAssets,
	"DELETE /api/v1/asset-fields/{name}":        auth.ManageAssets,
	"POST /api/v1/asset-import":                 auth.ManageAssets,
	"GET /api/v1/asset-export":                  auth.Read,

	"GET /api/v1/tokens":         auth.ManageTokens,
	"POST /api/v1/tokens":        auth.ManageTokens,
	"DELETE /api/v1/tokens/{id}": auth.ManageTokens,

	"GET /api/v1/backup": auth.Backup,
	"POST /api/v1/scrub": auth.Scrub,
}
