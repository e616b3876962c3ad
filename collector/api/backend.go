package api

import (
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"atalaya/collector/alert"
	"atalaya/collector/api/v1"
	"atalaya/collector/asset"
	"atalaya/collector/auth"
	"atalaya/collector/cmdb"
	"atalaya/collector/enroll"
	"atalaya/collector/identity/ledger"
	"atalaya/collector/inventory"
	"atalaya/collector/query"
	"atalaya/collector/search"
	"atalaya/collector/series"
	"atalaya/collector/store"
	"atalaya/shared/identity"
)

// Sources are the collector's parts behind the interface. All fields but Connected are required.
type Sources struct {
	Store     *store.Store
	Inventory *inventory.View
	CMDB      *cmdb.View
	Alerts    *alert.Engine
	Series    *series.DB
	Queries   *query.Engine
	Assets    *asset.Book
	Search    *search.Index
	Authority *enroll.Authority
	Tokens    *auth.Tokens
	// Sessions counts the agents that are connected now.
	Sessions func() int
	// Connected reports whether a host has a session; nil: none has.
	Connected func(identity.HostID) bool
	// SilentAfter is how long nothing may come from a host before it counts as silent.
	SilentAfter time.Duration
	SeriesDir   string // of the metrics, for their size
	Version     string
	StartedAt   time.Time
	Now         func() time.Time
	Log         *slog.Logger
}

// Config gives the parts the form in which the interface asks them.
func (s Sources) Config() Config {
	return Config{
		Inventory: inventoryBackend{s}, CMDB: cmdbBackend{s}, Alerts: alertBackend{s}, Metrics: metricsBackend{s}, Queries: sqlBackend{s},
		Assets: AssetsOf(s.Assets), Finder: searchBackend{s.Search}, Operations: operationsBackend{s}, Tokens: s.Tokens, Version: s.Version, Now: s.Now, Log: s.Log,
	}
}

// kinds says of which kind the errors of the parts are. What is not listed is a
// failure of the collector.
var kinds = []struct{ cause, kind error }{
	{inventory.ErrNotFound, ErrNotFound},
	{cmdb.ErrNotFound, ErrNotFound},
	{alert.ErrUnknown, ErrNotFound},
	{enroll.ErrNoToken, ErrNotFound},
	{enroll.ErrNoHost, ErrNotFound},
	{store.ErrUnknownHost, ErrNotFound},
	{ledger.ErrNotMerged, ErrInvalid},
	{ledger.ErrCannotMerge, ErrInvalid},
	{ledger.ErrCannotUnmerge, ErrInvalid},
	{ledger.ErrNoCopy, ErrInvalid},
	{store.ErrHistory, ErrInvalid},
	{inventory.ErrVersion, ErrInvalid},
	{asset.ErrNotFound, ErrNotFound},
	{asset.ErrInvalid, ErrInvalid},
	{asset.ErrConflict, ErrConflict},
	{asset.ErrRepair, ErrBusy},
	{search.ErrBuilding, ErrBusy},
	{query.ErrNotSaved, ErrNotFound},
	{query.ErrSaved, ErrConflict},
	{query.ErrQuery, ErrInvalid},
	{query.ErrLimit, ErrTooMuch},
	{inventory.ErrTooMany, ErrTooMuch},
	{inventory.ErrCursor, errPageCursor},
	{query.ErrBusy, ErrBusy},
	{query.ErrShare, ErrShare},
	{inventory.ErrHistory, ErrInvalid},
	{enroll.ErrInvalid, ErrInvalid},
	{path.ErrBadPattern, ErrInvalid},
	{store.ErrFull, ErrSpace},
	{series.ErrClosed, ErrBusy},
	{series.ErrLoading, ErrBusy},
}

// kindred is an error with its kind; its text is that of the error alone.
type kindred struct {
	error
	kind error
}

// Unwrap gives both to errors.Is.
func (k kindred) Unwrap() []error { return []error{k.error, k.kind} }

// classify gives an error of a part its kind.
func classify(err error) error {
	if err == nil {
		return nil
	}
	var host *inventory.AmbiguousError
	var item *cmdb.AmbiguousError
	if errors.As(err, &host) || errors.As(err, &item) {
		return kindred{err, ErrInvalid}
	}
	for _, k := range kinds {
		if errors.Is(err, k.cause) {
			return kindred{err, k.kind}
		}
	}
	return err
}

// pattern matches names as lists do: a part of the name in any case, or a pattern
// of path.Match where it holds * or ?.
type pattern string

func (p pattern) wild() bool { return strings.ContainsAny(string(p), "*?") }

// plain is the pattern for views that only know parts of names; empty when the
// caller must look at each name itself.
func (p pattern) plain() string {
	if p.wild() {
		return ""
	}
	return string(p)
}

func (p pattern) check() error {
	if _, err := path.Match(string(p), ""); err != nil && p.wild() {
		return fmt.Errorf("%w: pattern %q: %w", ErrInvalid, string(p), err)
	}
	return nil
}

func (p pattern) fits(name string) bool {
	if !p.wild() {
		return true // the view has looked
	}
	ok, err := path.Match(strings.ToLower(string(p)), strings.ToLower(name))
	return ok && err == nil
}

// after reads a cursor that is a host's number.
func after(cursor string) (identity.HostID, error) {
	if cursor == "" {
		return identity.HostID{}, nil
	}
	id, err := identity.ParseHostID(cursor)
	if err != nil {
		return id, errPageCursor
	}
	return id, nil
}

// offset reads a cursor that is a position.
func offset(cursor string) (int, error) {
	if cursor == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(cursor)
	if err != nil || n < 0 {
		return 0, errPageCursor
	}
	return n, nil
}

// cut takes a page out of a list that is whole.
func cut[T any](all []T, p v1.Page) (part []T, next string, err error) {
	start, err := offset(p.Cursor)
	if err != nil {
		return nil, "", err
	}
	all = all[min(start, len(all)):]
	if len(all) > p.Limit {
		return slices.Clip(all[:p.Limit]), strconv.Itoa(start + p.Limit), nil
	}
	return all, "", nil
}
