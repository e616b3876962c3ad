// Package api serves the collector's HTTP interface: typed routes below /api/v1/
// with their OpenAPI description, and the query part of Prometheus' interface for
// dashboards. It holds no state and no business rule: each handler checks its
// input, asks one backend and gives the answer.
//
// Every route stands in one permission table (permissions.go) and passes one guard
// (guard.go); New fails when a route is not in the table. Backends are the
// interfaces of this file; backend.go adapts the collector's packages to them.
package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"atalaya/collector/api/v1"
	"atalaya/collector/auth"
)

// In the interfaces below, "host" is a host's name or number; Page.Cursor and the
// Next of answers are in the backend's own form (the API makes them opaque to
// clients); Page.Limit is always positive. Backends leave Now alone: the API sets it.
// Errors are recognised by errors.Is with the kinds of problems.go.

// Inventory answers for hosts and what is on them.
type Inventory interface {
	Hosts(ctx context.Context, q v1.HostQuery) (v1.HostPage, error)
	// Host returns all sections, or those named; with their rows when rows is set.
	Host(ctx context.Context, host string, rows bool, sections []string) (v1.HostDetail, error)
	History(ctx context.Context, host string, q v1.HistoryQuery) (v1.History, error)
	Diff(ctx context.Context, host string, q v1.DiffQuery) (v1.Diff, error)
	// Changed gives the net changes, those that likely matter most first.
	Changed(ctx context.Context, q v1.FleetChangeQuery) (v1.FleetChanges, error)
	Packages(ctx context.Context, q v1.PackageQuery) (v1.PackagePage, error)
	Patches(ctx context.Context, q v1.PatchQuery) (v1.PatchPage, error)
}

// CMDB answers for configuration items.
type CMDB interface {
	CIs(ctx context.Context, q v1.CIQuery) (v1.CIPage, error)
	CI(ctx context.Context, id string) (v1.CIDetail, error)
	Impact(ctx context.Context, id string) (v1.Impact, error)
}

// Alerts answers for rules and what they found.
type Alerts interface {
	Rules(ctx context.Context) ([]v1.Rule, error)
	CheckRules(ctx context.Context, content string) (v1.RuleCheck, error)
	Alerts(ctx context.Context, q v1.AlertQuery) (v1.AlertPage, error)
	Alert(ctx context.Context, id string) (v1.AlertDetail, error)
}

// Metrics answers metric queries. Selector and query errors are ErrInvalid.
type Metrics interface {
	Query(ctx context.Context, expr string, at time.Time) (Result, error)
	QueryRange(ctx context.Context, expr string, r Range) (Result, error)
	LabelNames(ctx context.Context, s Selection) ([]string, error)
	LabelValues(ctx context.Context, label string, s Selection) ([]string, error)
	Series(ctx context.Context, s Selection) ([]map[string]string, error)
	Metadata(ctx context.Context) (map[string]v1.Metadata, error)
	// Loading says why no metric can be asked yet, nil when they can. It never waits.
	Loading() error
}

// Result is the answer to a metric query in Prometheus' form.
type Result struct {
	Data            []byte // JSON of the member data
	Warnings, Infos []string
}

// Range is the moments From, From+Step ... up to To.
type Range struct {
	From, To time.Time
	Step     time.Duration
}

// Selection picks series by selectors (any of them) and time; no selector means all.
type Selection struct {
	Match    []string
	From, To time.Time // zero: unbounded
	Limit    int       // 0: no limit
}

// Operations are what administrators do to the collector itself.
type Operations interface {
	Identities
	Status(ctx context.Context) (v1.Status, error)
	RevokeHost(ctx context.Context, host string) (v1.Revocation, error)
	// RemoveHost takes a host out of the fleet and revokes it; ReviveHost undoes the first.
	RemoveHost(ctx context.Context, host, reason string) (v1.RemovedHost, error)
	ReviveHost(ctx context.Context, host string) (v1.Revival, error)
	RemovedHosts(ctx context.Context) ([]v1.RemovedHost, error)
	TagHost(ctx context.Context, host string, change v1.TagChange) (v1.HostTags, error)
	// Scrub verifies the state and mends what can be mended.
	Scrub(ctx context.Context) (v1.Scrub, error)
	// Backup writes a consistent copy of the state.
	Backup(ctx context.Context, w io.Writer) error
	Tokens(ctx context.Context) ([]v1.Token, error)
	CreateToken(ctx context.Context, r v1.TokenRequest) (v1.NewToken, error)
	RevokeToken(ctx context.Context, id string) error
}

// Verifier tells whose token a text is; auth.Tokens is one.
type Verifier interface {
	Verify(text string) (auth.Principal, error)
}

