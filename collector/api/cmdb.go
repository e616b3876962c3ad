package api

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"atalaya/collector/api/v1"
)

func (a *API) cmdbRoutes(routes huma.API) {
	get(routes, "/api/v1/cis", "list-cis", "List configuration items by class and name", a.cis)
	get(routes, "/api/v1/cis/{id}", "get-ci", "A configuration item with its relations", a.ci)
	get(routes, "/api/v1/cis/{id}/impact", "get-impact", "What suffers if a configuration item fails", a.impact)
}

// CIParam names a configuration item in a path, its slashes escaped as %2F.
type CIParam struct {
	ID string `path:"id" minLength:"1" maxLength:"1024" doc:"id with its slashes as %2F, or CLASS:NAME"`
}

func (a *API) cis(ctx context.Context, in *struct {
	Class string `query:"class" maxLength:"64"`
	Name  string `query:"name" maxLength:"255" doc:"part of the name, or a pattern with * and ?"`
	Host  string `query:"host" maxLength:"255" doc:"name or number: what belongs to this host only"`
	Gone  bool   `query:"gone" doc:"those that are gone, too"`
	PageParams
}) (*body[v1.CIPage], error) {
	page, err := in.page()
	if err != nil {
		return nil, err
	}
	out, err := a.CMDB.CIs(ctx, v1.CIQuery{Class: in.Class, Name: in.Name, Host: in.Host, Gone: in.Gone, Page: page})
	out.Now, out.CIs, out.Next = a.now(), nonNil(out.CIs), opaque(out.Next)
	return answer(out, err)
}

func (a *API) ci(ctx context.Context, in *CIParam) (*body[v1.CIDetail], error) {
	out, err := a.CMDB.CI(ctx, in.ID)
	out.Now, out.Relations = a.now(), nonNil(out.Relations)
	return answer(out, err)
}

func (a *API) impact(ctx context.Context, in *CIParam) (*body[v1.Impact], error) {
	out, err := a.CMDB.Impact(ctx, in.ID)
	out.Now, out.Affected = a.now(), nonNil(out.Affected)
	return answer(out, err)
}
