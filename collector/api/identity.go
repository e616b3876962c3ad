package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"atalaya/collector/api/v1"
)

// Identities answers who hosts are, and joins and parts them. by is who asks for it.
type Identities interface {
	Identity(ctx context.Context, host string) (v1.Identity, error)
	CompareIdentity(ctx context.Context, host, other string) (v1.IdentityComparison, error)
	MergeHosts(ctx context.Context, keep string, r v1.MergeRequest, by string) (v1.MergeResult, error)
	UnmergeHost(ctx context.Context, keep string, r v1.UnmergeRequest, by string) (v1.MergeResult, error)
	AcceptMachine(ctx context.Context, host, by string) (v1.Acceptance, error)
}

func (a *API) identityRoutes(routes huma.API) {
	get(routes, "/api/v1/hosts/{host}/identity", "get-identity", "By which facts a host is known, and what happened to its identity", a.identity)
	get(routes, "/api/v1/hosts/{host}/identity/{other}", "compare-identity", "Whether two hosts may be one machine, fact by fact", a.compareIdentity)
	register(routes, http.MethodPost, "/api/v1/hosts/{host}/merge", "merge-hosts", "Make another host part of this one, or say what that would do", http.StatusOK, a.mergeHosts)
	register(routes, http.MethodPost, "/api/v1/hosts/{host}/unmerge", "unmerge-host", "Take the last merge into a host back, or say what that would do", http.StatusOK, a.unmergeHost)
	register(routes, http.MethodPost, "/api/v1/hosts/{host}/accept", "accept-machine", "Give a host to the machine that was refused last as a copy", http.StatusOK, a.acceptMachine)
}

func (a *API) identity(ctx context.Context, in *HostParam) (*body[v1.Identity], error) {
	out, err := a.Operations.Identity(ctx, in.Host)
	out.Now, out.Facts, out.Addresses, out.Events = a.now(), nonNil(out.Facts), nonNil(out.Addresses), nonNil(out.Events)
	out.Copies, out.Merges = nonNil(out.Copies), nonNil(out.Merges)
	return answer(out, err)
}

func (a *API) compareIdentity(ctx context.Context, in *struct {
	HostParam
	Other string `path:"other" maxLength:"255" doc:"name or number"`
}) (*body[v1.IdentityComparison], error) {
	out, err := a.Operations.CompareIdentity(ctx, in.Host, in.Other)
	out.Now, out.Facts = a.now(), nonNil(out.Facts)
	return answer(out, err)
}

func (a *API) mergeHosts(ctx context.Context, in *struct {
	HostParam
	Body v1.MergeRequest
}) (*body[v1.MergeResult], error) {
	by := principal(ctx).Name
	out, err := a.Operations.MergeHosts(ctx, in.Host, in.Body, by)
	if err == nil && out.Done {
		a.Log.Info("hosts merged", "by", by, "merge", out.Merge.Number, "keep", out.Merge.Keep, "other", out.Merge.Other)
	}
	out.Comparison.Facts = nonNil(out.Comparison.Facts)
	return answer(out, err)
}

func (a *API) unmergeHost(ctx context.Context, in *struct {
	HostParam
	Body v1.UnmergeRequest
}) (*body[v1.MergeResult], error) {
	by := principal(ctx).Name
	out, err := a.Operations.UnmergeHost(ctx, in.Host, in.Body, by)
	if err == nil && out.Done {
		a.Log.Info("merge undone", "by", by, "merge", out.Merge.Number, "keep", out.Merge.Keep, "other", out.Merge.Other)
	}
	out.Comparison.Facts = nonNil(out.Comparison.Facts)
	return answer(out, err)
}

func (a *API) acceptMachine(ctx context.Context, in *HostParam) (*body[v1.Acceptance], error) {
	by := principal(ctx).Name
	out, err := a.Operations.AcceptMachine(ctx, in.Host, by)
	if err == nil {
		a.Log.Info("host given to another machine", "by", by, "host", out.HostID, "text", out.Text)
	}
	return answer(out, err)
}