// Config is what an API needs. All fields are required.
type Config struct {
	Inventory  Inventory
	CMDB       CMDB
	Alerts     Alerts
	Metrics    Metrics
	Queries    Queries
	Operations Operations
	Assets     Assets
	Finder     Search
	Tokens     Verifier
	Version    string // of the collector
	Now        func() time.Time
	Log        *slog.Logger
}

// API is the HTTP interface. Create it with New.
type API struct {
	Config
	guard *guard
}

// New builds the interface. It fails when a route has no permission in the table
// or the table names a route that does not exist.
func New(config Config) (*API, error) { return build(config, permissions) }

func build(config Config, table map[string]auth.Permission) (*API, error) {
	a := &API{Config: config, guard: newGuard(config, table)}
	routes := humago.New(a.guard, a.humaConfig())
	routes.UseMiddleware(noEmpty(routes))
	a.hostRoutes(routes)
	a.cmdbRoutes(routes)
	a.alertRoutes(routes)
	a.adminRoutes(routes)
	a.metricRoutes(routes)
	a.sqlRoutes(routes)
	a.lifecycleRoutes(routes)
	a.identityRoutes(routes)
	a.assetRoutes(routes)
	a.searchRoutes(routes)
	if err := a.publicRoutes(routes); err != nil {
		return nil, err
	}
	return a, a.guard.check()
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.guard.ServeHTTP(w, r) }

func (a *API) humaConfig() huma.Config {
	config := huma.DefaultConfig("Atalaya", a.Version)
	config.Info.Description = "Assets, software, patch state, metrics, relations and alerts of a fleet. " +
		"Send a token as `Authorization: Bearer atk_...`; on the collector's own machine the Unix socket needs none."
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", Description: "made by `atalaya token create --role ROLE`"},
	}
	config.Security = []map[string][]string{{"token": {}}}
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", "" // our own route; no page with foreign scripts
	config.CreateHooks = nil                                             // no $schema links in documents
	config.RejectUnknownQueryParameters = true                           // a mistyped filter must not mean "all"
	config.Transformers = []huma.Transformer{a.unifyProblem}
	format := huma.Format{Marshal: a.guard.marshal, Unmarshal: huma.DefaultJSONFormat.Unmarshal}
	config.Formats = map[string]huma.Format{"application/json": format, "json": format}
	return config
}

// noEmpty refuses parameters without a value: a filter that a script left empty must not
// mean "all".
func noEmpty(routes huma.API) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		u := ctx.URL()
		for _, name := range slices.Sorted(maps.Keys(u.Query())) {
			if slices.Contains(u.Query()[name], "") {
				detail := fmt.Sprintf("parameter %q has no value: give one, or leave it out", name)
				if err := huma.WriteErr(routes, ctx, http.StatusUnprocessableEntity, detail); err != nil {
					panic(http.ErrAbortHandler) // the client went away
				}
				return
			}
		}
		next(ctx)
	}
}

// get registers a route that reads. The summary is shown in the OpenAPI document.
func get[I, O any](routes huma.API, path, id, summary string, handler func(context.Context, *I) (*O, error)) {
	register(routes, http.MethodGet, path, id, summary, http.StatusOK, handler)
}

func register[I, O any](routes huma.API, method, path, id, summary string, status int, handler func(context.Context, *I) (*O, error)) {
	registerUpTo(maxBody, routes, method, path, id, summary, status, handler)
}

// registerUpTo is register for a body of up to limit bytes.
func registerUpTo[I, O any](limit int64, routes huma.API, method, path, id, summary string, status int, handler func(context.Context, *I) (*O, error)) {
	op := huma.Operation{Method: method, Path: path, OperationID: id, Summary: summary, DefaultStatus: status, MaxBodyBytes: limit}
	huma.Register(routes, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handler(ctx, in)
		if err != nil {
			return nil, problemOf(err)
		}
		return out, nil
	})
}

// body is an answer that is one document.
type body[T any] struct{ Body T }

func answer[T any](doc T, err error) (*body[T], error) {
	if err != nil {
		return nil, err
	}
	return &body[T]{Body: doc}, nil
}

// publicRoutes are what anybody may ask. They are registered last: the OpenAPI
// document holds all others.
func (a *API) publicRoutes(routes huma.API) error {
	doc, err := v1.Encode(routes.OpenAPI(), "")
	if err != nil {
		return fmt.Errorf("openapi document: %w", err)
	}
	a.guard.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		w.Write(doc) // a client that went away needs no answer
	})
	a.guard.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		text := "ok\n"
		if err := a.Metrics.Loading(); err != nil {
			text = "ok, but " + err.Error() + "\n"
		}
		io.WriteString(w, text) // as above
	})
	return nil
}

// notFoundUnless turns "no such" into the constant answer for it.
func notFound(what, name string) error {
	return fmt.Errorf("%w: no %s %q", ErrNotFound, what, name)
}

var errPageCursor = errors.New("the cursor is not one that this list gave")
