package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"atalaya/collector/api/v1"
)

func (a *API) lifecycleRoutes(routes huma.API) {
	register(routes, http.MethodPost, "/api/v1/hosts/{host}/remove", "remove-host", "Take a host out of the fleet", http.StatusOK, a.removeHost)
	register(routes, http.MethodPost, "/api/v1/hosts/{host}/revive", "revive-host", "Bring a removed host back", http.StatusOK, a.reviveHost)
	register(routes, http.MethodPost, "/api/v1/hosts/{host}/tags", "tag-host", "Add tags to a host and take tags away", http.StatusOK, a.tagHost)
	get(routes, "/api/v1/removed-hosts", "list-removed-hosts", "Hosts that were removed, the last one first", a.removedHosts)
}

func (a *API) removeHost(ctx context.Context, in *struct {
	HostParam
	Body v1.RemoveRequest
}) (*body[v1.RemovedHost], error) {
	out, err := a.Operations.RemoveHost(ctx, in.Host, in.Body.Reason)
	if err == nil {
		a.Log.Info("host removed", "by", principal(ctx).Name, "host", out.HostID, "name", out.Host, "reason", out.Reason)
	}
	return answer(out, err)
}

func (a *API) reviveHost(ctx context.Context, in *HostParam) (*body[v1.Revival], error) {
	out, err := a.Operations.ReviveHost(ctx, in.Host)
	if err == nil {
		a.Log.Info("host revived", "by", principal(ctx).Name, "host", out.HostID, "name", out.Host)
	}
	return answer(out, err)
}

func (a *API) removedHosts(ctx context.Context, _ *struct{}) (*body[v1.RemovedHosts], error) {
	hosts, err := a.Operations.RemovedHosts(ctx)
	return answer(v1.RemovedHosts{Now: a.now(), Hosts: nonNil(hosts)}, err)
}

func (a *API) tagHost(ctx context.Context, in *struct {
	HostParam
	Body v1.TagChange
}) (*body[v1.HostTags], error) {
	if len(in.Body.Add)+len(in.Body.Remove) == 0 {
		return nil, fmt.Errorf("%w: no tag to add or to take away", ErrInvalid)
	}
	for _, tag := range in.Body.Add {
		if err := v1.CheckTag(tag); err != nil {
			return nil, fmt.Errorf("%w: tag %.70q: %w", ErrInvalid, tag, err)
		}
		if slices.Contains(in.Body.Remove, tag) {
			return nil, fmt.Errorf("%w: tag %q is to be added and taken away", ErrInvalid, tag)
		}
	}
	out, err := a.Operations.TagHost(ctx, in.Host, in.Body)
	out.Tags = nonNil(out.Tags)
	if err == nil {
		a.Log.Info("host tagged", "by", principal(ctx).Name, "host", out.HostID, "added", in.Body.Add, "removed", in.Body.Remove)
	}
	return answer(out, err)
}
