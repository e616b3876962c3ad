package api

import (
	"context"
	"fmt"

	"atalaya/collector/api/v1"
)

func (a *API) changed(ctx context.Context, in *struct {
	Hosts []string `query:"host,explode" maxItems:"1000" doc:"names or numbers; all when absent"`
	Tag   string   `query:"tag" maxLength:"64" doc:"only hosts with this tag"`
	RangeParams
	Limit int `query:"limit" minimum:"1" maximum:"10000" default:"100" doc:"at most so many"`
}) (*body[v1.FleetChanges], error) {
	if len(in.Hosts) > 0 && in.Tag != "" {
		return nil, fmt.Errorf("%w: want either hosts or a tag", ErrInvalid)
	}
	now := a.now()
	from, to, err := in.lastDay(a)
	if err != nil {
		return nil, err
	}
	out, err := a.Inventory.Changed(ctx, v1.FleetChangeQuery{Hosts: in.Hosts, Tag: in.Tag, From: from, To: to, Limit: in.Limit})
	out.Now, out.From, out.To, out.Changes = now, from, to, nonNil(out.Changes)
	return answer(out, err)
}
