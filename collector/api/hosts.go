package api

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"atalaya/collector/api/v1"
	"atalaya/shared/facts"
)

func (a *API) hostRoutes(routes huma.API) {
	get(routes, "/api/v1/hosts", "list-hosts", "List hosts by name", a.hosts)
	get(routes, "/api/v1/hosts/{host}", "get-host", "A host with the state of its sections, or all their rows", a.host)
	get(routes, "/api/v1/hosts/{host}/sections/{section}", "get-section", "One section of a host", a.section)
	get(routes, "/api/v1/hosts/{host}/history", "list-changes", "What changed on a host, newest first", a.history)
	get(routes, "/api/v1/hosts/{host}/diff", "diff-host", "Net difference of a host between two moments", a.diff)
	get(routes, "/api/v1/changes", "what-changed", "What changed between two moments on hosts, what likely matters first", a.changed)
	get(routes, "/api/v1/packages", "find-packages", "Find hosts by what they have installed", a.packages)
	get(routes, "/api/v1/patches", "list-patches", "Patch state of hosts with its proof", a.patches)
}

func (a *API) hosts(ctx context.Context, in *struct {
	Name    string `query:"name" maxLength:"255" doc:"part of the name, or a pattern with * and ?"`
	State   string `query:"state" enum:"online,silent,revoked"`
	Verdict string `query:"verdict" enum:"current,pending,unknown,unsupported"`
	Tag     string `query:"tag" maxLength:"64" doc:"only hosts with this tag"`
	PageParams
}) (*body[v1.HostPage], error) {
	page, err := in.page()
	if err != nil {
		return nil, err
	}
	out, err := a.Inventory.Hosts(ctx, v1.HostQuery{Name: in.Name, State: in.State, Verdict: in.Verdict, Tag: in.Tag, Page: page})
	out.Now, out.Hosts, out.Next = a.now(), nonNil(out.Hosts), opaque(out.Next)
	return answer(out, err)
}

// now is the collector's clock as documents give it.
func (a *API) now() time.Time { return a.Now().UTC().Truncate(time.Millisecond) }

func (a *API) host(ctx context.Context, in *struct {
	HostParam
	Rows     bool     `query:"rows" doc:"with the rows of the sections"`
	Sections []string `query:"section,explode" maxItems:"64" doc:"names of sections; all when absent"`
}) (*body[v1.HostDetail], error) {
	for _, name := range in.Sections {
		if err := checkSection(name); err != nil {
			return nil, err
		}
	}
	out, err := a.Inventory.Host(ctx, in.Host, in.Rows, in.Sections)
	out.Now = a.now()
	if out.Sections == nil {
		out.Sections = map[string]v1.Section{}
	}
	return answer(out, err)
}

func (a *API) section(ctx context.Context, in *struct {
	HostParam
	Section string `path:"section" maxLength:"64"`
}) (*body[v1.SectionDocument], error) {
	kind, ok := facts.ByName(in.Section)
	if !ok {
		return nil, notFound("section", in.Section)
	}
	detail, err := a.Inventory.Host(ctx, in.Host, true, []string{in.Section})
	if err != nil {
		return nil, err
	}
	section, ok := detail.Sections[in.Section]
	if !ok { // known to us, never reported by the host
		section.Status = facts.StatusUnknown.String()
	}
	return answer(v1.SectionDocument{
		Now: a.now(), HostID: detail.Host.ID, Name: in.Section, Columns: kind.Columns(), Section: section,
	}, nil)
}

func (a *API) history(ctx context.Context, in *struct {
	HostParam
	SectionParam
	RangeParams
	Details bool `query:"details" doc:"every change: also each of a first reading, a removal or a merge, which are one otherwise"`
	PageParams
}) (*body[v1.History], error) {
	page, err := in.page()
	if err != nil {
		return nil, err
	}
	if err := optionalSection(in.Section); err != nil {
		return nil, err
	}
	from, to, err := in.span(a)
	if err != nil {
		return nil, err
	}
	out, err := a.Inventory.History(ctx, in.Host, v1.HistoryQuery{Section: in.Section, From: from, To: to, Details: in.Details, Page: page})
	out.Now, out.Changes, out.Next = a.now(), nonNil(out.Changes), opaque(out.Next)
	return answer(out, err)
}

func (a *API) diff(ctx context.Context, in *struct {
	HostParam
	SectionParam
	RangeParams
	Details bool `query:"details" doc:"every row: also of a host or a section that was not known at from, which are one otherwise"`
}) (*body[v1.Diff], error) {
	if err := optionalSection(in.Section); err != nil {
		return nil, err
	}
	now := a.now()
	from, to, err := in.lastDay(a)
	if err != nil {
		return nil, err
	}
	out, err := a.Inventory.Diff(ctx, in.Host, v1.DiffQuery{Section: in.Section, From: from, To: to, Details: in.Details})
	out.Now, out.From, out.To, out.Changes = now, from, to, nonNil(out.Changes)
	return answer(out, err)
}

func (a *API) packages(ctx context.Context, in *struct {
	Name    string `query:"name" required:"true" minLength:"1" maxLength:"255" doc:"exact; a pattern where it holds * or ?"`
	Below   string `query:"below" maxLength:"255" doc:"only versions older than this"`
	Above   string `query:"above" maxLength:"255" doc:"only versions newer than this"`
	Version string `query:"version" maxLength:"255" doc:"only this version"`
	AsOf    string `query:"as_of" maxLength:"64" doc:"as it was then: one that is given to the second is its end; now when absent"`
	PageParams
}) (*body[v1.PackagePage], error) {
	page, err := in.page()
	if err != nil {
		return nil, err
	}
	asOf, err := a.past("as_of", in.AsOf, v1.ParseState)
	if err != nil {
		return nil, err
	}
	out, err := a.Inventory.Packages(ctx, v1.PackageQuery{
		Name: in.Name, Below: in.Below, Above: in.Above, Version: in.Version, AsOf: asOf, Page: page,
	})
	out.Now, out.AsOf, out.Packages, out.Next = a.now(), asOf.UTC(), nonNil(out.Packages), opaque(out.Next)
	return answer(out, err)
}

func (a *API) patches(ctx context.Context, in *struct {
	Host    string `query:"host" maxLength:"255" doc:"name or number: this host only, with its updates"`
	Verdict string `query:"verdict" enum:"current,pending,unknown,unsupported"`
	PageParams
}) (*body[v1.PatchPage], error) {
	page, err := in.page()
	if err != nil {
		return nil, err
	}
	out, err := a.Inventory.Patches(ctx, v1.PatchQuery{Host: in.Host, Verdict: in.Verdict, Page: page})
	out.Now, out.Hosts, out.Next = a.now(), nonNil(out.Hosts), opaque(out.Next)
	for i := range out.Hosts {
		h := &out.Hosts[i]
		if !h.IndexTime.IsZero() {
			age := int64(out.Now.Sub(h.IndexTime) / time.Second)
			h.IndexAgeSeconds = &age
		}
		slices.SortStableFunc(h.Updates, func(x, y v1.Update) int { return strings.Compare(x.Name, y.Name) })
	}
	return answer(out, err)
}
